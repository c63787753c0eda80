"""Randomness that belongs to a sample, not to a batch: batch size and order cannot change a result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from any parts, stable across processes, machines and Python versions."""
    digest = hashlib.sha256("\x1f".join(str(p) for p in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class SampleRng:
    """Random numbers for a batch, drawn for each sample from (seed, sample id) on the CPU.

    Args:
        seed: the run's seed.
        ids: the samples' ids, in batch order.

    Every draw advances each sample's stream, so two draws differ, and the same sequence of draws gives the same
    numbers whatever batch a sample is in and whatever device it is on.
    """

    def __init__(self, seed: int, ids: Sequence[str]) -> None:
        import torch

        self.seed = seed
        self.ids = tuple(ids)
        self.generators: list[torch.Generator] = []
        for sample_id in self.ids:
            generator = torch.Generator()
            generator.manual_seed(derive_seed(seed, sample_id))
            self.generators.append(generator)

    def uniform(self, like: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high), shape, dtype and device of ``like`` (B, ...)."""
        import torch

        rows = [torch.empty(like.shape[1:], dtype=like.dtype).uniform_(low, high, generator=g) for g in self.generators]
        return torch.stack(rows).to(like.device)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers, shape, dtype and device of ``like`` (B, ...)."""
        import torch

        rows = [torch.empty(like.shape[1:], dtype=like.dtype).normal_(generator=g) for g in self.generators]
        return torch.stack(rows).to(like.device)
