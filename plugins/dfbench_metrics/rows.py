"""What every metric shares: checked input, and bootstrap replicates worked off in bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import CLASS_NAMES, FAKE, MetricUndefined

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]
RowFunction = Callable[[Labels, Array, Array], Array]
ScoreMetric = Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], Array]

CHUNK = 1 << 20
"""Weights worked on at a time: 8 MiB for each array of intermediate results."""


def metric(*classes: int) -> Callable[[RowFunction], ScoreMetric]:
    """Make a metric of a function of ``fake (n,) bool, score (n,), weight (r, n)`` that gives one value per row (r,).

    The function may divide 0 by 0 where a row has no value. The metric checks its input, works off the rows in chunks,
    and gives NaN for a row without a sample.

    Args:
        classes: the classes without which the metric has no value; a row that lacks one is NaN.

    Raises:
        MetricUndefined: (the metric) no samples, a class is missing, or a score is not finite.
        ValueError: (the metric) shapes that do not belong together.
    """

    def decorate(function: RowFunction) -> ScoreMetric:
        @functools.wraps(function)
        def wrapper(y: NDArray[Any], score: NDArray[Any], weight: NDArray[Any]) -> Array:
            y, score, weight = np.asarray(y), np.asarray(score, dtype=np.float64), np.asarray(weight)
            _check(y, score, weight, classes)
            fake = y == FAKE
            required = np.stack([y == c for c in classes] or [y >= 0], axis=1).astype(np.float64)

            def values(rows: Array) -> Array:
                defined = (rows @ required > 0).all(axis=1)
                with np.errstate(divide="ignore", invalid="ignore"):
                    return np.where(defined, function(fake, score, rows), np.nan)

            return by_chunks(values, weight)

        return wrapper

    return decorate


def by_chunks(values: Callable[[Array], Array], weight: NDArray[Any]) -> Array:
    """A function of weights (r, n) that gives one value per row (r,), on all rows of ``weight`` (R, n) by chunks."""
    found = np.empty(len(weight))
    step = max(1, CHUNK // weight.shape[1])
    for start in range(0, len(weight), step):
        found[start : start + step] = values(weight[start : start + step].astype(np.float64))
    return found


def check_shapes(weight: NDArray[Any], **columns: NDArray[Any]) -> None:
    """Refuse columns that are not (n,) for a weight of (R, n).

    Raises:
        ValueError: the message names the shapes.
    """
    if weight.ndim != 2 or any(column.shape != weight.shape[1:] for column in columns.values()):
        told = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise ValueError(f"{told} and weight {weight.shape} must be (n,) each and (R, n)")


def _check(y: NDArray[Any], score: NDArray[Any], weight: NDArray[Any], classes: tuple[int, ...]) -> None:
    check_shapes(weight, y=y, score=score)
    if not len(y):
        raise MetricUndefined("no samples")
    if not np.isfinite(score).all():
        raise MetricUndefined("a score is not finite")
    missing = [CLASS_NAMES[c] for c in classes if not (y == c).any()]
    if missing:
        raise MetricUndefined(f"no {missing[0]} samples")
