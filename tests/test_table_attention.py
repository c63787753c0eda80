"""The table of attention under attack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dfbench.registry import load_registry
from dfbench.tables import Entry, Row, Table, named_tables
from dfbench.testing import check_spec, check_table, sample_record
from dfbench_tables.plugin import dfbench_tables

(SPEC,) = (spec for spec in dfbench_tables() if spec.name == "attention")
PGD = {"scenario": "PGD"}


def tables(record: dict[str, Any]) -> list[Table]:
    ((_, found),) = named_tables(load_registry(), record, [{"name": "t", "template": "attention"}])
    return found


def labels(table: Table, row: Row) -> dict[str, str]:
    return {c.label: e.text for c, e in zip(table.columns, row, strict=True) if c.label}


def entry(table: Table, heading: str, **wanted: str) -> Entry:
    (found,) = (row for row in table.rows if wanted.items() <= labels(table, row).items())
    return found[[column.heading for column in table.columns].index(heading)]


def cells(record: dict[str, Any], **wanted: Any) -> Iterator[dict[str, Any]]:
    return (cell for cell in record["cells"] if wanted.items() <= cell.items())


def test_it_conforms() -> None:
    check_spec(SPEC)
    check_table(SPEC)


def test_a_run_that_did_not_measure_attention_has_no_such_table() -> None:
    assert tables(sample_record()) == []
    assert tables(sample_record(scenarios=(("clean", "none", "none"),), cam=True)) == []


def test_rows_are_what_changes_the_images() -> None:
    table, _ = tables(sample_record(cam=True))
    shown = [labels(table, row) for row in table.rows]
    assert all(one["scenario"] != "clean" for one in shown)
    assert len(shown) == 5 * 2


def test_pearson_has_its_interval_and_stands_beside_its_floors() -> None:
    record = sample_record(cam=True)
    for cell in cells(record, scenario="PGD", defense="dual"):
        cell["metrics"] |= {"cam_pearson": 0.6, "cam_pearson_random": 0.01, "cam_pearson_shuffled": 0.3}
        cell["intervals"]["cam_pearson"] = [0.5, 0.7]
    table = tables(record)[0]
    headings = [column.heading for column in table.columns]
    first = headings.index("CAM Pearson: clean map [95%]")
    assert headings[first : first + 3] == [
        "CAM Pearson: clean map [95%]", "CAM Pearson: random map", "CAM Pearson: other image",
    ]  # fmt: skip
    shown = [entry(table, heading, defense="dual", **PGD).text for heading in headings[first : first + 3]]
    assert shown == ["0.600 [0.50, 0.70]", "0.010", "0.300"]


def test_every_number_is_under_its_own_heading() -> None:
    record = sample_record(cam=True)
    table = tables(record)[0]
    (cell,) = cells(record, scenario="PGD", defense="dual", data="here")
    for column in table.columns:
        if column.facts.get("quantity") == "value":
            assert entry(table, column.heading, defense="dual", **PGD).value == cell["metrics"][column.facts["metric"]]


@pytest.mark.parametrize(
    "interval, p, bold",
    [([0.1, 0.3], 0.001, True), ([0.1, 0.3], 0.04, False), ([0.1, 0.3], None, True), ([-0.1, 0.3], None, False)],
)
def test_the_difference_is_bold_where_its_corrected_p_is_small_and_without_p_where_its_interval_excludes_0(
    interval: list[float], p: float | None, bold: bool
) -> None:
    record = sample_record(cam=True)
    for cell in cells(record, defense="dual"):
        if cell["scenario"] != "clean":
            other = {"value": 0.0, "interval": [-0.1, 0.1], "p": None if p is None else 1.0, "test": "bootstrap"}
            ours = {"value": 0.2, "interval": interval, "p": p, "test": "bootstrap"}
            cell["versus_baseline"]["difference"]["cam_pearson"] = ours if cell["scenario"] == "PGD" else other
    shown = entry(tables(record)[0], "CAM Pearson: - baseline [95%]", defense="dual", **PGD)
    assert (shown.value, shown.bold) == (0.2, bold)


def test_without_a_defended_arm_there_is_no_difference() -> None:
    table = tables(sample_record(defenses=["none"], cam=True))[0]
    assert not [column for column in table.columns if column.facts.get("quantity") == "difference from baseline"]


def test_a_mean_over_no_flipped_prediction_is_not_a_number() -> None:
    table = tables(sample_record(cam=True))[0]
    assert entry(table, "CAM Pearson: flipped", scenario="JPEG", defense="none").text == "n/a"


def test_a_failed_cell_says_so() -> None:
    table = tables(sample_record(cam=True, fail=[("PGD", "dual"), ("clean", "none")]))[0]
    assert entry(table, "CAM Pearson: clean map [95%]", defense="dual", **PGD).text == "failed"
    assert all(row[0].text != "clean" for row in table.rows)


def test_over_several_trainings_it_shows_mean_and_deviation() -> None:
    record = sample_record(cam=True, seeds=(0, 1))
    found = [cell["metrics"]["iinc"] for cell in cells(record, scenario="PGD", defense="dual", data="here")]
    shown = entry(tables(record)[0], "IINC, lower is better: clean map ± SD", defense="dual", **PGD)
    assert shown.value == pytest.approx(sum(found) / 2)
    assert "±" in shown.text


def test_it_says_whose_class_the_maps_are_of_and_which_way_iinc_runs() -> None:
    table = tables(sample_record(cam=True))[0]
    assert "class that the detector predicts on the clean image" in table.captions[0]
    assert table.captions[0].startswith("here, test split, n = 160.")
    assert "IINC, lower is better" in {column.group for column in table.columns}
    assert any("1 - IINC, higher is better" in note for note in table.notes)


def test_arms_trained_on_unequal_terms_are_told() -> None:
    assert any(text.startswith("Trained unlike none") for text in tables(sample_record(cam=True))[0].captions)
