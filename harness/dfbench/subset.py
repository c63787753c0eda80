"""Some samples of a split, as a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dfbench.contracts import Split


class Subset(Split):
    """Some samples of a split.

    Args:
        whole: the split.
        indices: which of its samples, in the order they shall have.
    """

    def __init__(self, whole: Split, indices: Sequence[int]) -> None:
        self._whole, self._indices = whole, list(indices)
        self.samples = [whole.samples[index] for index in self._indices]

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray[Any, Any]:
        """See :class:`~dfbench.contracts.Split`."""
        return self._whole.pixels(self._indices[index], epoch=epoch, seed=seed)
