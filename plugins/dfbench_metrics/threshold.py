"""Metrics of the decision: a score of 0.5 or more is called fake, the positive class.

They serve for other decisions too: of ``called_*``, what a frozen threshold says (:mod:`dfbench.thresholds`), True for
fake, and of ``worst_score``, under an attack that stops at its first success.
"""

from __future__ import annotations

import numpy as np

from dfbench.contracts import FAKE, REAL
from dfbench_metrics.rows import Array, Labels, metric

THRESHOLD = 0.5


@metric()
def tp(fake: Labels, score: Array, weight: Array) -> Array:
    """Count of fakes called fake."""
    return _sum(weight, fake & (score >= THRESHOLD))


@metric()
def fp(fake: Labels, score: Array, weight: Array) -> Array:
    """Count of reals called fake."""
    return _sum(weight, ~fake & (score >= THRESHOLD))


@metric()
def tn(fake: Labels, score: Array, weight: Array) -> Array:
    """Count of reals called real."""
    return _sum(weight, ~fake & (score < THRESHOLD))


@metric()
def fn(fake: Labels, score: Array, weight: Array) -> Array:
    """Count of fakes called real."""
    return _sum(weight, fake & (score < THRESHOLD))


@metric()
def n(fake: Labels, score: Array, weight: Array) -> Array:
    """Number of samples."""
    return _all(weight)


@metric()
def accuracy(fake: Labels, score: Array, weight: Array) -> Array:
    """Share of samples classified rightly, in [0, 1]. Compare with the floors of constant answers."""
    return _sum(weight, fake == (score >= THRESHOLD)) / _all(weight)


@metric(FAKE)
def accuracy_fake(fake: Labels, score: Array, weight: Array) -> Array:
    """Share of fakes called fake, in [0, 1]: the true-positive rate. Under attack: evasion (fake to real) withstood."""
    return _sum(weight, fake & (score >= THRESHOLD)) / _sum(weight, fake)


@metric(REAL)
def accuracy_real(fake: Labels, score: Array, weight: Array) -> Array:
    """Share of reals called real, in [0, 1]: 1 - FPR. Under attack: framing (real to fake) withstood."""
    return _sum(weight, ~fake & (score < THRESHOLD)) / _sum(weight, ~fake)


@metric(REAL)
def false_positive_rate(fake: Labels, score: Array, weight: Array) -> Array:
    """Share of reals called fake, in [0, 1]."""
    return _sum(weight, ~fake & (score >= THRESHOLD)) / _sum(weight, ~fake)


@metric(REAL, FAKE)
def balanced_accuracy(fake: Labels, score: Array, weight: Array) -> Array:
    """Mean of the shares of real and of fake samples classified rightly, in [0, 1]; any constant answer has 0.5."""
    called = score >= THRESHOLD
    return (_sum(weight, fake & called) / _sum(weight, fake) + _sum(weight, ~fake & ~called) / _sum(weight, ~fake)) / 2


@metric(FAKE)
def f1_fake(fake: Labels, score: Array, weight: Array) -> Array:
    """F1 with fake as the positive class, in [0, 1]: 2 tp / (2 tp + fp + fn). Undefined without fakes."""
    return _f1(fake, score >= THRESHOLD, weight)


@metric(REAL)
def f1_real(fake: Labels, score: Array, weight: Array) -> Array:
    """F1 with real as the positive class, in [0, 1]: 2 tn / (2 tn + fp + fn). Undefined without reals."""
    return _f1(~fake, score < THRESHOLD, weight)


@metric(REAL, FAKE)
def f1_macro(fake: Labels, score: Array, weight: Array) -> Array:
    """Mean of F1_real and F1_fake. For an accuracy a it lies in [a / (1 + a), a]."""
    return (_f1(fake, score >= THRESHOLD, weight) + _f1(~fake, score < THRESHOLD, weight)) / 2


@metric()
def always_fake_accuracy(fake: Labels, score: Array, weight: Array) -> Array:
    """Accuracy of answering fake always: the share of fakes."""
    return _sum(weight, fake) / _all(weight)


@metric()
def always_real_accuracy(fake: Labels, score: Array, weight: Array) -> Array:
    """Accuracy of answering real always: the share of reals."""
    return _sum(weight, ~fake) / _all(weight)


def _f1(positive: Labels, called: Labels, weight: Array) -> Array:
    return 2 * _sum(weight, positive & called) / (_sum(weight, positive) + _sum(weight, called))


def _sum(weight: Array, members: Labels) -> Array:
    """Weight of the members in each row (r,). A float vector, because numpy multiplies by a bool one without BLAS."""
    total: Array = weight @ members.astype(np.float64)
    return total


def _all(weight: Array) -> Array:
    total: Array = weight.sum(axis=1)
    return total
