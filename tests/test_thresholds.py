"""Thresholds frozen on clean validation scores, and what they call fake elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_curve

from dfbench.contracts import MetricUndefined
from dfbench.measure import measure_levels
from dfbench.registry import Component, load_registry
from dfbench.thresholds import called, freeze


def of(reals: list[float], fakes: list[float]) -> pd.DataFrame:
    """Validation scores of single images."""
    label = [0] * len(reals) + [1] * len(fakes)
    return pd.DataFrame({"video": [f"v{i}" for i in range(len(label))], "label": label, "score": reals + fakes})


def rates(frame: pd.DataFrame, threshold: float) -> tuple[float, float]:
    """False-positive rate and false-negative rate."""
    fake = frame["score"] >= threshold
    return fake[frame["label"] == 0].mean(), (~fake[frame["label"] == 1]).mean()


def frozen(reals: list[float], fakes: list[float]) -> dict[str, float]:
    return dict(freeze(of(reals, fakes), video_level=False)["samples"])


def test_between_classes_that_do_not_overlap_the_threshold_lies_in_the_middle_of_the_gap() -> None:
    assert frozen([0.1, 0.2], [0.6, 0.9]) == {"eer": pytest.approx(0.4), "fpr_1pct": pytest.approx(0.4)}


def test_at_the_eer_threshold_both_errors_are_equally_frequent() -> None:
    reals, fakes = [0.1, 0.2, 0.3, 0.7], [0.25, 0.8, 0.85, 0.9]
    assert rates(of(reals, fakes), frozen(reals, fakes)["eer"]) == (0.25, 0.25)


@pytest.mark.parametrize("decimals", [1, 6], ids=["ties", "no ties"])
def test_no_threshold_brings_the_error_rates_nearer_to_each_other(decimals: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        frame = of(rng.normal(0.4, 0.2, 37).round(decimals).tolist(), rng.normal(0.6, 0.2, 53).round(decimals).tolist())
        fpr, tpr, _ = roc_curve(frame["label"], frame["score"], drop_intermediate=False)
        ours = rates(frame, freeze(frame, video_level=False)["samples"]["eer"])
        assert abs(ours[0] - ours[1]) == pytest.approx(np.abs(fpr - (1 - tpr)).min())


def test_at_fpr_1_percent_as_many_fakes_are_found_as_the_limit_allows() -> None:
    rng = np.random.default_rng(0)
    frame = of(rng.normal(0.4, 0.2, 700).tolist(), rng.normal(0.7, 0.2, 300).tolist())
    fpr, tpr, _ = roc_curve(frame["label"], frame["score"], drop_intermediate=False)
    ours = rates(frame, freeze(frame, video_level=False)["samples"]["fpr_1pct"])
    assert ours[0] == pytest.approx(0.01)  # exactly 7 of 700
    assert 1 - ours[1] == pytest.approx(tpr[fpr <= 0.01 + 1e-12].max())


def test_with_fewer_than_100_reals_no_real_is_above_the_fpr_threshold() -> None:
    reals, fakes = np.linspace(0, 0.9, 99).tolist(), [0.5, 0.95]
    assert rates(of(reals, fakes), frozen(reals, fakes)["fpr_1pct"]) == (0, 0.5)


def test_where_the_highest_scores_are_those_of_reals_nothing_is_called_fake() -> None:
    threshold = frozen([0.2, 1.0], [0.1, 1.0])["fpr_1pct"]
    assert 1 < threshold < 1 + 1e-12


def test_equal_scores_are_called_alike() -> None:
    reals, fakes = [0.5] * 30 + [0.1] * 70, [0.5] * 50 + [0.9] * 50
    threshold = frozen(reals, fakes)["fpr_1pct"]
    assert 0.5 < threshold <= 0.9


def test_of_cuts_that_are_equally_balanced_the_one_with_fewer_errors_is_taken_then_the_higher() -> None:
    # At 0.45 a quarter of the reals and no fake is wrong, at 0.75 a quarter of the reals and half of the fakes.
    assert frozen([0.1, 0.2, 0.3, 0.9], [0.6, 0.95])["eer"] == pytest.approx(0.45)
    # At 0.45 half of the reals and no fake is wrong, at 0.75 half of the fakes and no real.
    assert frozen([0.3, 0.6], [0.6, 0.9])["eer"] == pytest.approx(0.75)


def test_between_neighbouring_doubles_the_threshold_still_tells_them_apart() -> None:
    low, high = 0.7, float(np.nextafter(0.7, 1))
    threshold = frozen([low], [high])["eer"]
    assert low < threshold <= high


@pytest.mark.parametrize("label, missing", [(0, "fake"), (1, "real")])
def test_without_a_class_there_is_no_threshold_and_the_reason_is_told(label: int, missing: str) -> None:
    frame = of([0.1, 0.2], [0.3]).assign(label=label)
    with pytest.raises(MetricUndefined, match=f"the validation split has no {missing} samples"):
        freeze(frame, video_level=False)


def videos() -> pd.DataFrame:
    """Two frames of each of eight videos whose mean scores lie elsewhere than their frames'."""
    frame = of([0.1, 0.5] * 4, [0.4, 0.9] * 4)
    return frame.assign(video=[f"v{i // 2}" for i in range(16)], manipulation=np.where(frame["label"] == 1, "swap", ""))


def test_videos_have_thresholds_of_their_own_from_their_mean_scores() -> None:
    found = freeze(videos(), video_level=True)
    assert found["videos"] is not None
    assert found["videos"]["eer"] == pytest.approx((0.3 + 0.65) / 2)
    assert found["samples"]["eer"] != pytest.approx(found["videos"]["eer"])
    assert freeze(videos(), video_level=False)["videos"] is None


def test_a_row_at_the_threshold_is_called_fake() -> None:
    frame = called(of([0.2, 0.5], [0.5, 0.9]), {"eer": 0.5, "fpr_1pct": 0.8})
    assert frame["called_eer"].tolist() == [False, True, True, True]
    assert frame["called_fpr_1pct"].tolist() == [False, False, False, True]


def test_without_thresholds_nothing_is_called() -> None:
    frame = of([0.2], [0.5])
    assert list(called(frame, None).columns) == list(frame.columns)


# --- in cells -----------------------------------------------------------------------------------------------------

FROZEN = ("accuracy_at_frozen_eer", "tpr_at_frozen_fpr_1pct", "fpr_at_frozen_fpr_1pct")


@pytest.fixture(scope="module")
def metrics() -> list[Component]:
    registry = load_registry()
    return [registry.component("metric", name) for name in ("accuracy", *FROZEN)]


def test_each_level_is_measured_at_its_own_threshold(metrics: list[Component]) -> None:
    thresholds = {"samples": {"eer": 0.45, "fpr_1pct": 0.95}, "videos": {"eer": 0.31, "fpr_1pct": 0.6}}
    (levels,) = measure_levels(metrics, [videos()], video_level=True, thresholds=[thresholds])
    assert levels.videos is not None
    assert levels.samples.metrics["accuracy_at_frozen_eer"] == 0.5
    assert [levels.samples.metrics[name] for name in FROZEN[1:]] == [0, 0]
    assert [levels.videos.metrics[name] for name in FROZEN] == [1, 1, 0]


def test_a_frozen_threshold_does_not_move_with_the_attack(metrics: list[Component]) -> None:
    clean = videos()
    attacked = clean.assign(score=clean["score"] - 0.4)
    thresholds = freeze(clean, video_level=False)
    before, after = measure_levels(metrics, [clean, attacked], video_level=False, thresholds=[thresholds, thresholds])
    assert before.samples.metrics["tpr_at_frozen_fpr_1pct"] == 0.5
    assert after.samples.metrics["tpr_at_frozen_fpr_1pct"] == 0


def test_a_cell_whose_arm_has_no_thresholds_has_no_such_metric(metrics: list[Component]) -> None:
    with_them, without = measure_levels(
        metrics, [videos(), videos()], video_level=False, thresholds=[freeze(videos(), video_level=False), None]
    )
    assert set(FROZEN) <= set(with_them.samples.metrics)
    assert list(without.samples.metrics) == ["accuracy"]
