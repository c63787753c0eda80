"""The table of normalised areas under curves over eps."""

from __future__ import annotations

from typing import Any

import pytest
from shown import entry, first, row, tables

from dfbench.errors import UsageError
from dfbench.testing import sample_record
from dfbench.testing.records import SWEEP

GRID = "0, 0.001, 0.005, 0.01, 0.015"
SEED = "nAUC, attacked points only"


def record(**changed: Any) -> dict[str, Any]:
    return sample_record(**{"scenarios": SWEEP, "defenses": ["none", "pim"], **changed})


def curve(found: dict[str, Any], defense: str, **wanted: Any) -> dict[str, Any]:
    return next(c for c in found["curves"] if {"defense": defense, "data": "here", **wanted}.items() <= c.items())


def test_both_areas_stand_side_by_side_with_their_intervals_and_paired_differences() -> None:
    table = first("nauc", record())
    assert [column.heading for column in table.columns] == [
        "attack", "corruption", "eps", "metric",
        "nAUC: none [95%]", "nAUC: pim [95%]", "nAUC: difference [95%]",
        f"{SEED}: none [95%]", f"{SEED}: pim [95%]", f"{SEED}: difference [95%]", f"{SEED}: at most",
    ]  # fmt: skip
    assert [entry.text for entry in row(table, metric="macro-F1")][:4] == ["fgsm", "none", GRID, "macro-F1"]


def test_an_area_is_that_of_the_record() -> None:
    found = record()
    area = curve(found, "pim")["nauc"]["accuracy"]
    shown = entry(first("nauc", found), "nAUC: pim [95%]", metric="accuracy")
    assert (shown.value, shown.low, shown.high) == (area["value"], *area["interval"])
    assert shown.n == 160


def test_the_most_that_the_published_area_reaches_is_told_for_its_grid() -> None:
    assert entry(first("nauc", record()), f"{SEED}: at most", metric="accuracy").text == "0.9333"


@pytest.mark.parametrize("interval, bold", [([0.1, 0.3], True), ([-0.3, -0.1], True), ([-0.1, 0.3], False)])
def test_a_difference_of_areas_is_bold_only_where_its_interval_excludes_0(interval: list[float], bold: bool) -> None:
    found = record()
    curve(found, "pim")["versus_baseline"]["nauc"]["accuracy"] = {"value": 0.1, "interval": interval}
    assert entry(first("nauc", found), "nAUC: difference [95%]", metric="accuracy").bold == bold


def test_attacks_of_other_grids_or_corruptions_have_rows_of_their_own() -> None:
    jpeg = [("J", "none", "jpeg(quality=50)")]
    jpeg += [(f"J{eps}", f"fgsm(eps={eps})", "jpeg(quality=50)") for eps in (0.001, 0.01)]
    table = first("nauc(metrics=accuracy)", record(scenarios=[*SWEEP, *jpeg]))
    assert [(one[1].text, one[2].text) for one in table.rows] == [
        ("none", GRID),
        ("jpeg(quality=50)", "0, 0.001, 0.01"),
    ]


def test_several_trainings_are_shown_by_mean_and_sd_of_their_areas_without_bold() -> None:
    found = record(seeds=(0, 1))
    values = [curve(found, "pim", seed=seed)["nauc"]["accuracy"]["value"] for seed in (0, 1)]
    table = first("nauc", found)
    shown = entry(table, "nAUC: pim ± SD", metric="accuracy")
    assert shown.value == pytest.approx(sum(values) / 2)
    assert shown.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    gain = entry(table, "nAUC: difference ± SD", metric="accuracy")
    assert gain.text.startswith(("+", "-"))
    assert not any(one.bold for one in table.rows[0])


def test_a_curve_that_a_failed_point_left_out_is_empty_for_that_defense_alone() -> None:
    table = first("nauc", record(fail=[("FGSM eps=0.01", "none")]))
    assert [column.title for column in table.columns[4:]] == ["pim [95%]", "pim [95%]", "at most"]


def test_a_metric_without_an_area_is_no_number() -> None:
    found = record()
    del curve(found, "pim")["nauc"]["accuracy"]
    assert entry(first("nauc", found), "nAUC: pim [95%]", metric="accuracy").text == "n/a"


def test_the_name_that_the_user_gave_is_shown_and_the_attack_told_in_full() -> None:
    found = record()
    for one in found["curves"]:
        one["name"] = "FGSM"
    table = first("nauc", found)
    assert table.rows[0][0].text == "FGSM"
    assert "In full: FGSM is fgsm." in table.notes


def test_a_sweep_whose_attacked_scenarios_are_not_asked_for_is_left_out() -> None:
    found = record()
    found["config"]["scenarios"] = [{"name": "clean", "attack": None, "corruption": None}]
    assert tables("nauc", found) == []


def test_without_a_sweep_there_is_no_area() -> None:
    assert tables("nauc", sample_record()) == []


def test_an_unknown_metric_of_an_area_is_named() -> None:
    with pytest.raises(UsageError, match="the table of areas: unknown metric 'acuracy': did you mean 'accuracy'"):
        first("nauc(metrics=acuracy)", record())
