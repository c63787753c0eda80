"""Reading a prepared set: the crops it tells of and no others, from any disk; and every way it may be broken."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Cli

from dfbench.contracts import FAKE, SPLITS
from dfbench.errors import DataError
from dfbench.phash import phash
from dfbench.prepared import FORMAT, PreparedSet, fingerprint
from dfbench.progress import Silent

SIDE = 48
PREPARATION = {"detector": "mtcnn", "size": SIDE, "margin": 0.3, "frames": 3, "compression": "c23"}
CLIPS = [
    ("train", "original/000", ""), ("train", "Deepfakes/000_001", "001"),
    ("val", "original/002", ""), ("val", "Deepfakes/002_003", "003"),
    ("test", "original/004", ""), ("test", "Deepfakes/004_005", "005"), ("test", "FaceSwap/004_005", "005"),
]  # fmt: skip


class Little(PreparedSet):
    name = "little"


def crops(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def write(root: Path, frames: int = 3, **about: Any) -> Path:
    """A prepared folder of seven clips; ``about`` overrides what prepared.json says."""
    rows = []
    for number, (split, video, source) in enumerate(CLIPS):
        pixels = crops(number, frames)
        shard = root / "shards" / f"{video}.npy"
        shard.parent.mkdir(parents=True, exist_ok=True)
        np.save(shard, pixels)
        for row, crop in enumerate(pixels):
            rows.append({
                "id": f"{video}/{row * 10:05d}", "video": video, "frame": row * 10, "label": int(bool(source)),
                "manipulation": video.partition("/")[0] if source else "", "source_identity": source,
                "target_identity": video.partition("/")[2][:3], "split": split, "box": [0.0, 0.0, 9.0, 9.0],
                "landmarks": [1.0] * 10, "score": 0.99, "sha256": hashlib.sha256(crop).hexdigest(),
                "phash": phash(crop), "shard": f"shards/{video}.npy", "row": row,
            })  # fmt: skip
    manifest = pd.DataFrame(rows)
    manifest.to_parquet(root / "manifest.parquet", index=False)
    known = {
        "format": FORMAT, "dataset": "little", "size": SIDE, "preparation": PREPARATION,
        "fingerprint": fingerprint(PREPARATION, manifest), "failed": [{"video": "original/009", "reason": "no face"}],
        "notes": ["1 of 8 clips gave no crop, e.g. original/009: no face"],
    }  # fmt: skip
    (root / "prepared.json").write_text(json.dumps({**known, **about}))
    return root


def read(root: Path) -> Little:
    data = Little(str(root))
    data.prepare("unused", Silent())
    return data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "prepared")


# --- what it gives --------------------------------------------------------------------------------------------------


def test_every_crop_is_the_one_that_was_written(root):
    data = read(root)
    for split in SPLITS:
        rows = data.split(split)
        for index, sample in enumerate(rows.samples):
            number = next(i for i, clip in enumerate(CLIPS) if clip[1] == sample.video)
            frame = int(sample.id[-5:]) // 10
            assert np.array_equal(rows.pixels(index), crops(number, 3)[frame])


def test_a_sample_tells_all_that_the_manifest_knows_of_it(root):
    rows = read(root).split("test")
    assert len(rows.samples) == 9
    sample = next(sample for sample in rows.samples if sample.id == "FaceSwap/004_005/00010")
    assert (sample.label, sample.video, sample.manipulation) == (FAKE, "FaceSwap/004_005", "FaceSwap")
    assert sample.identities == ("004", "005")
    assert sample.phash == phash(rows.pixels(rows.samples.index(sample)))


def test_a_real_clip_has_one_identity_and_no_manipulation(root):
    sample = read(root).split("val").samples[0]
    assert (sample.identities, sample.manipulation, sample.label) == (("002",), "", 0)


def test_frames_of_videos_are_scored_per_video_and_single_images_are_not(root, tmp_path):
    assert read(root).video_level
    assert not read(write(tmp_path / "images", frames=1)).video_level


def test_notes_and_preparation_are_those_of_the_preparation(root):
    data = read(root)
    assert data.preparation() == PREPARATION
    assert data.notes() == ["1 of 8 clips gave no crop, e.g. original/009: no face"]


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_threads_read_the_same_pixels_and_no_file_stays_open(root):
    rows = read(root).split("train")
    before = open_files()
    alone = [rows.pixels(index) for index in range(6)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: rows.pixels(i % 6), range(300)))
    assert all(np.array_equal(pixels, alone[i % 6]) for i, pixels in enumerate(together))
    assert open_files() == before


def test_callers_own_the_pixels_they_get(root):
    rows = read(root).split("train")
    rows.pixels(0)[:] = 0
    assert rows.pixels(0).any()


# --- where it is ----------------------------------------------------------------------------------------------------


def test_without_a_path_it_is_looked_for_under_its_name(root, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    root.rename(tmp_path / "data" / "little")
    monkeypatch.delenv("DFBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    Little().prepare("unused", Silent())
    (tmp_path / "data").rename(tmp_path / "disk")
    monkeypatch.setenv("DFBENCH_DATA", str(tmp_path / "disk"))
    Little().prepare("unused", Silent())


def test_the_fingerprint_stays_when_the_set_moves_or_its_shards_are_laid_out_anew(root, tmp_path):
    before = read(root).fingerprint
    moved = tmp_path / "elsewhere"
    root.rename(moved)
    assert read(moved).fingerprint == before
    manifest = pd.read_parquet(moved / "manifest.parquet")
    (moved / "shards").rename(moved / "parts")
    manifest["shard"] = manifest["shard"].str.replace("shards/", "parts/")
    manifest.sample(frac=1, random_state=0).to_parquet(moved / "manifest.parquet", index=False)
    assert read(moved).fingerprint == before


@pytest.mark.parametrize(
    "column", ["id", "label", "video", "manipulation", "source_identity", "target_identity", "split", "sha256"]
)
def test_the_fingerprint_changes_with(root, column):
    manifest = pd.read_parquet(root / "manifest.parquet")
    before = fingerprint(PREPARATION, manifest)
    manifest.loc[3, column] = 1 - manifest.loc[3, column] if column == "label" else "other"
    assert fingerprint(PREPARATION, manifest) != before


def test_the_fingerprint_changes_with_the_preparation(root):
    manifest = pd.read_parquet(root / "manifest.parquet")
    assert fingerprint({**PREPARATION, "margin": 0.4}, manifest) != fingerprint(PREPARATION, manifest)


# --- what may be wrong with it --------------------------------------------------------------------------------------


def edit(root: Path, **changes: object) -> None:
    about = json.loads((root / "prepared.json").read_text())
    (root / "prepared.json").write_text(json.dumps({**about, **changes}))


def relabel(root: Path) -> None:
    manifest = pd.read_parquet(root / "manifest.parquet")
    manifest.loc[0, "label"] = 1
    manifest.to_parquet(root / "manifest.parquet", index=False)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "run `dfbench data prepare little --root DOWNLOAD --out .*`, or name the folder"),
    "some other folder": (lambda root: [shutil.rmtree(root), root.mkdir()], r"not prepared in .*little\(path=\.\.\.\)"),
    "unfinished": (lambda root: (root / "prepared.json").unlink(), "not finished: run the same .* command again"),
    "another data set": (lambda root: edit(root, dataset="ffpp"), r"the data set 'ffpp', not 'little': use ffpp\("),
    "newer": (lambda root: edit(root, format=FORMAT + 1), "newer than 1, which this dfbench reads: upgrade"),
    "no JSON": (lambda root: (root / "prepared.json").write_text("{"), "prepared.json cannot be read"),
    "a list": (lambda root: (root / "prepared.json").write_text("[1]"), "prepared.json cannot be read"),
    "without its size": (lambda root: (root / "prepared.json").write_text('{"format": 1}'), "lacks dataset, .*size"),
    "no manifest": (lambda root: (root / "manifest.parquet").unlink(), "manifest.parquet cannot be read"),
    "a torn manifest": (lambda root: cut(root / "manifest.parquet"), "manifest.parquet cannot be read"),
    "a relabelled crop": (relabel, "the manifest of .* is not the one of its prepared.json"),
    "other parameters": (lambda root: edit(root, preparation={}), "the manifest of .* is not the one"),
    "a lost shard": (
        lambda root: (root / "shards/original/000.npy").unlink(), r"damaged: shards/original/000\.npy is missing"
    ),
    "a torn shard": (
        lambda root: cut(root / "shards/original/004.npy"), r"damaged: shards/original/004\.npy has a wrong size"
    ),
    "many lost shards": (
        lambda root: [shutil.rmtree(root / "shards"), (root / "shards").mkdir()], "is missing and 4 more"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_set_is_refused_with_the_cure(root, fault):
    spoil, message = BROKEN[fault]
    spoil(root)
    with pytest.raises(DataError, match=message) as error:
        read(root)
    assert "\n" not in str(error.value)
    assert str(root) in str(error.value)


def test_an_absent_split_is_named(root):
    manifest = pd.read_parquet(root / "manifest.parquet")
    kept = manifest[manifest["split"] == "test"]
    kept.to_parquet(root / "manifest.parquet", index=False)
    edit(root, fingerprint=fingerprint(PREPARATION, kept))
    with pytest.raises(DataError, match=r"'little' in .* has no train split, only test"):
        read(root).split("train")


def test_using_it_unread_is_an_error(root):
    with pytest.raises(DataError, match="call prepare"):
        Little(str(root)).split("train")


def test_a_shard_that_vanishes_in_use_is_named(root):
    rows = read(root).split("train")
    shutil.rmtree(root / "shards")
    with pytest.raises(DataError, match=r"000\.npy cannot be read"):
        rows.pixels(0)


# --- checksums ------------------------------------------------------------------------------------------------------


def test_sound_pixels_pass_verification(root):
    assert read(root).verify(Silent()) == []


def test_one_changed_pixel_is_found_and_its_crop_named(root):
    data = read(root)
    shard = root / "shards/Deepfakes/002_003.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    (line,) = data.verify(Silent())
    assert (
        "shards/Deepfakes/002_003.npy: the pixels of Deepfakes/002_003/00020 are not those that were prepared" in line
    )


def test_the_audit_reads_the_pixels_and_ends_with_three_where_one_is_damaged(dfbench: Cli, tmp_path):
    root = write(tmp_path / "ffpp", dataset="ffpp")
    assert dfbench("data", "audit", f'ffpp(path="{root}")', "--cache", tmp_path / "cache")[0] == 0
    shard = root / "shards/original/000.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    code, out, _ = dfbench("data", "audit", f'ffpp(path="{root}")', "--cache", tmp_path / "cache")
    assert code == 3
    assert "shards/original/000.npy: the pixels of original/000/00020 are not those that were prepared" in out
