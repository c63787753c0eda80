"""Metrics of scores, with their bootstrap intervals and paired differences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from dfbench.contracts import MetricSpec, MetricUndefined
from dfbench.errors import DataError
from dfbench.levels import manipulations, of_manipulation, per_video
from dfbench.registry import Component
from dfbench.stats import bootstrap_weights, percentile_interval

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
        rows: of every metric with a direction, the value and then those of the bootstrap replicates (1 + R,).
    """

    n: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, list[float] | None] = field(default_factory=dict)
    rows: dict[str, Array] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Its part of a record."""
        return {"n": self.n, "metrics": self.metrics, "undefined": self.undefined, "intervals": self.intervals}

    def minus(self, base: Measured) -> dict[str, Any]:
        """By metric, the paired difference to ``base`` and its interval.

        Both were measured by one call of :func:`measure`, so that their replicates drew the same samples: what makes a
        replicate easy or hard cancels.
        """
        pairs = {name: rows - base.rows[name] for name, rows in self.rows.items() if name in base.rows}
        return {name: {"value": float(rows[0]), "interval": interval(rows)} for name, rows in pairs.items()}


@dataclass
class Levels:
    """The metrics of one cell by sample, by video where that means something, and by manipulation where there are
    several: the fakes of each against all real samples, by video where that means something."""

    samples: Measured = field(default_factory=Measured)
    videos: Measured | None = None
    manipulations: dict[str, Measured] = field(default_factory=dict)


def measure_levels(metrics: Sequence[Component], frames: Sequence[pd.DataFrame], *, video_level: bool) -> list[Levels]:
    """Every metric on the scores of several cells that hold the same samples, at all levels; see :func:`measure`.

    Args:
        metrics, frames: as for :func:`measure`, with the column ``manipulation`` too.
        video_level: whether the samples are frames of videos.
    """
    found = [Levels(samples=measured) for measured in measure(metrics, frames)]
    if video_level:
        frames = [per_video(frame) for frame in frames]
        for levels, measured in zip(found, measure(metrics, frames), strict=True):
            levels.videos = measured
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
    metrics: Sequence[Component], frames: Sequence[pd.DataFrame], *, replicates: int = REPLICATES
) -> list[Measured]:
    """Every metric on the scores of several cells that hold the same samples.

    Args:
        metrics: the metrics; one whose columns a frame lacks is left out of its cell.
        frames: per cell ``video`` and what metrics are computed from (``label, score``, ...), in one order of samples;
            clusters are the videos.
        replicates: bootstrap replicates; 0 for values without intervals.

    Raises:
        DataError: the cells do not hold the same samples in the same order.
    """
    if not frames:
        return []
    first = frames[0]
    for other in frames[1:]:
        if any(not first[name].equals(other[name]) for name in _SAME if name in first.columns):
            raise DataError("cells of one data set and split hold different samples: remove them from the cache")
    drawn = bootstrap_weights(first["video"].tolist(), replicates, seed=0)
    # The samples themselves are the first row; the replicates follow.
    weights = np.vstack([np.ones(len(first), np.int32), drawn])
    weights.flags.writeable = False  # the threads share it
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda frame: _measure(metrics, frame, weights), frames))


def _measure(metrics: Sequence[Component], frame: pd.DataFrame, weights: Array) -> Measured:
    measured = Measured(len(frame))
    for metric in metrics:
        spec = metric.spec
        assert isinstance(spec, MetricSpec)
        if not set(spec.columns) <= set(frame.columns):
            continue
        name, directed = spec.name, spec.higher_is_better is not None  # only then an interval means something
        columns = [frame[column].to_numpy() for column in spec.columns]
        rows, reason = _rows(metric, columns, weights if directed else weights[:1])
        measured.metrics[name] = None if reason else float(rows[0])
        if reason:
            measured.undefined[name] = reason
        elif directed:
            measured.rows[name], measured.intervals[name] = rows, interval(rows)
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
