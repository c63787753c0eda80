"""Metrics of the ranking by score, whatever the threshold. Tied scores enter together, as one threshold."""

from __future__ import annotations

import numpy as np

from dfbench.contracts import FAKE, REAL
from dfbench_metrics.rows import Array, Labels, metric

FPR_LIMIT = 0.01


@metric(REAL, FAKE)
def auc(fake: Labels, score: Array, weight: Array) -> Array:
    """Area under the ROC curve, in [0, 1]: how often a fake scores above a real, a tie counting half."""
    fp, tp = _curve(fake, score, weight)
    areas = np.diff(fp) * (tp[:, 1:] + tp[:, :-1]) / 2
    area: Array = areas.sum(axis=1) / (fp[:, -1] * tp[:, -1])
    return area


@metric(REAL, FAKE)
def ap(fake: Labels, score: Array, weight: Array) -> Array:
    """Average precision, in [0, 1]: sum over thresholds of precision times the step in recall, not interpolated."""
    fp, tp = _curve(fake, score, weight)
    called = fp[:, 1:] + tp[:, 1:]
    precision = tp[:, 1:] / np.maximum(called, 1)  # where nothing is called fake yet, recall takes no step either
    average: Array = (precision * np.diff(tp)).sum(axis=1) / tp[:, -1]
    return average


@metric(REAL, FAKE)
def eer(fake: Labels, score: Array, weight: Array) -> Array:
    """Equal error rate, in [0, 1]: where FPR = 1 - TPR on the ROC curve, whose points are joined by straight lines."""
    fp, tp = _curve(fake, score, weight)
    fpr, tpr = fp / fp[:, -1:], tp / tp[:, -1:]
    excess = fpr + tpr - 1  # rises from -1 to 1 along the curve
    after = (excess >= 0).argmax(axis=1)[:, None]
    low, high = (np.take_along_axis(excess, i, axis=1) for i in (after - 1, after))
    start, end = (np.take_along_axis(fpr, i, axis=1) for i in (after - 1, after))
    crossing: Array = start - low / (high - low) * (end - start)
    return crossing[:, 0]


@metric(REAL, FAKE)
def tpr_at_fpr_1pct(fake: Labels, score: Array, weight: Array) -> Array:
    """Highest true-positive rate, in [0, 1], of a threshold with at most 1% false positives.

    Thresholds between tied scores do not exist, and nothing is interpolated: with fewer than 100 reals this is the
    true-positive rate at no false positive at all.
    """
    fp, tp = _curve(fake, score, weight)
    allowed = fp <= FPR_LIMIT * fp[:, -1:]  # the double 0.01 is a hair above 1/100: exactly 1% passes
    best: Array = np.where(allowed, tp, 0).max(axis=1)
    return best / tp[:, -1]


def _curve(fake: Labels, score: Array, weight: Array) -> tuple[Array, Array]:
    """False and true positives (r, thresholds + 1), from calling nothing fake to calling everything fake."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last_of_tie = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    weight = np.take(weight, order, axis=1)
    curves = np.zeros((2, len(weight), len(order) + 1))
    for curve, members in zip(curves, (~fake, fake), strict=True):
        np.cumsum(weight * members[order].astype(np.float64), axis=1, out=curve[:, 1:])
    if len(last_of_tie) < len(order):
        curves = np.take(curves, np.append(0, last_of_tie + 1), axis=2)
    return curves[0], curves[1]
