"""The table of an ablation over two parameters of a defense, and the arms that it finds."""

from __future__ import annotations

from typing import Any

import pytest
from shown import PIM_GRID, cells, entry, first, row, tables

from dfbench.ablation import grids
from dfbench.errors import UsageError
from dfbench.testing import sample_record
from dfbench.testing.records import SWEEP

CLEAN = (("clean", "none", "none"),)


def record(**changed: Any) -> dict[str, Any]:
    return sample_record(**{"scenarios": CLEAN, "defenses": PIM_GRID, **changed})


def set_auc(found: dict[str, Any], values: dict[str, tuple[float, list[float]]]) -> None:
    """The AUC of defenses, and the interval of its difference from the baseline's 0.5."""
    for cell in found["cells"]:
        value, interval = values.get(cell["defense"], (0.5, [-0.1, 0.1]))
        cell["metrics"]["auc"] = value
        if cell["versus_baseline"]:
            cell["versus_baseline"]["difference"]["auc"] = {"value": value - 0.5, "interval": interval}


# --- which arms form a grid ---------------------------------------------------------------------------------------


def test_arms_that_differ_in_two_parameters_alone_are_found() -> None:
    (grid,) = grids(record())
    assert (grid.defense, grid.x, grid.y, grid.xs, grid.ys) == ("pim", "r", "alpha", (0.05, 0.1), (0.5, 1.0))
    assert grid.arms[0.1, 0.5] == "pim(alpha=0.5, r=0.1)"


def test_values_are_sorted_as_numbers() -> None:
    labels = [f"pim(alpha={alpha}, r={r})" for alpha in (2, 10) for r in (10, 9)]
    (grid,) = grids(record(defenses=["none", *labels]), "r", "alpha")
    assert (grid.xs, grid.ys) == ((9, 10), (2, 10))


def test_a_parameter_left_at_its_default_is_read_from_the_configuration() -> None:
    found = record(defenses=["none", "pim", "pim(r=0.1)", "pim(alpha=1.0)", "pim(alpha=1.0, r=0.1)"])
    for arm in found["config"]["defenses"][1:]:
        arm["objectives"][0]["params"] = {"alpha": 0.5, "r": 0.05, **arm["objectives"][0]["params"]}
    (grid,) = grids(found)
    assert grid.arms[0.05, 0.5] == "pim"


def test_parameters_changed_one_at_a_time_are_a_grid_only_where_they_are_named() -> None:
    found = record(defenses=PIM_GRID[:-1])
    assert grids(found) == []
    (grid,) = grids(found, "r", "alpha")
    assert len(grid.arms) == 3


def test_further_arms_along_one_parameter_leave_the_grid_a_grid() -> None:
    (grid,) = grids(record(defenses=[*PIM_GRID, "pim(alpha=0.5, r=5.0)"]))
    assert grid.xs == (0.05, 0.1, 5.0)
    assert (5.0, 1.0) not in grid.arms


def test_arms_along_one_parameter_are_no_grid() -> None:
    assert grids(record(defenses=["none", *(f"pim(alpha=0.5, r={r})" for r in (1, 2, 3, 4))])) == []


def test_arms_that_differ_in_more_than_the_two_are_not_mixed() -> None:
    random = [label.replace(")", ", direction=random)") for label in PIM_GRID[1:]]
    found = grids(record(defenses=[*PIM_GRID, *random]), "r", "alpha")
    assert [grid.shared for grid in found] == [{}, {"direction": "random"}]


def test_a_parameter_of_the_recipe_makes_a_grid_too() -> None:
    found = record(defenses=["none", "pim(r=0.1)", "pim(r=0.2)"])
    arms = found["config"]["defenses"]
    found["config"]["defenses"] = [
        {**arm, "label": f"{arm['label']} {lr}", "recipe": {**arm["recipe"], "lr": lr}} for arm in arms for lr in (1, 2)
    ]
    (grid,) = grids(found, "lr", "r")
    assert grid.xs == (1, 2)


def test_the_parameter_of_the_objective_that_has_both_is_meant() -> None:
    found = record(defenses=["none", *(f"dual(alpha=0.1)+{label}" for label in PIM_GRID[1:])])
    (grid,) = grids(found, "r", "alpha")
    assert (grid.defense, grid.ys) == ("dual+pim", (0.5, 1.0))


# --- the table ----------------------------------------------------------------------------------------------------


def test_rows_are_one_parameter_and_columns_the_other() -> None:
    table = first("grid(x=r, y=alpha)", record())
    assert [column.heading for column in table.columns] == [
        "alpha", "r = 0.05: AUC", "r = 0.05: difference [95%]", "r = 0.1: AUC", "r = 0.1: difference [95%]",
    ]  # fmt: skip
    (cell,) = cells(record(), data="here", defense="pim(alpha=1.0, r=0.05)")
    assert entry(table, "r = 0.05: AUC", alpha="1.0").value == cell["metrics"]["auc"]
    gain = cell["versus_baseline"]["difference"]["auc"]["value"]
    assert entry(table, "r = 0.05: difference [95%]", alpha="1.0").value == gain


@pytest.mark.parametrize(
    "value, interval, bold", [(0.9, [0.3, 0.5], True), (0.9, [-0.1, 0.9], False), (0.4, [-0.2, -0.05], False)]
)
def test_the_best_is_bold_only_where_it_clearly_beats_the_baseline(
    value: float, interval: list[float], bold: bool
) -> None:
    found = record()
    set_auc(found, {label: (0.3, [-0.3, -0.1]) for label in PIM_GRID[1:]} | {PIM_GRID[2]: (value, interval)})
    table = first("grid", found)
    shown = {one.value for line in table.rows for one in line if one.bold}
    assert shown == ({value} if bold else set())


def test_of_an_error_rate_the_lowest_is_the_best() -> None:
    found = record()
    for cell in found["cells"]:
        cell["metrics"]["eer"] = 0.1 if cell["defense"] == PIM_GRID[1] else 0.4
        if cell["versus_baseline"]:
            gain = cell["metrics"]["eer"] - 0.4
            cell["versus_baseline"]["difference"]["eer"] = {"value": gain, "interval": [gain - 0.05, gain + 0.05]}
    (bold,) = [one.value for line in first("grid(metric=eer)", found).rows for one in line if one.bold]
    assert bold == 0.1


def test_a_choice_on_test_data_is_warned_of_and_one_on_validation_is_not() -> None:
    found = record()
    assert any(text.startswith("CAUTION: measured on the test split") for text in first("grid", found).captions)
    for cell in found["cells"]:
        cell["split"] = "val"
    captions = first("grid", found).captions
    assert not any("CAUTION" in text for text in captions)
    assert any(text.startswith("Measured on the validation split") for text in captions)


def test_the_value_of_the_baseline_is_told() -> None:
    found = record()
    set_auc(found, {})
    assert "The baseline none: AUC 0.500." in first("grid", found).captions


def test_each_scenario_has_a_table_unless_one_is_named() -> None:
    found = record(scenarios=SWEEP)
    assert len(tables("grid", found)) == 2 * len(SWEEP)
    assert [table.title for table in tables("grid(scenario=clean)", found)] == [
        "m on here: pim, clean", "m on there: pim, clean",
    ]  # fmt: skip


def test_a_missing_arm_is_empty_and_a_failed_one_says_so() -> None:
    table = first("grid(x=r, y=alpha)", record(defenses=PIM_GRID[:-1], fail=[("clean", PIM_GRID[1])]))
    assert [one.text for one in row(table, alpha="1.0")[3:]] == ["", ""]
    assert [one.text for one in row(table, alpha="0.5")[1:3]] == ["failed", ""]


def test_over_several_trainings_a_grid_shows_means() -> None:
    assert "±" in first("grid", record(seeds=(0, 1))).rows[0][1].text


def test_without_a_grid_of_arms_there_is_no_table() -> None:
    assert tables("grid", sample_record()) == []


@pytest.mark.parametrize(
    "template, message",
    [
        ("grid(x=r)", "needs two parameters"),
        ("grid(x=r, y=r)", "needs two parameters"),
        ("grid(metric='auc,eer')", "shows one metric, not 'auc,eer'"),
        ("grid(metric=auk)", "the grid: unknown metric 'auk': did you mean 'auc'"),
        ("grid(scenario=claen)", "no scenario 'claen': did you mean 'clean'"),
    ],
)
def test_what_the_grid_cannot_show_is_named(template: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tables(template, record())
