"""Tests of differences: DeLong for AUC, McNemar for accuracy, the bootstrap otherwise; and Holm over many of them.

DeLong and McNemar take samples for independent of each other: they are for samples of which each is a cluster of its
own. What shares videos or people is tested with the bootstrap of its clusters. Where people are too few to be drawn
(:func:`dfbench.levels.clusters`), neither knows of what they have in common: a record says so of its intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, rankdata

from dfbench.contracts import FAKE, REAL
from dfbench.recordcells import excludes_0
from dfbench.stats import MIN_DEFINED

DELONG, MCNEMAR, BOOTSTRAP = "DeLong", "McNemar", "bootstrap"
"""What a record calls the tests."""

ALPHA = 0.05
"""A difference is significant where its p, adjusted over all that are looked at together, is below this."""


@dataclass(frozen=True)
class AucDifference:
    """The difference of two AUCs of the same samples, its standard error, and its two-sided p.

    ``p`` is 1 where the AUCs are equal in every respect, so that there is no variance either, and None where there is
    a difference without any variance: each of the two is then perfect or perfectly wrong, and nothing tells how sure
    the difference is.
    """

    value: float
    error: float
    p: float | None


def delong(label: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> AucDifference | None:
    """Compare the AUCs of two detectors on the same independent samples.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, with the structural components from midranks as in Sun and
    Xu, IEEE Signal Processing Letters 21, 2014: O(n log n). A tie counts half.

    Args:
        label: 0 real, 1 fake, (n,).
        a, b: scores of the two detectors, (n,), higher for fake.

    Returns:
        AUC of ``a`` minus AUC of ``b``; None with fewer than two samples of a class, which tell no variance.
    """
    fake, real = np.asarray(label) == FAKE, np.asarray(label) == REAL
    count = int(fake.sum()), int(real.sum())
    if min(count) < 2:
        return None
    parts = [_components(np.asarray(score, dtype=float), fake, real) for score in (a, b)]
    of_fakes, of_reals = (ours - theirs for ours, theirs in zip(*parts, strict=True))
    value = float(of_fakes.mean())
    error = float(np.sqrt(of_fakes.var(ddof=1) / count[0] + of_reals.var(ddof=1) / count[1]))
    if error < np.finfo(float).eps * sum(count):  # rounding alone
        return AucDifference(value, 0.0, 1.0 if abs(value) < np.finfo(float).eps * sum(count) else None)
    return AucDifference(value, error, float(2 * norm.sf(abs(value) / error)))


def _components(
    score: NDArray[np.float64], fake: NDArray[np.bool_], real: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each fake the share of reals below it, and for each real the share of fakes above it; ties count half."""
    ranks = rankdata(score)
    below = (ranks[fake] - rankdata(score[fake])) / real.sum()
    above = 1 - (ranks[real] - rankdata(score[real])) / fake.sum()
    return below, above


def mcnemar(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> float:
    """The exact two-sided p of the difference of two accuracies on the same independent samples.

    McNemar, Psychometrika 12, 1947, with the binomial distribution in place of chi-square: of the samples that exactly
    one of the two decides rightly, either is as likely to have each. 1 where there is no such sample.

    Args:
        right_a, right_b: whether each sample was decided rightly, (n,).
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def bootstrap_p(rows: NDArray[np.float64]) -> float | None:
    """The two-sided p of a difference by its bootstrap replicates.

    With k the number of replicates at or beyond 0, on the side on which there are fewer, it is 2 (k + 1) / (R + 1), at
    most 1: the level at which the percentile interval just reaches 0. Where none is beyond 0 that only bounds it, and
    would stay above any corrected level in a table of many rows: there it is the tail of a normal distribution with the
    replicates' standard deviation (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3), where
    that is smaller.

    Args:
        rows: the difference, and then that of each replicate, (1 + R,); NaN where it is undefined.

    Returns:
        None where there are no replicates, or more than 5% of them are undefined.
    """
    drawn = rows[1:]
    defined = drawn[~np.isnan(drawn)]
    if not len(defined) or len(defined) < MIN_DEFINED * len(drawn):
        return None
    beyond = int(min((defined <= 0).sum(), (defined >= 0).sum()))
    counted = min(1.0, 2 * (beyond + 1) / (len(defined) + 1))
    spread = float(defined.std(ddof=1)) if len(defined) > 1 else 0.0
    if beyond or spread < 1e-12:
        return counted
    return min(counted, float(2 * norm.sf(abs(rows[0]) / spread)))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """The p of each of several tests, adjusted so that the chance of any false finding among them stays below a level.

    Holm, Scandinavian Journal of Statistics 6, 1979: the smallest is multiplied by their number m, the next by m - 1,
    and so on; none may be below an earlier one, or above 1.

    Args:
        ps: the raw p, in any order; None, where there is none, stays None and is not counted.
    """
    order = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    least = 0.0
    for rank, (p, place) in enumerate(order):
        least = max(least, min(1.0, p * (len(order) - rank)))
        adjusted[place] = least
    return adjusted


def significant(differences: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Which of several differences that are looked at together are significant.

    Where they have a p, those whose p is below ``ALPHA`` after Holm's correction over all of them. Records of before
    schema 4 have none: there, those whose interval excludes 0, one by one.

    Args:
        differences: of a record, each ``{"value", "interval", "p", "test"}``; an empty one is none.
    """
    ps = [one.get("p") for one in differences]
    if any(p is not None for p in ps):
        return [p is not None and p < ALPHA for p in holm(ps)]
    return [excludes_0(one.get("interval")) for one in differences]
