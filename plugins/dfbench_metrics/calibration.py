"""Calibration: is a detector right as often as it claims to be?"""

from __future__ import annotations

import numpy as np

from dfbench_metrics.rows import Array, Labels, metric
from dfbench_metrics.threshold import THRESHOLD

BINS = 15


@metric()
def ece(fake: Labels, score: Array, weight: Array) -> Array:
    """Expected calibration error, in [0, 1]: the mean distance between confidence and accuracy.

    The confidence is the probability of the predicted class, max(score, 1 - score). Samples are put into 15 bins of
    equal width over [0, 1], ((m - 1)/15, m/15]; with two classes those below 0.5 stay empty. The distance between mean
    confidence and share of right answers in each bin is averaged over the samples (Guo et al., ICML 2017, eq. 3). In
    small samples it is biased upwards: also a calibrated detector has some. Resampling adds as much bias again, so that
    a bootstrap interval would lie above the truth, and it has none.
    """
    confidence = np.maximum(score, 1 - score)
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.zeros((len(score), BINS))
    gaps[np.arange(len(score)), place] = (fake == (score >= THRESHOLD)) - confidence
    error: Array = np.abs(weight @ gaps[:, np.unique(place)]).sum(axis=1) / weight.sum(axis=1)
    return error
