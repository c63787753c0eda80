"""A split whose pixels are rows of an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import Sample, Split


class ArraySplit(Split):
    """Samples whose pixels never change.

    Args:
        samples: the samples.
        images: RGB uint8 (n, S, S, 3).
        rows: for each sample its row of ``images``.
    """

    def __init__(self, samples: Sequence[Sample], images: NDArray[Any], rows: Sequence[int]) -> None:
        self.samples, self._images, self._rows = samples, images, rows

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> NDArray[Any]:
        """RGB uint8 (S, S, 3); the same for every epoch and seed."""
        return np.array(self._images[self._rows[index]])
