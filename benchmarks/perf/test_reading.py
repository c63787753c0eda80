"""A shuffled epoch of crops from a prepared set, beside a torch DataLoader over the same crops as PNG files."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from dfbench.contracts import Split
from dfbench.loader import Loader
from dfbench.phash import phash
from dfbench.prepared import FORMAT, PreparedSet, fingerprint
from dfbench.progress import Silent
from dfbench_data.photos import photographs

SIDE, CROPS, PER_CLIP, BATCH = 224, 1024, 32, 32
ROUNDS = {"rounds": 5, "warmup_rounds": 1, "iterations": 1}


class Prepared(PreparedSet):
    name = "bench"


class PngFiles(TorchDataset[tuple[Tensor, int]]):
    """What is usually written: one PNG file per crop, opened and decoded when it is asked for."""

    def __init__(self, files: list[Path], labels: list[int]) -> None:
        self.files, self.labels = files, labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index]) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))), self.labels[index]


def crops() -> Iterator[np.ndarray]:
    """Photographs at 224 x 224, each in several slightly different crops."""
    photos = [Image.open(io.BytesIO(content)).convert("RGB") for content in photographs().values()]
    rng = np.random.default_rng(0)
    for number in range(CROPS):
        photo = photos[number % len(photos)]
        side = rng.uniform(0.8, 1) * min(photo.size)
        left, top = rng.uniform(0, 1, 2) * (np.array(photo.size) - side)
        box = (left, top, left + side, top + side)
        yield np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crops as PNG files in ``png/``, and as ``dfbench data prepare`` leaves them."""
    root = tmp_path_factory.mktemp("reading")
    (root / "png").mkdir()
    (root / "shards").mkdir()
    pixels = np.stack(list(crops()))
    rows = []
    for number, crop in enumerate(pixels):
        clip, row = divmod(number, PER_CLIP)
        Image.fromarray(crop).save(root / "png" / f"{number:05d}.png")
        rows.append({
            "id": f"{clip:03d}/{row:05d}", "video": f"{clip:03d}", "label": clip % 2, "manipulation": "",
            "source_identity": "", "target_identity": "", "split": "train", "shard": f"shards/{clip:03d}.npy",
            "row": row, "sha256": hashlib.sha256(crop).hexdigest(), "phash": phash(crop),
        })  # fmt: skip
    for clip in range(CROPS // PER_CLIP):
        np.save(root / f"shards/{clip:03d}.npy", pixels[clip * PER_CLIP : (clip + 1) * PER_CLIP])
    manifest = pd.DataFrame(rows)
    manifest.to_parquet(root / "manifest.parquet", index=False)
    about = {"format": FORMAT, "dataset": "bench", "size": SIDE, "preparation": {}, "failed": [], "notes": []}
    (root / "prepared.json").write_text(json.dumps({**about, "fingerprint": fingerprint({}, manifest)}))
    return root


@pytest.fixture(scope="module")
def split(folder: Path) -> Split:
    data = Prepared(str(folder))
    data.prepare("unused", Silent())
    return data.split("train")


@pytest.fixture(scope="module")
def png(folder: Path, split: Split) -> PngFiles:
    return PngFiles(sorted((folder / "png").iterdir()), [sample.label for sample in split.samples])


def read_prepared(split: Split, order: np.ndarray) -> None:
    """Batches (B, S, S, 3), uint8."""
    for start in range(0, len(order), BATCH):
        batch = torch.from_numpy(np.stack([split.pixels(int(index)) for index in order[start : start + BATCH]]))
        assert batch.dtype == torch.uint8


def read_png(files: PngFiles, workers: int) -> None:
    """The same."""
    for batch, _ in DataLoader(files, BATCH, shuffle=True, num_workers=workers):
        assert batch.dtype == torch.uint8


def load_floats(split: Split) -> None:
    """Batches (B, 3, S, S), float32."""
    for batch in Loader(split, BATCH, torch.device("cpu"), train=True).epoch():
        assert batch.x.dtype == torch.float32


def load_png_floats(files: PngFiles, workers: int) -> None:
    """The same, with the same conversion."""
    for batch, _ in DataLoader(files, BATCH, shuffle=True, num_workers=workers):
        assert batch.permute(0, 3, 1, 2).float().div_(255.0).dtype == torch.float32


@pytest.mark.benchmark(group=f"an epoch of {CROPS} crops of {SIDE} x {SIDE}, shuffled, uint8")
class TestReading:
    def test_prepared_set(self, benchmark, split) -> None:
        order = np.random.default_rng(0).permutation(CROPS)
        benchmark.pedantic(read_prepared, (split, order), **ROUNDS)

    def test_dataloader_over_png_in_this_process(self, benchmark, png) -> None:
        benchmark.pedantic(read_png, (png, 0), **ROUNDS)

    def test_dataloader_over_png_in_2_workers(self, benchmark, png) -> None:
        benchmark.pedantic(read_png, (png, 2), **ROUNDS)


@pytest.mark.benchmark(group=f"an epoch of {CROPS} crops of {SIDE} x {SIDE}, shuffled, as float tensors in [0, 1]")
class TestLoading:
    def test_prepared_set_by_the_loader_with_its_checks(self, benchmark, split) -> None:
        benchmark.pedantic(load_floats, (split,), **ROUNDS)

    def test_dataloader_over_png_in_this_process(self, benchmark, png) -> None:
        benchmark.pedantic(load_png_floats, (png, 0), **ROUNDS)

    def test_dataloader_over_png_in_2_workers(self, benchmark, png) -> None:
        benchmark.pedantic(load_png_floats, (png, 2), **ROUNDS)
