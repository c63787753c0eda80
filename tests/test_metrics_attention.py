"""The built-in metrics of attention under attack, and how cells that measured it get them."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest

from dfbench.contracts import MetricUndefined
from dfbench.measure import measure, measure_levels
from dfbench.registry import Component, load_registry
from dfbench.stats import bootstrap_weights
from dfbench_metrics import rows
from dfbench_metrics.plugin import dfbench_metrics

SPECS = {spec.name: spec for spec in dfbench_metrics() if spec.columns[0] != "label"}


def load(name):
    module, function = SPECS[name].target.split(":")
    return getattr(importlib.import_module(module), function)


def cell(count=60, seed=0):
    """Scores of a cell that measured attention: every tenth map is empty, a third of the predictions changed."""
    rng = np.random.default_rng(seed)
    empty, clean = np.arange(count) % 10 == 0, np.arange(count) % 15 == 0
    frame = pd.DataFrame(
        {
            "id": [f"s{i}" for i in range(count)],
            "video": [f"v{i // 2}" for i in range(count)],
            "manipulation": ["" if i % 4 < 2 else "swap" if i % 8 < 4 else "blend" for i in range(count)],
            "label": [int(i % 4 >= 2) for i in range(count)],
            "score": rng.random(count),
            "cam_empty_clean": clean,
            "cam_empty": empty,
            "flipped": rng.random(count) < 1 / 3,
        }
    )
    for floor in ("", "_random", "_shuffled"):
        frame[f"cam_pearson{floor}"] = np.where(empty | clean, np.nan, rng.uniform(-1, 1, count))
        frame[f"cam_iinc{floor}"] = rng.random(count)
        frame[f"cam_iou{floor}"] = np.where(empty & clean, np.nan, rng.random(count))
    return frame


def value(name, frame, weight=None):
    columns = [frame[column].to_numpy() for column in SPECS[name].columns]
    return load(name)(*columns, np.ones((1, len(frame)), dtype=int) if weight is None else weight)


def components() -> list[Component]:
    registry = load_registry()
    return [registry.component("metric", spec.name) for spec in registry.specs("metric")]


ORACLES = {
    "cam_pearson": lambda f: f["cam_pearson"].mean(),
    "cam_pearson_flipped": lambda f: f.loc[f["flipped"], "cam_pearson"].mean(),
    "cam_pearson_unflipped": lambda f: f.loc[~f["flipped"], "cam_pearson"].mean(),
    "cam_pearson_random": lambda f: f["cam_pearson_random"].mean(),
    "cam_pearson_shuffled": lambda f: f["cam_pearson_shuffled"].mean(),
    "iinc": lambda f: f["cam_iinc"].mean(),
    "iinc_flipped": lambda f: f.loc[f["flipped"], "cam_iinc"].mean(),
    "iinc_unflipped": lambda f: f.loc[~f["flipped"], "cam_iinc"].mean(),
    "iinc_random": lambda f: f["cam_iinc_random"].mean(),
    "iinc_shuffled": lambda f: f["cam_iinc_shuffled"].mean(),
    "iinc_consistency": lambda f: 1 - f["cam_iinc"].mean(),
    "cam_top10_iou": lambda f: f["cam_iou"].mean(),
    "cam_top10_iou_random": lambda f: f["cam_iou_random"].mean(),
    "cam_top10_iou_shuffled": lambda f: f["cam_iou_shuffled"].mean(),
    "cam_degenerate": lambda f: (f["cam_empty"] | f["cam_empty_clean"]).mean(),
    "flip_rate": lambda f: f["flipped"].mean(),
}


def test_every_metric_has_an_oracle():
    assert set(ORACLES) == set(SPECS)


@pytest.mark.parametrize("name", ORACLES)
def test_metric_is_the_mean_of_the_samples_that_have_a_value(name, monkeypatch):
    frame = cell()
    weight = np.random.default_rng(1).integers(0, 4, (9, len(frame)))
    expected = [ORACLES[name](frame.loc[np.repeat(frame.index, row)]) for row in weight]
    np.testing.assert_allclose(value(name, frame, weight), expected, atol=1e-12)
    monkeypatch.setattr(rows, "CHUNK", 100)
    np.testing.assert_allclose(value(name, frame, weight), expected, atol=1e-12)


@pytest.mark.parametrize(
    "name, message",
    [
        ("cam_pearson", "no sample has two maps to compare"),
        ("cam_pearson_flipped", "no sample with a changed prediction has two maps"),
        ("cam_pearson_unflipped", "no sample with an unchanged prediction has two maps"),
    ],
)
def test_a_mean_of_nothing_is_undefined_with_the_reason(name, message):
    with pytest.raises(MetricUndefined, match=message):
        value(name, cell().assign(cam_pearson=np.nan))


def test_no_flipped_prediction_leaves_the_mean_over_flipped_ones_undefined():
    frame = cell().assign(flipped=False)
    with pytest.raises(MetricUndefined, match="changed prediction"):
        value("iinc_flipped", frame)
    assert value("iinc_unflipped", frame) == value("iinc", frame)


def test_a_replicate_without_a_sample_that_counts_is_nan():
    frame = cell().head(12)
    weight = np.vstack([np.ones(12, int), frame["cam_pearson"].isna().astype(int), np.zeros(12, int)])
    assert np.isnan(value("cam_pearson", frame, weight)).tolist() == [False, True, True]


def test_columns_and_weight_must_belong_together():
    with pytest.raises(ValueError, match=r"value \(3,\), counts \(3,\) and weight \(1, 2\)"):
        load("cam_pearson")(np.zeros(3), np.ones((1, 2)))


def test_directions():
    directions = {name: spec.higher_is_better for name, spec in SPECS.items()}
    assert {name for name, up in directions.items() if up is False} == {
        "iinc", "iinc_flipped", "iinc_unflipped", "flip_rate",
    }  # fmt: skip
    floors = {name for name in SPECS if name.endswith(("_random", "_shuffled"))}
    assert {name for name, up in directions.items() if up is None} == {"cam_degenerate", *floors}


# --- in cells -----------------------------------------------------------------------------------------------------


def test_a_cell_that_did_not_measure_attention_has_no_such_metric():
    frame = cell()[["id", "video", "manipulation", "label", "score"]]
    (measured,) = measure(components(), [frame], replicates=20)
    assert not set(SPECS) & (set(measured.metrics) | set(measured.undefined) | set(measured.intervals))
    assert "auc" in measured.metrics


def test_a_cell_that_measured_attention_has_intervals_of_it_and_paired_differences():
    base, ours = cell(400), cell(400)
    ours["cam_pearson"] = base["cam_pearson"] + 0.1
    found = measure(components(), [base, ours])
    low, high = found[0].intervals["cam_pearson"]
    assert low < np.nanmean(base["cam_pearson"]) < high
    difference = found[1].minus(found[0])["cam_pearson"]
    assert difference["value"] == pytest.approx(0.1)
    assert difference["interval"] == pytest.approx([0.1, 0.1])


def test_intervals_are_those_of_a_bootstrap_over_videos():
    frame = cell(400)
    (measured,) = measure(components(), [frame])
    weight = bootstrap_weights(frame["video"].tolist(), 1000, 0)
    drawn = [np.nanmean(np.repeat(frame["cam_pearson"], row)) for row in weight]
    assert measured.intervals["cam_pearson"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_videos_and_manipulations_have_no_attention():
    (levels,) = measure_levels(components(), [cell()], video_level=True)
    assert "cam_pearson" in levels.samples.metrics
    parts = [levels.videos, *levels.manipulations.values()]
    assert len(parts) == 3
    assert all("cam_pearson" not in part.metrics and "auc" in part.metrics for part in parts)


def test_what_is_undefined_in_a_cell_says_why():
    (measured,) = measure(components(), [cell().assign(flipped=False)], replicates=20)
    assert measured.metrics["cam_pearson_flipped"] is None
    assert "no sample with a changed prediction" in measured.undefined["cam_pearson_flipped"]
