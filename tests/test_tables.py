from __future__ import annotations

from typing import Any

from dfbench.tables import BRIEF, header, markdown, rows


def cell(**changes: Any) -> dict[str, Any]:
    made = {
        "model": "m", "defense": "dual", "attack": "pgd(eps=8/255)", "corruption": "none", "corruption_column": "none",
        "data": "mini", "split": "test", "n": 160, "status": "ok", "reason": "", "note": "",
        "metrics": {"accuracy": 0.5, "balanced_accuracy": 0.5, "f1_macro": 1 / 3, "auc": None,
                    "always_fake_accuracy": 0.25, "always_real_accuracy": 0.75},
        "intervals": {"accuracy": [0.4, 0.6]},
        "versus_baseline": None,
    }  # fmt: skip
    return {**made, **changes}


def record(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"cells": list(cells), "intervals": {"level": 0.95, "method": "x", "replicates": 9}, "warnings": ["careful"]}


def versus(low: float, high: float) -> dict[str, Any]:
    return {"defense": "none", "difference": {"auc": {"value": (low + high) / 2, "interval": [low, high]}}}


def test_a_difference_is_bold_only_where_its_interval_excludes_0() -> None:
    better, unclear, worse = (
        cell(versus_baseline=versus(*bounds)) for bounds in ((0.1, 0.3), (-0.1, 0.3), (-0.3, -0.1))
    )
    shown = [row[-1] for row in rows(record(better, unclear, worse), "m")]
    assert shown == ["**+0.200 [+0.10, +0.30]**", "+0.100 [-0.10, +0.30]", "**-0.200 [-0.30, -0.10]**"]


def test_an_undefined_metric_is_not_a_number_and_a_failed_cell_has_none() -> None:
    row, failed = rows(record(cell(), cell(status="failed", metrics={}, intervals={})), "m")
    assert row[6] == "n/a"
    assert failed[3:] == ["failed", *[""] * 5]
    assert len(failed) == len(header())


def test_the_floor_is_that_of_the_better_constant_predictor() -> None:
    assert "accuracy 0.750" in markdown(record(cell()))


def test_a_transfer_is_labelled_in_the_table_and_warnings_follow_it() -> None:
    text = markdown(record(cell(note="transfer")))
    assert "pgd(eps=8/255) (transfer)" in text
    assert text.rstrip().endswith("- careful")


def test_the_brief_table_has_as_many_cells_as_columns() -> None:
    assert {len(row) for row in rows(record(cell(), cell(status="failed")), "m", BRIEF)} == {len(header(BRIEF))}
