"""Metrics of scores, with their bootstrap intervals and paired differences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from typing import Any

import numpy as np
import pandas as pd

from dfbench.contracts import MetricSpec, MetricUndefined
from dfbench.errors import DataError
from dfbench.levels import clusters, decided_by, manipulations, of_manipulation, per_video
from dfbench.registry import Component
from dfbench.significance import BOOTSTRAP, DELONG, MCNEMAR, bootstrap_p, delong, mcnemar
from dfbench.stats import bootstrap_weights, percentile_interval
from dfbench.thresholds import Thresholds, called

REPLICATES = 1000
LEVEL = 0.95

AFFORDABLE = 20_000
"""Rows of all manipulations together up to which their metrics get intervals too: seconds per cell, not minutes."""

_SAME = ("id", "video", "manipulation", "label")
_WORKERS = 8

Array = np.ndarray[Any, Any]


@dataclass
class Measured:
    """The metrics of one cell at one level.

    Args:
        n: samples, or videos.
        metrics: values by metric; None where a metric has none, and ``undefined`` then tells why.
        undefined: reasons by metric.
        intervals: (low, high) of every metric with a direction; None where the replicates do not give one.
        rows: of every metric with a direction, the value and then those of the bootstrap replicates (1 + R,), of which
            there are none for a metric that resampling biases.
        evidence: of every metric whose differences have an exact test, that test (``MetricSpec.test``) and the labels
            and scores that it takes (n,); empty where samples depend on each other.
    """

    n: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, list[float] | None] = field(default_factory=dict)
    rows: dict[str, Array] = field(default_factory=dict)
    evidence: dict[str, tuple[str, Array, Array]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Its part of a record."""
        return {"n": self.n, "metrics": self.metrics, "undefined": self.undefined, "intervals": self.intervals}

    def minus(self, base: Measured) -> dict[str, Any]:
        """By metric, the paired difference to ``base``, its interval, its two-sided p and the test that p is of.

        Both were measured by one call of :func:`measure`, so that their replicates drew the same samples: what makes a
        replicate easy or hard cancels. The test is DeLong's for areas under the ROC curve and McNemar's for shares of
        right decisions, where samples are independent of each other, else the bootstrap (:mod:`dfbench.significance`).
        """
        found = {}
        for name in self.rows:
            if name in base.rows:
                rows = self.rows[name] - base.rows[name]
                p, test = self._tested(name, base, rows)
                found[name] = {"value": float(rows[0]), "interval": interval(rows), "p": p, "test": test}
        return found

    def _tested(self, name: str, base: Measured, rows: Array) -> tuple[float | None, str]:
        """The p of a difference, and by which test."""
        if name not in self.evidence or name not in base.evidence:
            return bootstrap_p(rows), BOOTSTRAP
        test, label, ours = self.evidence[name]
        *_, theirs = base.evidence[name]
        if test == "delong":
            found = delong(label, ours, theirs)
            return found.p if found else None, DELONG
        return mcnemar((ours >= 0.5) == label, (theirs >= 0.5) == label), MCNEMAR


@dataclass
class Levels:
    """The metrics of one cell by sample, by video where that means something, and by manipulation where there are
    several: the fakes of each against all real samples, by video where that means something."""

    samples: Measured = field(default_factory=Measured)
    videos: Measured | None = None
    manipulations: dict[str, Measured] = field(default_factory=dict)


def measure_levels(
    metrics: Sequence[Component],
    frames: Sequence[pd.DataFrame],
    *,
    video_level: bool,
    thresholds: Sequence[Thresholds | None] | None = None,
    by: str = "",
) -> list[Levels]:
    """Every metric on the scores of several cells that hold the same samples, at all levels; see :func:`measure`.

    A cell of an attack that stops at the first success (``worst_score`` in place of ``score``) has samples only: a mean
    of such scores over a video says nothing, nor does a threshold other than the one that the attack stopped at.

    Args:
        metrics, frames: as for :func:`measure`, with the column ``manipulation`` too.
        video_level: whether the samples are frames of videos.
        thresholds: for each frame those that its arm's were frozen at (:mod:`dfbench.thresholds`); None: it has none.
        by: as for :func:`dfbench.levels.clusters`.
    """
    if not frames:
        return []
    _check_same(frames)
    group, _ = clusters(frames[0], by)  # once for all levels: of a part of the samples the groups would be others
    frozen = thresholds or [None] * len(frames)
    cells = [(frame.assign(cluster=group), own) for frame, own in zip(frames, frozen, strict=True)]
    worst = [decided_by(frame) == "worst_score" for frame in frames]
    scores = iter(_measure_scores(metrics, list(compress(cells, map(not_, worst))), video_level=video_level))
    worsts = iter(_by_manipulation(metrics, [frame for frame, _ in compress(cells, worst)]))
    return [next(worsts if stopped else scores) for stopped in worst]


def _measure_scores(
    metrics: Sequence[Component], cells: Sequence[tuple[pd.DataFrame, Thresholds | None]], *, video_level: bool
) -> list[Levels]:
    """The levels of cells that have a score of each sample, with the thresholds of their arms."""
    samples = [called(frame, own["samples"] if own else None) for frame, own in cells]
    if not video_level:
        return _by_manipulation(metrics, samples)
    videos = [called(per_video(frame), own["videos"] if own else None) for frame, own in cells]
    found = _by_manipulation(metrics, videos)
    for levels, measured in zip(found, measure(metrics, samples), strict=True):
        levels.videos, levels.samples = levels.samples, measured
    return found


def _by_manipulation(metrics: Sequence[Component], frames: Sequence[pd.DataFrame]) -> list[Levels]:
    """What all rows give, and what those of each manipulation do, where there are several."""
    found = [Levels(samples=measured) for measured in measure(metrics, frames)]
    names = manipulations(frames[0]) if frames else []
    if len(names) > 1:
        affordable = sum(len(of_manipulation(frames[0], name)) for name in names) <= AFFORDABLE
        for name in names:
            rows = [of_manipulation(frame, name) for frame in frames]
            measures = measure(metrics, rows, replicates=REPLICATES if affordable else 0)
            for levels, measured in zip(found, measures, strict=True):
                levels.manipulations[name] = measured
    return found


def measure(
    metrics: Sequence[Component], frames: Sequence[pd.DataFrame], *, replicates: int = REPLICATES, by: str = ""
) -> list[Measured]:
    """Every metric on the scores of several cells that hold the same samples.

    Args:
        metrics: the metrics; one whose columns a frame lacks is left out of its cell.
        frames: per cell ``video`` and what metrics are computed from (``label, score``, ...), in one order of samples.
            What belongs together is told by ``cluster`` where there is such a column, else found by
            :func:`dfbench.levels.clusters`.
        replicates: bootstrap replicates; 0 for values without intervals.
        by: as for :func:`dfbench.levels.clusters`.

    Raises:
        DataError: the cells do not hold the same samples in the same order.
    """
    if not frames:
        return []
    _check_same(frames)
    first = frames[0]
    group = first["cluster"].tolist() if "cluster" in first.columns else clusters(first, by)[0]
    drawn = bootstrap_weights(group, replicates, seed=0)
    # The samples themselves are the first row; the replicates follow.
    weights = np.vstack([np.ones(len(first), np.int32), drawn])
    weights.flags.writeable = False  # the threads share it
    independent = len(set(group)) == len(first)
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda frame: _measure(metrics, frame, weights, independent=independent), frames))


def _check_same(frames: Sequence[pd.DataFrame]) -> None:
    first = frames[0]
    for other in frames[1:]:
        if any(not first[name].equals(other[name]) for name in _SAME if name in first.columns):
            raise DataError("cells of one data set and split hold different samples: remove them from the cache")


def _measure(metrics: Sequence[Component], frame: pd.DataFrame, weights: Array, *, independent: bool) -> Measured:
    measured = Measured(len(frame))
    for metric in metrics:
        spec = metric.spec
        assert isinstance(spec, MetricSpec)
        if not set(spec.columns) <= set(frame.columns):
            continue
        name, directed = spec.name, spec.higher_is_better is not None  # only then an interval means something
        columns = [frame[column].to_numpy() for column in spec.columns]
        rows, reason = _rows(metric, columns, weights if directed and spec.test != "none" else weights[:1])
        measured.metrics[name] = None if reason else float(rows[0])
        if reason:
            measured.undefined[name] = reason
        elif directed:
            measured.rows[name], measured.intervals[name] = rows, interval(rows)
            if spec.test in ("delong", "mcnemar") and independent:
                measured.evidence[name] = (spec.test, columns[0], columns[1])
    return measured


def _rows(metric: Component, columns: Sequence[Array], weights: Array) -> tuple[Array, str]:
    """The metric's value for each row of the weights, or why it has none."""
    nothing = np.array([])
    try:
        rows = np.asarray(metric.load()(*columns, weights), dtype=float)
    except MetricUndefined as reason:
        return nothing, str(reason)
    except Exception as error:
        return nothing, f"the metric failed: {type(error).__name__}: {error}"
    if rows.shape != (len(weights),):
        return nothing, f"the metric gave shape {rows.shape}, not ({len(weights)},)"
    if not np.isfinite(rows[0]):
        return nothing, "the metric gave no finite number"
    return rows, ""


def interval(rows: Array) -> list[float] | None:
    """The interval of a value whose bootstrap replicates follow it, (1 + R,); None where they do not give one."""
    found = percentile_interval(rows[1:], LEVEL)
    return None if found is None else [float(found[0]), float(found[1])]
