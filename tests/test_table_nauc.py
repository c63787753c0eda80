"""The table of normalised areas under curves over eps."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

import pytest
from shown import entry, first, row, tables

from dfbench.errors import UsageError
from dfbench.registry import load_registry
from dfbench.tables import named_tables
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


def test_a_difference_over_trainings_says_that_its_sd_is_all_it_has() -> None:
    notes = first("nauc", record(seeds=(0, 1))).notes
    assert any("their SD is the spread between trainings. They have no interval" in note for note in notes)
    assert not any(
        "They have no interval" in note for note in first("nauc", record(seeds=(0, 1), defenses=["none"])).notes
    )


def test_defenses_are_averaged_and_compared_over_the_trainings_that_both_have() -> None:
    found = record(seeds=(0, 1, 2), fail=[("FGSM eps=0.01", "pim", 1)])
    table = first("nauc", found)
    both = {
        name: [curve(found, name, seed=seed)["nauc"]["accuracy"]["value"] for seed in (0, 2)]
        for name in ("none", "pim")
    }
    base, ours = (entry(table, f"nAUC: {name} ± SD", metric="accuracy") for name in both)
    assert (base.value, base.sd) == pytest.approx((mean(both["none"]), stdev(both["none"])))
    assert ours.value == pytest.approx(mean(both["pim"]))
    assert entry(table, "nAUC: difference ± SD", metric="accuracy").value == pytest.approx(ours.value - base.value)
    assert table.notes[-2:] == (
        "fgsm: no curve of pim (seed 1), of which a point failed.",
        "fgsm: accuracy, macro-F1 over seeds 0, 2 alone, which all defenses with a curve share.",
    )


def test_a_single_training_that_is_left_has_no_interval_and_the_note_says_that_it_is_one() -> None:
    found = record(seeds=(0, 1), fail=[("FGSM eps=0.01", "none", 0)])
    table = first("nauc", found)
    for name in ("none", "pim"):
        shown = entry(table, f"nAUC: {name} ± SD", metric="accuracy")
        assert shown.text == f"{curve(found, name, seed=1)['nauc']['accuracy']['value']:.3f}"
        assert (shown.low, shown.sd) == (None, None)
    gain = entry(table, "nAUC: difference ± SD", metric="accuracy")
    assert (gain.low, gain.sd, gain.bold) == (None, None, False)
    assert "over seed 1 alone" in table.notes[-1]
    assert "a single training, without SD and without interval" in table.notes[-1]


def test_trainings_of_no_seed_in_common_are_not_compared() -> None:
    found = record(seeds=(0, 1), fail=[("FGSM eps=0.01", "none", 0), ("FGSM eps=0.01", "pim", 1)])
    table = first("nauc", found)
    assert entry(table, "nAUC: pim ± SD", metric="accuracy").text == "n/a"
    assert table.notes[-1].endswith("cannot be compared, because the defenses share no seed.")


def test_a_defense_without_a_curve_has_no_column_and_a_note_names_it() -> None:
    table = first("nauc", record(fail=[("FGSM eps=0.01", "none")]))
    assert [column.title for column in table.columns[4:]] == ["pim [95%]", "pim [95%]", "at most"]
    assert table.notes[-1] == "fgsm: no curve of none, of which a point failed."


def test_an_attack_without_any_curve_is_named_beneath_the_others() -> None:
    pgd = [(f"PGD {k}", f"pgd(eps={k}/255)", "none") for k in (1, 2)]
    fail = [("PGD 1", "none"), ("PGD 2", "pim")]
    assert first("nauc", record(scenarios=[*SWEEP, *pgd], fail=fail)).notes[-1] == (
        "No curve of any defense over PGD 1, PGD 2: cells failed."
    )


def test_a_metric_without_an_area_is_no_number_and_a_note_names_it() -> None:
    found = record()
    for part in ("metrics", "intervals", "nauc", "nauc_seed"):
        del curve(found, "pim")[part]["accuracy"]
    table = first("nauc", found)
    assert entry(table, "nAUC: pim [95%]", metric="accuracy").text == "n/a"
    assert table.notes[-1] == "fgsm: no accuracy of pim: it has no value at some eps."


def test_the_name_that_the_user_gave_is_shown_and_the_attack_told_in_full() -> None:
    found = record()
    for one in found["curves"]:
        one["name"] = "FGSM"
    table = first("nauc", found)
    assert table.rows[0][0].text == "FGSM"
    assert "In full: FGSM is fgsm." in table.notes


@pytest.mark.parametrize("shown, areas", [([0, 1, 2, 3, 4], 2), ([1, 2, 3, 4], 2), ([0], 0), ([0, 1, 2, 3], 0)])
def test_a_sweep_is_shown_only_where_all_its_attacked_scenarios_are_asked_for(shown: list[int], areas: int) -> None:
    asked = [{"name": "t", "template": "nauc", "scenarios": [SWEEP[number][0] for number in shown]}]
    ((_, found),) = named_tables(load_registry(), record(), asked)
    assert len(found) == areas


def test_without_a_sweep_there_is_no_area() -> None:
    assert tables("nauc", sample_record()) == []


def test_an_unknown_metric_of_an_area_is_named() -> None:
    with pytest.raises(UsageError, match="the table of areas: unknown metric 'acuracy': did you mean 'accuracy'"):
        first("nauc(metrics=acuracy)", record())
