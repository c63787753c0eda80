"""A forgery task made of a folder of real faces."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data_mini import needs_photographs

from dfbench.contracts import FAKE, REAL, SPLITS
from dfbench.errors import DataError, UsageError
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.testing import check_dataset
from dfbench_data.photos import photographs
from dfbench_data.pseudo import PseudoFakes, person_of

pytestmark = needs_photographs
PEOPLE = 20


@pytest.fixture(scope="session")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty people: one with two photographs, one in a sub-folder, one in grey; and what must be left out."""
    folder = tmp_path_factory.mktemp("portraits")
    files = photographs()
    names = [name for name in sorted(files) if name not in {"057f", "061f", "074m"}][:PEOPLE]
    for number, name in enumerate(names[2:]):
        (folder / f"Person {chr(65 + number)}_0001.jpg").write_bytes(files[name])
    (folder / "Zoë").mkdir()
    (folder / "Zoë" / "portrait.jpg").write_bytes(files[names[0]])
    Image.open(io.BytesIO(files[names[1]])).convert("L").save(folder / "Grey_0001.png")
    second = Image.open(folder / "Person A_0001.jpg")
    second.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "Person A_0002.jpg", quality=95)
    shutil.copy(folder / "Person B_0001.jpg", folder / "same file_0001.jpg")
    Image.open(folder / "Person C_0001.jpg").save(folder / "same picture_0001.jpg", quality=70)
    Image.fromarray(np.full((128, 128, 3), 128, np.uint8)).save(folder / "nobody_0001.png")
    (folder / "broken_0001.jpg").write_bytes(b"no image")
    (folder / ".hidden_0001.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pseudo")


@pytest.fixture(scope="session")
def data(portraits: Path, cache: Path) -> PseudoFakes:
    made = PseudoFakes(str(portraits), size=96)
    made.prepare(str(cache), Silent())
    return made


def test_nobody_is_in_two_splits_not_even_as_a_donor(data: PseudoFakes) -> None:
    people = [{p for sample in data.split(split).samples for p in sample.identities} for split in SPLITS]
    assert sum(map(len, people)) == len(set.union(*people)) == PEOPLE


def test_what_cannot_be_used_is_left_out_counted_and_named(data: PseudoFakes) -> None:
    told = "\n".join(data.notes())
    assert "1 images left out: the same file as another one: same file_0001.jpg (Person B_0001.jpg)" in told
    assert "1 images left out: shows the same picture as another one: same picture_0001.jpg (Person C_0001.jpg)" in told
    assert "1 images left out: no face found: nobody_0001.png" in told
    assert "broken_0001.jpg" in told
    assert "hidden" not in told
    assert data.notes()[-1] == f"people: 14 train, 2 val, 4 test; made of {PEOPLE + 1} photographs"


@pytest.mark.parametrize(
    "name, person",
    [
        ("Ann_Lee_0001.jpg", "Ann_Lee"),
        ("Ann_Lee_0002.jpg", "Ann_Lee"),
        ("Ann Lee/4.png", "Ann Lee"),
        ("Ann Lee/2019/4.png", "Ann Lee"),
        ("portrait.webp", "portrait"),
    ],
)
def test_a_person_is_the_sub_folder_or_the_name_without_its_last_number(name: str, person: str) -> None:
    assert person_of(name) == person


@pytest.mark.parametrize("split", ["val", "test"])
def test_each_face_gives_two_real_crops_a_swap_and_a_self_blend(data: PseudoFakes, split: str) -> None:
    samples = data.split(split).samples
    faces = {sample.id.rsplit("/", 2)[0] for sample in samples}
    assert len(samples) == 4 * len(faces)
    assert sum(sample.label == REAL for sample in samples) == 2 * len(faces)
    assert {sample.manipulation for sample in samples if sample.label == FAKE} == {"swap", "sbi"}


def test_the_face_that_is_swapped_in_is_of_another_person(data: PseudoFakes) -> None:
    swaps = [s for split in ("val", "test") for s in data.split(split).samples if s.manipulation == "swap"]
    assert swaps
    assert all(len(set(sample.identities)) == 2 for sample in swaps)


def test_two_photographs_of_a_person_never_swap_with_each_other(data: PseudoFakes) -> None:
    """Whatever split Person A is in, a donor is drawn among the faces of other people."""
    for split in SPLITS:
        faces = data.split(split)._faces  # type: ignore[attr-defined]
        for face, person in enumerate(faces.people):
            donors = {faces.people[faces.donor(face, 0, np.random.default_rng(seed))[0]] for seed in range(20)}
            assert person not in donors


def test_outside_of_its_mask_a_fake_equals_its_photograph(data: PseudoFakes) -> None:
    split = data.split("test")
    pixels = {sample.id: split.pixels(index) for index, sample in enumerate(split.samples)}
    for sample in split.samples:
        if sample.label == FAKE:
            real = pixels[sample.id.rsplit("/", 1)[0] + "/real"]
            same = (pixels[sample.id] == real).all(2)
            assert same[0].all()
            assert same[:, 0].all()
            assert not same.all()


def test_training_fakes_are_new_in_every_epoch_and_test_fakes_never(data: PseudoFakes) -> None:
    train, test = data.split("train"), data.split("test")
    assert not np.array_equal(train.pixels(1, epoch=0), train.pixels(1, epoch=1))
    assert np.array_equal(train.pixels(1, epoch=1, seed=3), train.pixels(1, epoch=1, seed=3))
    fake = next(index for index, sample in enumerate(test.samples) if sample.label == FAKE)
    assert np.array_equal(test.pixels(fake, epoch=0), test.pixels(fake, epoch=5, seed=2))


def test_an_epoch_shows_each_training_face_real_and_fake(data: PseudoFakes) -> None:
    samples = data.split("train").samples
    assert sum(sample.label == FAKE for sample in samples) == len(samples) / 2
    assert {s.identities[0] for s in samples} == {s.identities[0] for s in samples if s.label == FAKE}


def test_a_moved_folder_keeps_its_fingerprint_and_another_photograph_changes_it(
    data: PseudoFakes, portraits: Path, cache: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(portraits, tmp_path / "elsewhere")
    again = PseudoFakes(str(moved), size=96)
    again.prepare(str(cache), Silent())
    assert again.fingerprint == data.fingerprint
    (moved / "Person D_0001.jpg").unlink()
    less = PseudoFakes(str(moved), size=96)
    less.prepare(str(cache), Silent())
    assert less.fingerprint != data.fingerprint


def test_a_preparation_that_was_interrupted_takes_up_what_was_done(
    data: PseudoFakes, portraits: Path, cache: Path, tmp_path: Path
) -> None:
    """Of the parts that were finished no face is looked for again: without the detector they are enough."""
    half = shutil.copytree(cache, tmp_path / "half")
    parts = sorted(half.glob("faces-*/*.npy"))
    assert parts
    before = {path.name: path.stat().st_mtime_ns for path in parts[1:]}
    parts[0].with_suffix(".json").unlink()
    again = PseudoFakes(str(portraits), size=96)
    again.prepare(str(half), Silent())
    assert again.fingerprint == data.fingerprint
    assert {path.name: path.stat().st_mtime_ns for path in sorted(half.glob("faces-*/*.npy"))[1:]} == before


def test_a_damaged_part_of_the_cache_is_made_anew(
    data: PseudoFakes, portraits: Path, cache: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(cache, tmp_path / "damaged")
    part = next(damaged.glob("faces-*/*.npy"))
    part.write_bytes(part.read_bytes()[:1000])
    again = PseudoFakes(str(portraits), size=96)
    again.prepare(str(damaged), Silent())
    assert again.fingerprint == data.fingerprint


def test_it_keeps_the_contract_of_data_sets(portraits: Path, cache: Path) -> None:
    check_dataset(load_registry().component("dataset", f'pseudo-fakes(path="{portraits}", size=96)'), str(cache))


def test_too_few_people_no_images_and_no_folder_are_refused_with_the_cure(tmp_path: Path, portraits: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        PseudoFakes(str(tmp_path / "absent")).prepare(str(tmp_path / "c"), Silent())
    few = tmp_path / "few"
    few.mkdir()
    with pytest.raises(DataError, match="holds no images"):
        PseudoFakes(str(few)).prepare(str(tmp_path / "c"), Silent())
    for name in "DEF":
        shutil.copy(portraits / f"Person {name}_0001.jpg", few)
    with pytest.raises(DataError, match=r"shows 3 people \(Person D, Person E, Person F\), too few for three splits"):
        PseudoFakes(str(few)).prepare(str(tmp_path / "c"), Silent())
    with pytest.raises(UsageError, match="must be even"):
        PseudoFakes(str(few), train_size=7)
