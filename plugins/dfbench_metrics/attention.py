"""Metrics of attention under attack: is a detector's Grad-CAM map still the one of the clean image?

Each is a mean over samples of one column of :meth:`dfbench.attention.Attention.look`. NaN stands for no value there,
and such samples are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import MetricUndefined
from dfbench_metrics.rows import Array, by_chunks, check_shapes

Column = NDArray[Any]

_NO_VALUE = "no sample {}has two maps to compare: they are empty or constant, or their grid is too small"


def mean(value: Column, weight: Column) -> Array:
    """Mean over the samples that have a value."""
    return _mean(value, ~np.isnan(value), weight, _NO_VALUE.format(""))


def mean_flipped(value: Column, flipped: Column, weight: Column) -> Array:
    """Mean over the samples that have a value, where the predicted class is another than on the clean image."""
    return _mean(value, ~np.isnan(value) & (flipped != 0), weight, _NO_VALUE.format("with a changed prediction "))


def mean_unflipped(value: Column, flipped: Column, weight: Column) -> Array:
    """Mean over the samples that have a value, where the predicted class is the one on the clean image."""
    return _mean(value, ~np.isnan(value) & (flipped == 0), weight, _NO_VALUE.format("with an unchanged prediction "))


def iinc_consistency(value: Column, weight: Column) -> Array:
    """1 - IINC, in [0, 1], higher is better: what the reference paper tabulates under the name "IINC"."""
    return 1 - mean(value, weight)


def degenerate(empty_clean: Column, empty: Column, weight: Column) -> Array:
    """Share of samples, in [0, 1], whose map is empty on the clean image or on what became of it."""
    return share((empty_clean != 0) | (empty != 0), weight)


def share(holds: Column, weight: Column) -> Array:
    """Share of samples, in [0, 1], of which something holds."""
    return _mean(holds, np.ones(len(holds), dtype=bool), weight, "no samples")


def _mean(value: Column, counts: NDArray[np.bool_], weight: Column, missing: str) -> Array:
    """Weighted mean of those that count, for each row of the weights (R,); NaN for a row that holds none of them.

    Raises:
        MetricUndefined: none counts at all; ``missing`` says so.
        ValueError: shapes that do not belong together.
    """
    check_shapes(weight, value=value, counts=counts)
    if not counts.any():
        raise MetricUndefined(missing)
    terms = np.stack([np.where(counts, value, 0.0), counts], axis=1).astype(np.float64)

    def means(rows: Array) -> Array:
        total, count = (rows @ terms).T
        found: Array = np.divide(total, count, out=np.full(len(rows), np.nan), where=count > 0)
        return found

    return by_chunks(means, weight)
