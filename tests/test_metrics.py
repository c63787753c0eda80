"""The built-in metrics of scores, against scikit-learn and against their definitions."""

from __future__ import annotations

import importlib
import pickle
import time

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn import metrics as sk

from dfbench.contracts import MetricUndefined
from dfbench.stats import bootstrap_weights
from dfbench_metrics import rows
from dfbench_metrics.plugin import dfbench_metrics

SPECS = {spec.name: spec for spec in dfbench_metrics() if spec.columns == ("label", "score")}
OTHERS = {s.name: s for s in dfbench_metrics() if s.columns[0] == "label" and s.columns[1] != "score"}


def load(name):
    module, function = SPECS[name].target.split(":")
    return getattr(importlib.import_module(module), function)


def value(name, y, score):
    y = np.asarray(y)
    return float(load(name)(y, np.asarray(score, dtype=float), np.ones((1, len(y)), dtype=int))[0])


def curve(y, score, weight):
    return sk.roc_curve(y, score, sample_weight=weight, drop_intermediate=False)[:2]


def eer(y, score, weight):
    fpr, tpr = curve(y, score, weight)
    return brentq(lambda x: 1 - x - np.interp(x, fpr, tpr), 0, 1) if tpr[fpr == 0].max() < 1 else 0.0


def tpr_at_one_percent(y, score, weight):
    fpr, tpr = curve(y, score, weight)
    return tpr[fpr <= 0.01 + 1e-12].max()


def called(score):
    return (score >= 0.5).astype(int)


def calibration_error(y, score, weight):
    """ECE by its definition, bin by bin, of samples that stand there as often as they weigh."""
    y, score = np.repeat(y, weight), np.repeat(score, weight)
    confidence, right = np.maximum(score, 1 - score), called(score) == y
    total = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


ORACLES = {
    "accuracy": lambda y, s, w: sk.accuracy_score(y, called(s), sample_weight=w),
    "accuracy_fake": lambda y, s, w: sk.recall_score(y, called(s), sample_weight=w, pos_label=1),
    "accuracy_real": lambda y, s, w: sk.recall_score(y, called(s), sample_weight=w, pos_label=0),
    "balanced_accuracy": lambda y, s, w: sk.balanced_accuracy_score(y, called(s), sample_weight=w),
    "f1_macro": lambda y, s, w: sk.f1_score(y, called(s), sample_weight=w, average="macro"),
    "f1_fake": lambda y, s, w: sk.f1_score(y, called(s), sample_weight=w, pos_label=1),
    "f1_real": lambda y, s, w: sk.f1_score(y, called(s), sample_weight=w, pos_label=0),
    "tp": lambda y, s, w: sk.confusion_matrix(y, called(s), sample_weight=w)[1, 1],
    "fp": lambda y, s, w: sk.confusion_matrix(y, called(s), sample_weight=w)[0, 1],
    "tn": lambda y, s, w: sk.confusion_matrix(y, called(s), sample_weight=w)[0, 0],
    "fn": lambda y, s, w: sk.confusion_matrix(y, called(s), sample_weight=w)[1, 0],
    "auc": lambda y, s, w: sk.roc_auc_score(y, s, sample_weight=w),
    "ap": lambda y, s, w: sk.average_precision_score(y, s, sample_weight=w),
    "eer": eer,
    "tpr_at_fpr_1pct": tpr_at_one_percent,
    "ece": calibration_error,
    "always_fake_accuracy": lambda y, s, w: sk.accuracy_score(y, np.ones_like(y), sample_weight=w),
    "always_real_accuracy": lambda y, s, w: sk.accuracy_score(y, np.zeros_like(y), sample_weight=w),
    "n": lambda y, s, w: w.sum(),
}


def test_every_metric_has_an_oracle():
    assert set(ORACLES) == set(SPECS)


@pytest.mark.parametrize("decimals", [1, 6], ids=["ties", "no ties"])
@pytest.mark.parametrize("name", ORACLES)
def test_metric_equals_scikit_learn_in_every_weighted_row(name, decimals):
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, 400)
    score = np.clip(rng.normal(0.4 + 0.25 * y, 0.25), 0, 1).round(decimals)
    weight = rng.integers(0, 4, (25, 400))
    expected = [ORACLES[name](y, score, row) for row in weight]
    np.testing.assert_allclose(load(name)(y, score, weight), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SPECS)
def test_weight_two_is_the_sample_twice(name):
    rng = np.random.default_rng(1)
    y, score, weight = rng.integers(0, 2, 60), rng.random(60).round(1), rng.integers(0, 3, 60)
    assert load(name)(y, score, weight[None])[0] == pytest.approx(
        value(name, np.repeat(y, weight), np.repeat(score, weight)), abs=1e-12
    )


@pytest.mark.parametrize("name", SPECS)
def test_rows_and_order_of_samples_do_not_matter(name, monkeypatch):
    rng = np.random.default_rng(2)
    y, score, weight = rng.integers(0, 2, 50), rng.random(50).round(1), rng.integers(0, 3, (9, 50))
    whole = load(name)(y, score, weight)
    monkeypatch.setattr(rows, "CHUNK", 100)
    order = rng.permutation(50)
    np.testing.assert_allclose(load(name)(y[order], score[order], weight[:, order]), whole, rtol=0, atol=1e-12)


def test_score_of_exactly_one_half_is_called_fake():
    assert (value("tp", [1], [0.5]), value("fp", [0], [0.5])) == (1, 1)


def test_scores_all_tied_rank_like_chance():
    y = [0, 1, 0, 1, 1]
    assert value("auc", y, [0.3] * 5) == 0.5
    assert value("eer", y, [0.3] * 5) == 0.5
    assert value("ap", y, [0.3] * 5) == pytest.approx(0.6)
    assert value("tpr_at_fpr_1pct", y, [0.3] * 5) == 0


@pytest.mark.parametrize(("flip", "auc", "eer", "tpr"), [(False, 1, 0, 1), (True, 0, 1, 0)])
def test_perfect_and_inverted_rankings(flip, auc, eer, tpr):
    y = np.array([0] * 10 + [1] * 10)
    score = 1.0 - y if flip else y.astype(float)
    assert [value(k, y, score) for k in ("auc", "eer", "tpr_at_fpr_1pct")] == [auc, eer, tpr]


def test_one_percent_of_false_positives_is_still_allowed():
    # 700 reals allow exactly 7 false positives, though 0.01 * 700 is not exactly 7 in floating point.
    y = np.array([0] * 700 + [1] * 2)
    score = np.concatenate((np.linspace(1, 0.9, 7), np.full(693, 0.1), [0.8, 0.05]))
    assert value("tpr_at_fpr_1pct", y, score) == 0.5
    score[7] = 0.85
    assert value("tpr_at_fpr_1pct", y, score) == 0


def test_constant_answer_scores_its_floor_and_no_better():
    y = np.array([1] * 9 + [0])
    assert value("accuracy", y, np.ones(10)) == value("always_fake_accuracy", y, np.ones(10)) == 0.9
    assert value("balanced_accuracy", y, np.ones(10)) == 0.5
    assert value("always_real_accuracy", y, np.ones(10)) == pytest.approx(0.1)


def test_macro_f1_lies_in_the_band_its_accuracy_allows():
    rng = np.random.default_rng(3)
    for _ in range(50):
        y, score = np.append(rng.integers(0, 2, 18), (0, 1)), rng.random(20)
        a = value("accuracy", y, score)
        assert a / (1 + a) - 1e-12 <= value("f1_macro", y, score) <= a + 1e-12


BOTH = ("balanced_accuracy", "f1_macro", "auc", "ap", "eer", "tpr_at_fpr_1pct")


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("label", "missing"), [(0, "fake"), (1, "real")])
def test_one_class_alone_is_undefined_with_the_reason(name, label, missing):
    with pytest.raises(MetricUndefined, match=f"no {missing} samples"):
        value(name, [label] * 3, [0.1, 0.5, 0.9])


@pytest.mark.parametrize("name", BOTH)
def test_replicate_without_a_class_is_nan_and_the_others_are_not(name):
    y, score = np.array([0, 0, 1]), np.array([0.1, 0.6, 0.7])
    values = load(name)(y, score, np.array([[1, 1, 1], [1, 2, 0], [0, 0, 3], [0, 0, 0]]))
    assert np.isnan(values).tolist() == [False, True, True, True]


def test_f1_of_a_class_that_is_there_but_never_called_is_zero():
    assert value("f1_fake", [1, 0], [0.1, 0.1]) == 0
    with pytest.raises(MetricUndefined, match="no fake samples"):
        value("f1_fake", [0, 0], [0.9, 0.1])


@pytest.mark.parametrize("name", SPECS)
def test_no_samples_and_scores_that_are_no_numbers_are_undefined(name):
    with pytest.raises(MetricUndefined, match="no samples"):
        value(name, [], [])
    with pytest.raises(MetricUndefined, match="not finite"):
        value(name, [0, 1], [0.2, np.nan])


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match=r"y \(3,\), score \(3,\) and weight \(1, 2\) must"):
        load("auc")(np.array([0, 1, 1]), np.zeros(3), np.ones((1, 2)))


def test_directions():
    directions = {name: spec.higher_is_better for name, spec in SPECS.items()}
    assert [name for name, up in directions.items() if up is False] == ["eer", "ece"]
    floors_and_counts = {"always_fake_accuracy", "always_real_accuracy", "tp", "fp", "tn", "fn", "n"}
    assert {name for name, up in directions.items() if up is None} == floors_and_counts


def test_accuracy_is_the_mean_of_its_directions_by_the_shares_of_the_classes():
    rng = np.random.default_rng(5)
    y, score = np.append(rng.integers(0, 2, 50), (0, 1)), rng.random(52)
    split = [value(f"accuracy_{name}", y, score) for name in ("real", "fake")]
    assert value("accuracy", y, score) == pytest.approx((1 - y.mean()) * split[0] + y.mean() * split[1])


def test_a_detector_that_is_right_as_often_as_it_claims_has_no_calibration_error():
    assert value("ece", [1, 1, 1, 0, 0, 1], [0.75, 0.75, 0.75, 0.75, 1e-9, 1 - 1e-9]) == pytest.approx(0, abs=1e-8)
    assert value("ece", [1, 0], [1.0, 1.0]) == 0.5
    assert value("ece", [1, 0], [0.5, 0.5]) == 0


def test_a_confidence_on_the_edge_of_two_bins_belongs_to_the_lower():
    score = [0.58, 0.6, 0.62]  # 0.6 is 9/15; the first is right, the second wrong, the third right
    assert value("ece", [1, 0, 1], score) == pytest.approx((abs(0.42 - 0.6) + 0.38) / 3)


def test_a_detector_that_is_sure_and_always_wrong_has_the_largest_calibration_error():
    assert value("ece", [1, 0], [0.0, 1.0]) == 1


DECISIONS = {
    "worst_case_accuracy": ("accuracy", "worst_score"),
    "worst_case_accuracy_fake": ("accuracy_fake", "worst_score"),
    "worst_case_accuracy_real": ("accuracy_real", "worst_score"),
    "accuracy_at_frozen_eer": ("accuracy", "called_eer"),
    "tpr_at_frozen_fpr_1pct": ("accuracy_fake", "called_fpr_1pct"),
    "fpr_at_frozen_fpr_1pct": ("fpr", "called_fpr_1pct"),
}
"""Metrics of other decisions than that of the score: what they equal there."""


@pytest.mark.parametrize("name", DECISIONS)
def test_a_metric_of_another_decision_is_the_usual_one_of_its_column(name):
    rng = np.random.default_rng(6)
    y, decision, weight = rng.integers(0, 2, 80), rng.random(80), rng.integers(0, 3, (4, 80))
    usual, column = DECISIONS[name]
    spec = OTHERS[name]
    assert spec.columns == ("label", column)
    module, function = spec.target.split(":")
    given = decision >= 0.5 if column.startswith("called_") else decision
    found = getattr(importlib.import_module(module), function)(y, given, weight)
    expected = 1 - load("accuracy_real")(y, decision, weight) if usual == "fpr" else load(usual)(y, decision, weight)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_of_frozen_false_positives_fewer_are_better():
    assert [name for name, spec in OTHERS.items() if not spec.higher_is_better] == ["fpr_at_frozen_fpr_1pct"]


def test_shares_of_right_decisions_and_areas_name_their_exact_test():
    tests = {name: spec.test for name, spec in (SPECS | OTHERS).items() if spec.test}
    exact = dict.fromkeys(("accuracy", "worst_case_accuracy", "accuracy_at_frozen_eer"), "mcnemar")
    assert tests == {**exact, "auc": "delong", "ece": "none"}


@pytest.mark.parametrize("name", SPECS)
def test_metric_is_documented_and_pickles(name):
    metric = load(name)
    assert metric.__doc__
    assert pickle.loads(pickle.dumps(metric)) is metric


def test_a_thousand_replicates_of_all_metrics_take_a_moment():
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 160), rng.random(160)
    weight = bootstrap_weights([str(i // 2) for i in range(160)], 1000, 0)
    start = time.process_time()
    for name in SPECS:
        load(name)(y, score, weight)
    assert time.process_time() - start < 0.5
