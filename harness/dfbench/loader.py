"""Batches from a split: checked pixels, deterministic order, decoded ahead in a thread while the model computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from dfbench.augment import standard
from dfbench.contracts import FAKE, REAL, Batch, Split
from dfbench.errors import DataError
from dfbench.rng import derive_seed

_AHEAD = 3


def check_pixels(pixels: Any, sample_id: str, shape: tuple[int, ...] | None) -> np.ndarray[Any, Any]:
    """The pixels of one sample if they are RGB uint8 (H, W, 3) of the expected shape; else a DataError naming it."""
    where = f"sample {sample_id!r}"
    if not isinstance(pixels, np.ndarray):
        raise DataError(f"{where}: the data set gave {type(pixels).__name__}, not a numpy array (H, W, 3) of uint8")
    if np.issubdtype(pixels.dtype, np.floating) and not np.isfinite(pixels).all():
        raise DataError(f"{where}: the pixels contain NaN or infinity; the data set must give finite uint8 pixels")
    if pixels.dtype != np.uint8:
        span = f"{pixels.min()} to {pixels.max()}" if pixels.size else "empty"
        raise DataError(f"{where}: pixels of type {pixels.dtype} ({span}); the data set must give uint8 in 0 to 255")
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(f"{where}: pixels of shape {pixels.shape}; the data set must give RGB (H, W, 3)")
    if shape is not None and pixels.shape != shape:
        raise DataError(f"{where}: shape {pixels.shape} where earlier samples had {shape}; all must be of one size")
    return pixels


def stratified_order(labels: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A random order (n,) in which every stretch holds both classes in about the proportion of the whole."""
    position = np.empty(len(labels))
    for label in (REAL, FAKE):
        members = np.flatnonzero(labels == label)
        position[rng.permutation(members)] = (np.arange(len(members)) + rng.random(len(members))) / max(1, len(members))
    return np.argsort(position, kind="stable")


class Loader:
    """Iterates over a split in batches.

    Args:
        split: where samples and pixels come from.
        batch_size: samples per batch. Training drops an incomplete last batch, evaluation keeps it.
        device: where the batches go.
        train: shuffle (stratified by class) and augment, anew for each epoch.
        seed: with the epoch, decides order, augmentation and any fakes drawn anew.
        first: samples at the beginning that are left out, in evaluation.
        augment: ``none``, ``flip`` (horizontal, half of the images), or ``standard`` (:mod:`dfbench.augment`); real and
            fake alike.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        device: torch.device,
        *,
        train: bool = False,
        seed: int = 0,
        augment: str = "none",
        first: int = 0,
    ) -> None:
        self.split, self.device = split, device
        self.train, self.seed, self.augment = train, seed, augment
        self.labels = np.array([sample.label for sample in split.samples], dtype=np.int64)
        self.batch_size = min(batch_size, max(1, len(self.labels)))
        self.first = first
        self._shape: tuple[int, ...] | None = None

    def __len__(self) -> int:
        """Batches per epoch."""
        n = len(self.labels) - self.first
        return n // self.batch_size if self.train else -(-n // self.batch_size)

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, in their deterministic order."""
        order = np.arange(self.first, len(self.labels))
        if self.train:
            order = stratified_order(self.labels, np.random.default_rng(derive_seed(self.seed, "order", epoch)))
        chunks = [order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(len(self))]
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader") as pool:
            pending: deque[Future[Batch]] = deque()
            try:
                for chunk in chunks:
                    pending.append(pool.submit(self._batch, chunk, epoch))
                    if len(pending) > _AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _batch(self, indices: np.ndarray[Any, Any], epoch: int) -> Batch:
        rows = [self._pixels(int(i), epoch) for i in indices]
        # Permuted, not copied: the tensor is (B, 3, H, W) in channels_last memory, which convolutions run faster on.
        x = torch.from_numpy(np.stack(rows)).to(self.device).permute(0, 3, 1, 2).float().div_(255.0)
        y = torch.from_numpy(self.labels[indices]).to(self.device)
        return Batch(x, y, tuple(self.split.samples[int(i)].id for i in indices))

    def _pixels(self, index: int, epoch: int) -> np.ndarray[Any, Any]:
        sample_id = self.split.samples[index].id
        pixels = check_pixels(self.split.pixels(index, epoch=epoch, seed=self.seed), sample_id, self._shape)
        self._shape = pixels.shape
        if self.train and self.augment != "none" and derive_seed(self.seed, "flip", epoch, sample_id) % 2:
            pixels = pixels[:, ::-1]
        if self.train and self.augment == "standard":
            pixels = standard(pixels, np.random.default_rng(derive_seed(self.seed, "augment", epoch, sample_id)))
        return pixels
