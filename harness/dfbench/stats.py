"""Pure numerics: the cluster bootstrap and percentile intervals.

Frames of one video, or images of one person, are no independent samples, so whole clusters are drawn with replacement
(Field and Welsh, J. R. Statist. Soc. B 69, 2007). The draw is not stratified by class: the share of fakes is part of
the sampling. A replicate that happens to lack a class has no value for some metrics; it is NaN, and left out of the
interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_DEFINED = 0.95
"""Share of replicates that must have a value; below it an interval would describe a selection of them."""

_CHUNK = 1 << 20


def bootstrap_weights(clusters: Sequence[str] | NDArray[Any], replicates: int, seed: int) -> NDArray[np.int32]:
    """How often each sample counts in each bootstrap replicate, when whole clusters are drawn with replacement.

    Args:
        clusters: the cluster of each sample, (n,), see :func:`dfbench.levels.clusters`.
        replicates: number of replicates R.
        seed: the same seed and clusters give the same weights; a cluster's weights do not depend on the order of the
            samples.

    Returns:
        Counts (R, n), equal within a cluster. No rows at all where there are fewer than two clusters: one cluster says
        nothing about the spread between clusters.
    """
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    count = len(names)
    if count < 2:
        return np.zeros((0, len(members)), dtype=np.int32)
    generator = np.random.Generator(np.random.PCG64(seed))
    weights = np.empty((replicates, len(members)), dtype=np.int32)
    step = max(1, _CHUNK // count)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        # Scaled uniform numbers: their stream, unlike that of integers(), is the same in every version of numpy.
        drawn = (generator.random((rows, count)) * count).astype(np.int64)
        drawn += np.arange(rows)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        weights[start : start + rows] = counts[:, members]
    return weights


def percentile_interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float] | None:
    """The percentile bootstrap interval of a metric.

    For few clusters it covers a little less than its level: simulated, 95% intervals of accuracy, AUC and their paired
    differences over 150 to 250 clusters hold the truth 93 to 96 times in 100.

    Args:
        values: the metric in each replicate (R,), NaN where it is undefined.
        level: coverage aimed at, in (0, 1).

    Returns:
        (low, high), or None where there are no replicates or more than 5% of them are undefined.
    """
    defined = values[~np.isnan(values)]
    if not len(defined) or len(defined) < MIN_DEFINED * len(values):
        return None
    low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
