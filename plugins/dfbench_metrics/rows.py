"""What every metric shares: checked input, and bootstrap replicates worked off in bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import CLASS_NAMES, FAKE, Metric, MetricUndefined

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]
RowFunction = Callable[[Labels, Array, Array], Array]

CHUNK = 1 << 20
"""Weights worked on at a time: 8 MiB for each array of intermediate results."""


def metric(*classes: int) -> Callable[[RowFunction], Metric]:
    """Make a metric of a function of ``fake (n,) bool, score (n,), weight (r, n)`` that gives one value per row (r,).

    The function may divide 0 by 0 where a row has no value. The metric checks its input, works off the rows in chunks,
    and gives NaN for a row without a sample.

    Args:
        classes: the classes without which the metric has no value; a row that lacks one is NaN.

    Raises:
        MetricUndefined: (the metric) no samples, a class is missing, or a score is not finite.
        ValueError: (the metric) shapes that do not belong together.
    """

    def decorate(function: RowFunction) -> Metric:
        @functools.wraps(function)
        def wrapper(y: NDArray[Any], score: NDArray[Any], weight: NDArray[Any]) -> Array:
            y, score, weight = np.asarray(y), np.asarray(score, dtype=np.float64), np.asarray(weight)
            _check(y, score, weight, classes)
            fake = y == FAKE
            required = np.stack([y == c for c in classes] or [y >= 0], axis=1).astype(np.float64)
            values = np.empty(len(weight))
            step = max(1, CHUNK // len(y))
            for start in range(0, len(weight), step):
                rows = weight[start : start + step].astype(np.float64)
                defined = (rows @ required > 0).all(axis=1)
                with np.errstate(divide="ignore", invalid="ignore"):
                    values[start : start + step] = np.where(defined, function(fake, score, rows), np.nan)
            return values

        return wrapper

    return decorate


def _check(y: NDArray[Any], score: NDArray[Any], weight: NDArray[Any], classes: tuple[int, ...]) -> None:
    if y.ndim != 1 or y.shape != score.shape or weight.ndim != 2 or weight.shape[1] != len(y):
        raise ValueError(f"y {y.shape}, score {score.shape} and weight {weight.shape} must be (n,), (n,) and (R, n)")
    if not len(y):
        raise MetricUndefined("no samples")
    if not np.isfinite(score).all():
        raise MetricUndefined("a score is not finite")
    missing = [CLASS_NAMES[c] for c in classes if not (y == c).any()]
    if missing:
        raise MetricUndefined(f"no {missing[0]} samples")
