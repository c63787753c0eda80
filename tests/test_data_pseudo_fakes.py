"""A forgery task made of a folder of real faces."""

from __future__ import annotations

import io
import os
import shutil
import sys
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
from dfbench_data.portraits import image_files, people_in, united
from dfbench_data.pseudo import PseudoFakes

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
        ("Ann_Lee_0001_2.jpg", "Ann_Lee"),
        ("Ann_Lee_0002_face_1.jpg", "Ann_Lee"),
        ("Ann Lee (3).JPG", "Ann Lee"),
        ("id0_0001.png", "id0"),
        ("n000012_0001_01.jpg", "n000012"),
        ("Ann Lee/4.png", "Ann Lee"),
        ("Ann Lee/2019/4.png", "Ann Lee"),
        ("portrait.webp", "portrait"),
        ("0001_01.jpg", "0001"),
    ],
)
def test_a_person_is_the_sub_folder_or_the_name_without_the_numbers_at_its_end(name: str, person: str) -> None:
    people, nameless = people_in([name, "somebody else.jpg"])
    assert people[name] == person
    assert not nameless


@pytest.mark.parametrize("name", ["000012.jpg", "img_0012.jpg", "real_0012.png", "face12.png"])
def test_an_image_that_tells_no_name_is_a_person_of_its_own(name: str) -> None:
    people, nameless = people_in([name, "somebody else.jpg"])
    assert people[name] == name.rsplit(".", 1)[0]
    assert nameless == [name]


def test_a_folder_that_all_images_lie_in_is_no_person() -> None:
    assert people_in(["lfw/Ann/1.jpg", "lfw/Ann/2.jpg", "lfw/Bo/1.jpg"])[0]["lfw/Ann/2.jpg"] == "Ann"
    assert people_in(["faces/Ann_1.jpg", "faces/Bo_1.jpg"])[0] == {"faces/Ann_1.jpg": "Ann", "faces/Bo_1.jpg": "Bo"}


def test_two_names_with_one_picture_are_one_person() -> None:
    people = {"Ann/1": "Ann", "Ann/2": "Ann", "Bo/1": "Bo", "Bo/2": "Bo", "Cy/1": "Cy"}
    assert united(people, {"Bo/1": "Ann/2"}) == {**people, "Bo/1": "Ann", "Bo/2": "Ann"}
    assert united(people, {}) == people


def test_people_known_by_two_names_stay_in_one_split(portraits: Path, cache: Path, tmp_path: Path) -> None:
    """Every person gets a second name by a copy of a photograph, and under it another photograph."""
    folder = shutil.copytree(portraits, tmp_path / "aliases")
    files = sorted(folder.glob("Person *_0001.jpg"))
    for file in files:
        alias = file.stem[7]
        shutil.copy(file, folder / f"alias {alias}_0001.jpg")
        mirrored = Image.open(file).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(folder / f"alias {alias}_0002.jpg", quality=95)
    data = PseudoFakes(str(folder), size=96)
    data.prepare(str(cache), Silent())
    for letter in (file.stem[7] for file in files):
        own = [f"/Person {letter}_0001.jpg/", f"/alias {letter}_0002.jpg/"]
        where = {split for split in SPLITS for s in data.split(split).samples if any(name in s.id for name in own)}
        assert len(where) == 1


def test_links_are_followed_and_one_that_leads_back_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jpg").write_bytes(b"")
    faces = tmp_path / "faces"
    (faces / "Ann").mkdir(parents=True)
    (faces / "Ann" / "1.jpg").write_bytes(b"")
    (faces / "Bo").symlink_to(tmp_path / "elsewhere")
    (faces / "Ann" / "back").symlink_to(faces)
    assert list(image_files(faces)[0]) == ["Ann/1.jpg", "Bo/1.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="the file system may refuse names that are no UTF-8")
def test_a_name_that_is_no_utf8_has_a_printable_name(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"Andr\xe9_0001.jpg")).write_bytes(b"")
    ((name, file),) = image_files(tmp_path)[0].items()
    assert name.encode() == b"Andr\\xe9_0001.jpg"
    assert file.is_file()


def test_other_files_and_images_without_a_name_are_told_of(portraits: Path, cache: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(portraits, tmp_path / "numbers")
    (folder / "Person D_0001.jpg").rename(folder / "000004.jpg")
    data = PseudoFakes(str(folder), size=96)
    data.prepare(str(cache), Silent())
    told = "\n".join(data.notes())
    assert "1 files passed over, as their names are not those of images: notes.txt" in told
    assert "1 photographs tell no name and count as a person each: 000004.jpg" in told


def test_a_link_that_leads_nowhere_is_an_error(portraits: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(portraits, tmp_path / "links")
    (folder / "gone_0001.jpg").symlink_to(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"gone_0001\.jpg cannot be read .*: mend or remove it"):
        PseudoFakes(str(folder), size=96).prepare(str(tmp_path / "c"), Silent())


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


def test_the_number_of_training_samples_is_part_of_the_fingerprint(
    data: PseudoFakes, portraits: Path, cache: Path
) -> None:
    """However it is given: by default it is four of each training face."""
    count = len(data.split("train").samples)
    same, other = (PseudoFakes(str(portraits), size=96, train_size=size) for size in (count, count + 2))
    for made in (same, other):
        made.prepare(str(cache), Silent())
    assert same.fingerprint == data.fingerprint
    assert other.fingerprint != data.fingerprint


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


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_no_file_of_the_cache_is_kept_open(data: PseudoFakes) -> None:
    """Tens of thousands of photographs make a thousand parts, more files than a process may have open."""
    for split in SPLITS:
        data.split(split).pixels(0)
    held = [fd.resolve() for fd in Path("/proc/self/fd").iterdir()]
    assert not [file for file in held if file.parent.name.startswith("faces-")]
    assert "/faces-" not in Path("/proc/self/maps").read_text()


def test_a_cache_that_is_damaged_while_in_use_gives_an_error_and_no_pixels(
    data: PseudoFakes, portraits: Path, cache: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(cache, tmp_path / "in use")
    made = PseudoFakes(str(portraits), size=96)
    made.prepare(str(damaged), Silent())
    for part in damaged.glob("faces-*/*.npy"):
        part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(DataError, match="run again"):
        made.split("train").pixels(0)


def test_a_short_epoch_shows_everybody_once_before_anybody_twice(
    data: PseudoFakes, portraits: Path, cache: Path
) -> None:
    everybody = {sample.identities[0] for sample in data.split("train").samples}
    short = PseudoFakes(str(portraits), size=96, train_size=2 * len(everybody))
    short.prepare(str(cache), Silent())
    assert {sample.identities[0] for sample in short.split("train").samples} == everybody


def test_it_keeps_the_contract_of_data_sets(portraits: Path, cache: Path) -> None:
    check_dataset(load_registry().component("dataset", f'pseudo-fakes(path="{portraits}", size=96)'), str(cache))


def test_where_nothing_can_be_used_the_error_says_why(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"person {chr(65 + number)}.jpg").write_bytes(b"no image %d" % number)
    with pytest.raises(DataError, match=r"shows 0 people, too few .*; 12 images left out: not an image: person A\.jpg"):
        PseudoFakes(str(tmp_path)).prepare(str(tmp_path / "c"), Silent())


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
