"""`folder` and `manifest`: layouts, splits that leak nothing, fingerprints, and errors that name what is wrong."""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dfbench.contracts import FAKE, REAL, REQUIRED, SPLITS, Dataset
from dfbench.errors import DataError, StorageError
from dfbench.preview import contact_sheet
from dfbench.progress import Silent
from dfbench_data import plugin
from dfbench_data.folder import Folder, guess_video
from dfbench_data.manifest import Manifest

D = TypeVar("D", bound=Dataset)
DFFD = Path(__file__).parents[1].parent / "shared/data/dffd"


def save(path: Path, side: int = 48) -> Path:
    """An image of its own, whose content depends on its path below the test's folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(hashlib.sha256("/".join(path.parts[-4:]).encode()).digest()[:4])
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return path


def tree(root: Path, people: int = 10, frames: int = 2) -> Path:
    for person in range(people):
        for frame in range(frames):
            save(root / "real" / f"{person:03d}_{frame:02d}.png")
            save(root / "fake" / "swap" / f"{person:03d}_{(person + 1) % people:03d}_{frame:02d}.png")
    return root


def table(root: Path, **columns: list[object]) -> Path:
    """A manifest of 20 images, 10 real and 10 fake, with further columns of 20 values."""
    names = [f"{kind}{i}.png" for i in range(10) for kind in ("real", "fake")]
    for name in names:
        save(root / "images" / name)
    rows = {"path": [f"images/{n}" for n in names], "label": [n[:4] for n in names], **columns}
    pd.DataFrame(rows).to_csv(root / "list.csv", index=False)
    return root / "list.csv"


def prepared(data: D, cache: Path) -> D:
    data.prepare(str(cache), Silent())
    return data


def where(data: Dataset) -> dict[str, str]:
    """The split of every id."""
    return {sample.id: split for split in SPLITS for sample in data.split(split).samples}


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


# --- folder: layout -------------------------------------------------------------------------------------------------


def test_a_plain_tree_gives_three_splits_with_both_classes(tmp_path, cache):
    data = prepared(Folder(str(tree(tmp_path / "data")), size=32), cache)
    assert sum(len(data.split(split).samples) for split in SPLITS) == 40
    for split in SPLITS:
        assert {sample.label for sample in data.split(split).samples} == {REAL, FAKE}
        assert data.split(split).pixels(0).shape == (32, 32, 3)
    assert any("splits made here" in note for note in data.notes())


def test_frames_of_a_video_and_fakes_of_a_person_stay_in_one_split(tmp_path, cache):
    splits = where(prepared(Folder(str(tree(tmp_path / "data"))), cache))
    for person in range(10):
        assert len({split for name, split in splits.items() if Path(name).name.startswith(f"{person:03d}_")}) == 1


def test_equal_images_under_different_names_stay_in_one_split(tmp_path, cache):
    root = tree(tmp_path / "data")
    copies = {f"fake/swap/{i:03d}_{(i + 1) % 10:03d}_00.png": f"fake/copy/twin{'abcdefghij'[i]}.png" for i in range(10)}
    (root / "fake" / "copy").mkdir()
    for original, copy in copies.items():
        shutil.copy(root / original, root / copy)
    splits = where(prepared(Folder(str(root)), cache))
    assert all(splits[original] == splits[copy] for original, copy in copies.items())


def test_split_folders_are_kept_under_either_name(tmp_path, cache):
    for split in ("Train", "validation", "test"):
        for kind in ("REAL", "Fake"):
            save(tmp_path / "data" / split / kind / f"{split}{kind}.jpg")
    data = prepared(Folder(str(tmp_path / "data")), cache)
    assert [sample.id for sample in data.split("val").samples] == [
        "validation/Fake/validationFake.jpg",
        "validation/REAL/validationREAL.jpg",
    ]


def test_the_pixels_belong_to_their_samples(tmp_path, cache):
    root = tree(tmp_path / "data")
    data = prepared(Folder(str(root), size=48), cache)
    for split in SPLITS:
        for index, sample in enumerate(data.split(split).samples):
            assert np.array_equal(data.split(split).pixels(index), np.asarray(Image.open(root / sample.id)))
            assert sample.label == (FAKE if sample.id.startswith("fake/") else REAL)


def test_equal_file_names_of_two_manipulations_do_not_collide(tmp_path, cache):
    root = tree(tmp_path / "data")
    for person in range(10):
        save(root / "fake" / "reenact" / f"{person:03d}_{(person + 1) % 10:03d}_00.png")
    data = prepared(Folder(str(root)), cache)
    samples = [sample for split in SPLITS for sample in data.split(split).samples]
    assert len({sample.id for sample in samples}) == 50
    assert {sample.manipulation for sample in samples} == {"", "swap", "reenact"}


@pytest.mark.parametrize(
    ("stem", "folders", "video"),
    [
        ("033_097_12", (), "033_097"),
        ("Ann_Lee_0001", (), "Ann_Lee"),
        ("00012", (), "00012"),
        ("0001", ("033",), "033"),
        ("frame_0001", ("swap", "033_097"), "033_097"),
        ("clip-frame12", (), "clip"),
        ("portrait", (), "portrait"),
    ],
)
def test_the_video_is_guessed_from_the_file_name(stem, folders, video):
    assert guess_video(stem, folders)[0] == video


def test_without_val_and_test_they_are_made_out_of_train(tmp_path, cache):
    data = prepared(Folder(str(tree(tmp_path / "data").rename(tmp_path / "train").parent)), cache)
    assert {len(data.split(split).samples) > 0 for split in SPLITS} == {True}


def test_test_images_alone_are_enough_to_evaluate_on(tmp_path, cache):
    tree(tmp_path / "data" / "test")
    data = prepared(Folder(str(tmp_path / "data")), cache)
    assert len(data.split("test").samples) == 40
    with pytest.raises(DataError, match="has no train split, only test"):
        data.split("train")


@pytest.mark.skipif(not DFFD.is_dir(), reason="the DFFD sample images are not here")
def test_real_photographs_and_generated_faces_keep_their_official_splits(tmp_path, cache):
    for split in ("train", "validation", "test"):
        for source, kind in (("ffhq", "real"), ("stylegan_ffhq", "fake")):
            shutil.copytree(DFFD / source / split, tmp_path / "data" / split / kind)
    data = prepared(Folder(str(tmp_path / "data")), cache)
    assert [len(data.split(split).samples) for split in SPLITS] == [120, 40, 80]


# --- fingerprint and cache ------------------------------------------------------------------------------------------


def test_the_fingerprint_stays_when_the_folder_and_the_cache_move(tmp_path, cache):
    first = prepared(Folder(str(tree(tmp_path / "one"))), cache)
    (tmp_path / "one").rename(tmp_path / "two")
    second = prepared(Folder(str(tmp_path / "two")), tmp_path / "other cache")
    assert first.fingerprint == second.fingerprint
    assert where(first) == where(second)


@pytest.mark.parametrize("change", ["a pixel", "a label", "one more image", "a name", "the size"])
def test_the_fingerprint_changes_with(tmp_path, cache, change):
    root = tree(tmp_path / "data")
    before = prepared(Folder(str(root), size=32), cache).fingerprint
    size = 40 if change == "the size" else 32
    file = root / "real" / "003_00.png"
    if change == "a pixel":
        image = Image.open(file).copy()
        image.paste("red", (0, 0, 8, 8))
        image.save(file)
    elif change == "a label":
        file.rename(root / "fake" / file.name)
    elif change == "one more image":
        save(root / "real" / "099_00.png")
    elif change == "a name":
        file.rename(root / "real" / "003_77.png")
    assert prepared(Folder(str(root), size=size), cache).fingerprint != before


def test_prepared_images_are_not_decoded_again(tmp_path, cache, monkeypatch):
    root = str(tree(tmp_path / "data"))
    before = prepared(Folder(root), cache)
    monkeypatch.setattr("dfbench_data.imageset.decode", None)
    again = prepared(Folder(root), cache)
    assert np.array_equal(before.split("test").pixels(0), again.split("test").pixels(0))


def test_the_cache_holds_only_finished_data(tmp_path, cache):
    prepared(Folder(str(tree(tmp_path / "data"))), cache)
    assert len(list(cache.iterdir())) == 1


def test_a_disk_that_fills_up_leaves_nothing_behind_that_looks_finished(tmp_path, cache, monkeypatch):
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    root = str(tree(tmp_path / "data"))
    with monkeypatch.context() as patched:
        patched.setattr("dfbench_data.store.Path.write_text", full)
        with pytest.raises(StorageError, match="No space left on device"):
            prepared(Folder(root), cache)
    assert not list(cache.iterdir())
    prepared(Folder(root), cache)


def test_an_unwritable_cache_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        prepared(Folder(str(tree(tmp_path / "data"))), tmp_path / "file" / "cache")


# --- errors ---------------------------------------------------------------------------------------------------------


def broken(root: Path, kind: str) -> Path:
    if kind == "missing":
        return root
    if kind == "empty":
        root.mkdir()
    elif kind == "no images":
        (root / "real").mkdir(parents=True)
        (root / "fake").mkdir()
    elif kind == "real only":
        save(root / "real" / "a.png")
        (root / "fake").mkdir()
    elif kind == "both layouts":
        save(tree(root) / "train" / "real" / "a.png")
    elif kind == "one class in test":
        tree(root / "train")
        save(root / "test" / "real" / "a.png")
    elif kind == "too few people":
        tree(root, people=2, frames=4)
    elif kind == "real and fake":
        shutil.copy(tree(root) / "real" / "001_01.png", root / "fake" / "001_01.png")
    return root


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "is not a folder"),
        ("empty", "neither real/ and fake/ nor train/"),
        ("no images", "holds no images"),
        ("real only", "has real images only: add fake images"),
        ("both layouts", "both real/ and split folders"),
        ("one class in test", "the test split of .* has real images only"),
        ("too few people", "2 groups of images, too few for train, val and test"),
        ("real and fake", "001_01.png is both a real and a fake image"),
    ],
)
def test_an_unusable_folder_is_refused_with_one_line(tmp_path, cache, kind, message):
    with pytest.raises(DataError, match=message) as error:
        prepared(Folder(str(broken(tmp_path / "data", kind))), cache)
    assert str(tmp_path / "data") in str(error.value)
    assert "\n" not in str(error.value)


def test_unusable_images_are_counted_and_five_of_them_named(tmp_path, cache):
    root = tree(tmp_path / "data")
    for index in range(7):
        (root / "real" / f"bad{index}.png").write_bytes(b"" if index else b"no image")
    with pytest.raises(DataError, match=r"^7 of 47 images cannot be used: .*bad0\.png \(not an image\)") as error:
        prepared(Folder(str(root)), cache)
    assert "bad4.png (zero bytes), and 2 more: replace or remove them" in str(error.value)
    assert not list(cache.glob("*")), "nothing half-done is kept"


def test_classes_that_differ_in_file_format_are_pointed_out(tmp_path, cache):
    root = tree(tmp_path / "data")
    for file in (root / "fake").rglob("*.png"):
        Image.open(file).save(file.with_suffix(".bmp"))
        file.unlink()
    assert any("may learn the file format" in note for note in prepared(Folder(str(root)), cache).notes())


def test_file_names_shared_by_split_folders_are_pointed_out(tmp_path, cache):
    for split in ("train", "test"):
        for kind in ("real", "fake"):
            save(tmp_path / "data" / split / kind / f"ann_{split}_1.png")
            save(tmp_path / "data" / split / kind / ("bob_1.png" if split == "train" else "bob_2.png"))
        save(tmp_path / "data" / "val" / "real" / "v.png")
        save(tmp_path / "data" / "val" / "fake" / "w.png")
    assert any(
        "leak if they are the same videos: bob" in n for n in prepared(Folder(str(tmp_path / "data")), cache).notes()
    )


# --- manifest -------------------------------------------------------------------------------------------------------

SPLIT_COLUMN = ["train"] * 12 + ["val"] * 4 + ["test"] * 4


def test_a_manifest_keeps_splits_ids_videos_and_identities(tmp_path, cache):
    people = [f"p{i}" for i in range(20)]
    file = table(tmp_path, split=SPLIT_COLUMN, target_identity=people, source_identity=[p + "s" for p in people])
    data = prepared(Manifest(str(file)), cache)
    assert [len(data.split(split).samples) for split in SPLITS] == [12, 4, 4]
    fake = next(sample for sample in data.split("test").samples if sample.label == FAKE)
    assert fake.id == "images/fake8.png"
    assert fake.identities == ("p17", "p17s")
    assert fake.manipulation == "fake"


@pytest.mark.parametrize("labels", [["0", "1"], ["real", "fake"], ["REAL", "Fake"]])
def test_labels_are_numbers_or_names(tmp_path, cache, labels):
    data = prepared(Manifest(str(table(tmp_path, split=SPLIT_COLUMN, label=labels * 10))), cache)
    assert all(s.label == (FAKE if "fake" in s.id else REAL) for s in data.split("train").samples)


def test_parquet_and_csv_are_the_same_data_wherever_they_lie(tmp_path, cache):
    file = table(tmp_path / "one", split=SPLIT_COLUMN, video=[f"v{i // 2}" for i in range(20)])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    frame = pd.read_csv(tmp_path / "two" / "list.csv")
    frame["path"] = [str(tmp_path / "two" / path) for path in frame["path"]]
    frame["label"] = (frame["label"] == "fake").astype(int)
    frame.to_parquet(tmp_path / "two" / "list.parquet")
    moved = prepared(Manifest(str(tmp_path / "two" / "list.parquet")), cache)
    assert moved.fingerprint == prepared(Manifest(str(file)), cache).fingerprint


def test_splits_made_from_a_manifest_never_part_people_or_videos(tmp_path, cache):
    target = [f"p{i // 4}" for i in range(20)]
    source = [f"p{i // 4}" if i % 2 == 0 else f"s{i // 8}" for i in range(20)]
    data = prepared(Manifest(str(table(tmp_path, target_identity=target, source_identity=source))), cache)
    seen = [{p for sample in data.split(split).samples for p in sample.identities} for split in SPLITS]
    assert all(seen)
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


def test_given_splits_that_leak_are_kept_for_the_audit_to_tell(tmp_path, cache):
    target = [f"p{i}" for i in range(20)]
    file = table(tmp_path, split=SPLIT_COLUMN, target_identity=target, source_identity=[*target[:-1], "p0"])
    data = prepared(Manifest(str(file)), cache)
    assert [len(data.split(split).samples) for split in SPLITS] == [12, 4, 4]


def test_scores_per_video_mean_something_where_a_manifest_gives_several_images_of_one(tmp_path, cache):
    several = table(tmp_path / "a", split=SPLIT_COLUMN, video=[f"v{i // 2}" for i in range(20)])
    assert prepared(Manifest(str(several)), cache).video_level
    one_each = table(tmp_path / "b", split=SPLIT_COLUMN, video=[f"v{i}" for i in range(20)])
    assert not prepared(Manifest(str(one_each)), cache).video_level
    not_given = table(tmp_path / "c", split=SPLIT_COLUMN, video=[""] * 20)
    assert not prepared(Manifest(str(not_given)), cache).video_level


def test_guessed_videos_are_no_ground_for_scores_per_video(tmp_path, cache):
    assert not prepared(Folder(str(tree(tmp_path / "data"))), cache).video_level


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["2"] * 20}, "label '2': use 0 or real, 1 or fake"),
        ({"label": ["real"] * 20}, "has real images only"),
        ({"split": ["dev"] * 20}, "split 'dev': use train, val, test"),
        ({"split": ["train"] * 19 + [""]}, "1 rows have no split"),
        ({"path": ["images/real0.png"] * 20}, "listed more than once"),
        ({"path": ["images/none.png"] * 20}, "lists 20 files that do not exist"),
        ({"id": ["same"] * 20}, "same: listed more than once"),
        ({"source_identiy": ["p"] * 20}, "did you mean 'source_identity'"),
    ],
)
def test_a_wrong_cell_or_column_is_refused_by_name(tmp_path, cache, columns, message):
    with pytest.raises(DataError, match=message) as error:
        prepared(Manifest(str(table(tmp_path, **columns))), cache)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", "file,label\na.png,0\n", "has no column path"),
        ("list.csv", "", "cannot be read as a table"),
        ("list.parquet", "nonsense", "cannot be read as a table"),
        ("list.xlsx", "", "neither .csv nor .parquet"),
        ("list.csv", "path,label\n", "holds no images"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path, cache, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        prepared(Manifest(str(tmp_path / name)), cache)


def test_other_columns_are_ignored_and_the_notes_say_so(tmp_path, cache):
    data = prepared(Manifest(str(table(tmp_path, split=SPLIT_COLUMN, camera=["x"] * 20))), cache)
    assert "ignored columns: camera" in data.notes()


def test_a_missing_manifest_is_refused(tmp_path, cache):
    with pytest.raises(DataError, match="is not a file"):
        prepared(Manifest(str(tmp_path / "none.csv")), cache)


# --- specs and preview ----------------------------------------------------------------------------------------------


def test_the_plugin_offers_the_users_own_images_and_asks_for_their_place():
    specs = {spec.name: spec for spec in plugin.dfbench_datasets()}
    assert specs["manifest"].params[0].default is REQUIRED
    assert specs["folder"].params[0].default is REQUIRED


def test_the_contact_sheet_of_any_data_set_shows_the_image_itself(tmp_path, cache):
    data = prepared(Folder(str(tree(tmp_path / "data")), size=48), cache)
    sheet = np.asarray(contact_sheet(data, "train", per_row=3, rows=2))
    shown = {sheet[24:72, 6 + k * 54 : 54 + k * 54].tobytes() for k in range(3)}
    split = data.split("train")
    reals = {split.pixels(i).tobytes() for i, sample in enumerate(split.samples) if sample.label == REAL}
    assert len(shown) == 3
    assert shown <= reals


def test_files_numbered_over_their_class_are_videos_of_their_own() -> None:
    from dfbench_data.folder import guess_video

    assert guess_video("real_0001", []) == ("real_0001", "real_0001")
    assert guess_video("fake-17", []) == ("fake-17", "fake-17")
    assert guess_video("Ann_Lee_0001", [])[0] == "Ann_Lee"
