"""Tests of differences, against slow implementations, scipy, and published worked examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from dfbench.significance import bootstrap_p, delong, holm, mcnemar

OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
3.8 5.7 5 1   3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
2.3 4.4 6 1   4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1   4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
3.7 6.1 5 1   3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
3.3 5.7 6 1   3.7 6.9 5 1  3.6 6.6 5 1
"""
"""Albumin, total protein, K-G score and outcome of patients of DeLong et al. (1988)."""


def pairwise(label: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The difference of the AUCs and its standard error by comparing every fake with every real, O(n m)."""
    difference = np.zeros((int(label.sum()), int((1 - label).sum())))
    for sign, score in ((1, a), (-1, b)):
        for i, fake in enumerate(score[label == 1]):
            for j, real in enumerate(score[label == 0]):
                difference[i, j] += sign * (1.0 if fake > real else 0.5 if fake == real else 0.0)
    by_fake, by_real = difference.mean(axis=1), difference.mean(axis=0)
    fakes, reals = difference.shape
    return difference.mean(), (np.var(by_fake, ddof=1) / fakes + np.var(by_real, ddof=1) / reals) ** 0.5


# --- DeLong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "test, difference, error, chi_square, p",
    [("albumin", 0.0108, 0.0953, 0.0127, 0.9102), ("protein", -0.0780, 0.1046, 0.5554, 0.4561)],
)
def test_delong_gives_the_published_comparison_of_tests_for_ovarian_cancer(
    test: str, difference: float, error: float, chi_square: float, p: float
) -> None:
    """As tabulated in the SAS/STAT User's Guide, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves"
    (43 patients with all three measurements; the K-G score is the reference)."""
    albumin, protein, score, outcome = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    found = delong(outcome.astype(int), {"albumin": albumin, "protein": protein}[test], -score)
    assert found is not None
    assert found.value == pytest.approx(difference, abs=5e-5)
    assert found.error == pytest.approx(error, abs=5e-5)
    assert (found.value / found.error) ** 2 == pytest.approx(chi_square, abs=5e-5)
    assert found.p == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize("decimals", [1, 9], ids=["ties", "no ties"])
def test_delong_equals_the_comparison_of_every_fake_with_every_real(decimals: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        label = np.append(rng.integers(0, 2, 40), (0, 0, 1, 1))
        a, b = (rng.normal(0.3 * label, 1).round(decimals) for _ in range(2))
        found = delong(label, a, b)
        difference, error = pairwise(label, a, b)
        assert found is not None
        assert (found.value, found.error) == pytest.approx((difference, error), abs=1e-12)
        assert found.p == pytest.approx(2 * norm.sf(abs(difference / error)), abs=1e-12)


def test_the_difference_of_delong_is_that_of_the_areas_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 300)
    a, b = rng.normal(label, 1).round(1), rng.normal(0.5 * label, 1).round(1)
    found = delong(label, a, b)
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(label, a) - roc_auc_score(label, b), abs=1e-12)


def test_delong_of_a_detector_against_itself_has_p_of_1() -> None:
    label, score = np.array([0, 1] * 20), np.random.default_rng(0).random(40)
    found = delong(label, score, score)
    assert found is not None
    assert (found.value, found.error, found.p) == (0, 0, 1)


def test_delong_of_two_constant_detectors_has_p_of_1() -> None:
    found = delong(np.array([0, 0, 1, 1]), np.zeros(4), np.ones(4))
    assert found is not None
    assert (found.value, found.p) == (0, 1)


def test_delong_cannot_tell_how_sure_the_difference_of_a_perfect_and_a_perfectly_wrong_detector_is() -> None:
    label = np.array([0, 0, 0, 1, 1, 1])
    found = delong(label, label.astype(float), -label.astype(float))
    assert found is not None
    assert (found.value, found.error, found.p) == (1, 0, None)


@pytest.mark.parametrize("label", [[1, 1, 1], [0, 0, 0], [0, 1, 1]])
def test_delong_has_no_answer_with_fewer_than_two_samples_of_a_class(label: list[int]) -> None:
    assert delong(np.array(label), np.arange(3.0), np.arange(3.0)) is None


@pytest.mark.slow
def test_delong_rejects_a_true_null_in_5_of_100_cases() -> None:
    rng = np.random.default_rng(0)
    label, found = np.repeat([0, 1], 80), []
    for _ in range(2000):
        shared = rng.normal(label, 1)
        answer = delong(label, shared + rng.normal(0, 0.5, 160), shared + rng.normal(0, 0.5, 160))
        assert answer is not None
        assert answer.p is not None
        found.append(answer.p < 0.05)
    assert 0.035 <= np.mean(found) <= 0.065


# --- McNemar ------------------------------------------------------------------------------------------------------


def table(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples with these counts of who is right."""
    counts = [both, only_a, only_b, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize("only_a, only_b", [(0, 1), (1, 0), (3, 9), (12, 12), (0, 20), (30, 7)])
def test_mcnemar_equals_the_binomial_test_of_scipy(only_a: int, only_b: int) -> None:
    assert mcnemar(*table(40, only_a, only_b, 11)) == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)


def test_mcnemar_agrees_with_the_published_table_of_approval_ratings() -> None:
    """Agresti, Categorical Data Analysis: of 1600 voters asked twice 150 and 86 changed their minds; the published
    chi-square is 17.36, p 3.099e-5. The exact p lies between that and the p with continuity correction."""
    corrected = 2 * norm.sf((abs(150 - 86) - 1) / (150 + 86) ** 0.5)
    assert 3.099e-5 < mcnemar(*table(794, 150, 86, 570)) < corrected


def test_without_a_discordant_pair_p_is_1() -> None:
    assert mcnemar(*table(5, 0, 0, 7)) == 1


# --- the bootstrap ------------------------------------------------------------------------------------------------


def test_the_p_of_the_bootstrap_counts_the_replicates_at_or_beyond_0_on_the_rarer_side() -> None:
    replicates = np.concatenate((np.full(990, 0.2), np.full(7, -0.1), np.zeros(2)))
    assert bootstrap_p(np.append(0.2, replicates)) == pytest.approx(2 * (9 + 1) / 1000)
    assert bootstrap_p(np.append(-0.2, -replicates)) == pytest.approx(2 * (9 + 1) / 1000)


def test_the_p_of_the_bootstrap_is_never_0_and_never_above_1() -> None:
    assert bootstrap_p(np.full(1001, 0.3)) == pytest.approx(2 / 1001)
    assert bootstrap_p(np.zeros(1001)) == 1


def test_a_large_difference_stays_significant_among_many() -> None:
    drawn = 0.3 + 0.05 * np.random.default_rng(0).standard_normal(1000)  # six standard deviations from 0
    p = bootstrap_p(np.r_[0.3, drawn])
    assert p is not None
    assert p == pytest.approx(2 * norm.sf(0.3 / drawn.std(ddof=1)))
    assert all(adjusted is not None and adjusted < 0.05 for adjusted in holm([p] * 100))


def test_without_replicates_or_with_many_undefined_ones_there_is_no_p() -> None:
    rows = np.full(101, 0.3)
    assert bootstrap_p(rows[:1]) is None
    rows[1:6] = np.nan
    assert bootstrap_p(rows) == pytest.approx(2 / 96)
    rows[6] = np.nan
    assert bootstrap_p(rows) is None


# --- Holm ---------------------------------------------------------------------------------------------------------


def test_holm_gives_the_textbook_example() -> None:
    """Four tests at 0.01, 0.04, 0.03 and 0.005: at level 0.05 the last and the first are rejected, the others not."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_rejects_as_the_step_down_procedure_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ps = (rng.random(12) ** 4).tolist()
        rejected: set[float] = set()
        for rank, p in enumerate(sorted(ps)):
            if p >= 0.05 / (len(ps) - rank):
                break
            rejected.add(p)
        assert {p for p, adjusted in zip(ps, holm(ps), strict=True) if adjusted < 0.05} == rejected


def test_a_test_without_p_stays_without_and_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.5]) == [None, pytest.approx(0.04), None, 0.5]
    assert holm([]) == []


def test_an_adjusted_p_is_at_most_1() -> None:
    assert holm([0.7, 0.8]) == [1, 1]
