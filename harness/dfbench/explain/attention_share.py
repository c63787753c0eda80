"""How much attention lies outside of the face: the share of the map's mass, beside the share of the image's area."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfbench.contracts import CLASS_NAMES, FAKE
from dfbench.explain.attention_measure import CLEAN, Attention, Box
from dfbench.measure import LEVEL, REPLICATES
from dfbench.rundir import TrainedArm
from dfbench.stats import bootstrap_weights, percentile_interval

Array = NDArray[np.float64]


def coverage(box: Box, image: tuple[int, int], grid: tuple[int, int]) -> Array:
    """The share of each grid cell's area that a box covers (h, w), in [0, 1].

    Args:
        box: left, top, right, bottom in pixels; it may reach beyond the image.
        image: height and width in pixels.
        grid: rows and columns of the map, which divide the image evenly.
    """
    (height, width), (left, top, right, bottom) = image, box
    return np.outer(_overlap(top, bottom, height, grid[0]), _overlap(left, right, width, grid[1]))


def _overlap(low: float, high: float, length: int, cells: int) -> Array:
    edges = np.linspace(0, length, cells + 1)
    return (np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)).clip(0) * cells / length


def outside(maps: NDArray[Any], boxes: Sequence[Box | None], image: tuple[int, int]) -> Array:
    """The share of each map's mass outside of the box (n,); a cell's mass is spread evenly over its area.

    NaN where there is no box, or no mass.
    """
    shares = np.full(len(maps), np.nan)
    for row, (one, box) in enumerate(zip(maps, boxes, strict=True)):
        if box is not None and one.any():
            shares[row] = 1 - float((one * coverage(box, image, one.shape)).sum() / one.sum())
    return shares


def summary(attention: Attention) -> pd.DataFrame:
    """A row per detector, class and condition.

    Columns: ``arm, class, attack``; ``n`` samples; the mean ``score`` of fake and the share ``correct`` of them;
    ``no_face`` and ``zero_map``, the samples without a face or with an empty map, which the columns after it leave out;
    ``outside_n`` samples; ``outside``, the mean share of attention outside of the face box, with its 95% interval
    ``low, high``; ``area``, the mean share of the image's area outside of it, which a uniform map would have;
    ``change`` against the clean images, paired, with its interval. Intervals: percentile bootstrap, clustered by
    video. Empty where there is no number.
    """
    labels = attention.labels
    rows = [
        _row(attention, arm, condition, label, np.flatnonzero(labels == label))
        for arm, condition in attention.looks
        for label in sorted(set(labels.tolist()))
    ]
    return pd.DataFrame(rows)


def _row(
    attention: Attention, arm: TrainedArm, condition: str, label: int, members: NDArray[np.intp]
) -> dict[str, Any]:
    image = (attention.images.shape[1], attention.images.shape[2])
    boxes = [attention.boxes[index] for index in members]
    videos = np.array([attention.samples[index].video for index in members])
    ours, clean = attention.looks[arm, condition], attention.looks[arm, CLEAN]
    scores = ours.scores[members]
    shares = outside(ours.maps[members], boxes, image)
    change = shares - outside(clean.maps[members], boxes, image)
    used = ~np.isnan(shares)
    area = outside(np.ones((len(members), 1, 1)), boxes, image)[used]
    return {
        "arm": attention.arms[arm],
        "class": CLASS_NAMES[label],
        "attack": condition,
        "n": len(members),
        "score": scores.mean(),
        "correct": ((scores >= 0.5) == (label == FAKE)).mean(),
        "no_face": sum(box is None for box in boxes),
        "zero_map": int((~ours.maps[members].any((1, 2))).sum()),
        "outside_n": int(used.sum()),
        **_mean("outside", shares, videos),
        "area": area.mean() if len(area) else np.nan,
        **({} if condition == CLEAN else _mean("change", change, videos)),
    }


def _mean(name: str, values: Array, videos: NDArray[Any]) -> dict[str, float]:
    """The mean of what is defined, with its interval."""
    used = ~np.isnan(values)
    low = high = np.nan
    if used.any():
        weights = bootstrap_weights(videos[used], REPLICATES, seed=0)
        drawn = (weights @ values[used]) / weights.sum(1)
        low, high = percentile_interval(drawn, LEVEL) or (np.nan, np.nan)
    prefix = "" if name == "outside" else f"{name}_"
    return {name: values[used].mean() if used.any() else np.nan, f"{prefix}low": low, f"{prefix}high": high}


def mean_maps(attention: Attention) -> pd.DataFrame:
    """The mean map of each detector, class and condition: ``arm, class, attack, n, row, column, mean``, a row per cell
    of the grid."""
    parts = []
    for (arm, condition), ours in attention.looks.items():
        for label in sorted(set(attention.labels.tolist())):
            maps = ours.maps[attention.labels == label]
            mean = maps.mean(0)
            rows, columns = np.indices(mean.shape).reshape(2, -1)
            parts.append(
                pd.DataFrame(
                    {
                        "arm": attention.arms[arm],
                        "class": CLASS_NAMES[label],
                        "attack": condition,
                        "n": len(maps),
                        "row": rows,
                        "column": columns,
                        "mean": mean.ravel(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)
