"""Thresholds chosen on clean validation scores and kept, whatever happens to the evaluated images.

A threshold that is chosen on the evaluated scores moves with the attack, and hides what a detector in use would do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfbench.contracts import CLASS_NAMES, FAKE, REAL, MetricUndefined
from dfbench.levels import per_video

Counts = NDArray[np.int64]


class Thresholds(TypedDict):
    """Those of one arm: for samples, and for mean scores of videos where samples are frames of videos.

    By name: ``eer``, where as large a share of reals is called fake as of fakes is called real, and ``fpr_1pct``, where
    at most 1% of the reals are called fake.
    """

    samples: Mapping[str, float]
    videos: Mapping[str, float] | None


def freeze(validation: pd.DataFrame, *, video_level: bool) -> Thresholds:
    """The thresholds of an arm, from its clean validation scores.

    What scores at the threshold or above is called fake. Equal scores are called alike, so that there is one cut
    between any two neighbouring scores, one below all and one above all; the threshold lies midway between the
    neighbours, for the outermost cuts at the lowest score and just above the highest.

    ``eer``: the cut with the smallest difference between the two error rates; of two equally good ones the one with
    fewer errors in all, then the higher. ``fpr_1pct``: the lowest cut with at most 1% of the reals above it. There is
    always one: where the highest scores are those of reals, it lies above all and nothing is called fake. With fewer
    than 100 reals it allows none of them above.

    Args:
        validation: ``label`` and ``score`` of each sample, and for ``video_level`` ``video`` and ``manipulation``.
        video_level: whether the samples are frames of videos.

    Raises:
        MetricUndefined: reals or fakes are missing, and so nothing can be chosen.
    """
    missing = [CLASS_NAMES[c] for c in (REAL, FAKE) if not (validation["label"] == c).any()]
    if missing:
        raise MetricUndefined(f"the validation split has no {missing[0]} samples")
    return {
        "samples": _thresholds(validation),
        "videos": _thresholds(per_video(validation)) if video_level else None,
    }


def called(frame: pd.DataFrame, thresholds: Mapping[str, float] | None) -> pd.DataFrame:
    """The frame with a column ``called_<name>`` for each threshold: whether a row is called fake; without any as it is.

    Args:
        frame: with ``score``.
        thresholds: of one level, e.g. ``freeze(...)["samples"]``.
    """
    return frame.assign(**{f"called_{name}": frame["score"] >= t for name, t in (thresholds or {}).items()})


def _thresholds(frame: pd.DataFrame) -> dict[str, float]:
    cuts, false_fakes, false_reals, reals, fakes = _cuts(frame["score"].to_numpy(float), frame["label"].to_numpy())
    # In whole numbers, so that equal error rates are equal: a rate of reals times fakes, and of fakes times reals.
    gap = np.abs(false_fakes * fakes - false_reals * reals)
    errors = false_fakes * fakes + false_reals * reals
    best = np.lexsort((-cuts, errors, gap))[0]
    allowed = np.flatnonzero(100 * false_fakes <= reals)[0]
    return {"eer": float(cuts[best]), "fpr_1pct": float(cuts[allowed])}


def _cuts(score: NDArray[np.float64], label: NDArray[Any]) -> tuple[NDArray[np.float64], Counts, Counts, int, int]:
    """All cuts in ascending order, the reals above and the fakes below each, and the numbers of reals and fakes."""
    values, place = np.unique(score, return_inverse=True)
    real, fake = (np.bincount(place, label == c, len(values)).astype(np.int64) for c in (REAL, FAKE))
    false_reals = np.append(0, np.cumsum(fake))
    false_fakes = int(real.sum()) - np.append(0, np.cumsum(real))
    middle = values[:-1] + np.diff(values) / 2
    # Between neighbouring doubles there is no middle: the upper one then is the threshold.
    middle = np.where(middle > values[:-1], middle, values[1:])
    cuts = np.concatenate((values[:1], middle, [math.nextafter(values[-1], math.inf)]))
    return cuts, false_fakes, false_reals, int(real.sum()), int(fake.sum())
