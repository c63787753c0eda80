"""Tables without a format, and which of them a record asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfbench.errors import ContractError, UsageError
from dfbench.recordfile import load_record
from dfbench.registry import load_registry
from dfbench.render import markdown_of
from dfbench.tables import Column, Entry, Table, named_tables
from dfbench.testing import sample_record

RESULTS = Path(__file__).parents[1] / "results"


def named(record: dict[str, Any], *asked: dict[str, Any]) -> list[tuple[str, list[Table]]]:
    return named_tables(load_registry(), record, list(asked) or None)


def labels(table: Table, label: str) -> list[str]:
    """The entries of a column of labels, each once."""
    (place,) = (i for i, column in enumerate(table.columns) if column.label == label)
    return list(dict.fromkeys(row[place].text for row in table.rows))


def test_a_row_must_have_an_entry_for_each_column() -> None:
    with pytest.raises(ContractError, match="'short' has 2 columns, but a row of 1 entries"):
        Table("short", (Column("a", "a"), Column("b")), (((Entry("1"),),),))


def test_labels_come_before_numbers() -> None:
    with pytest.raises(ContractError, match="label"):
        Table("mixed", (Column("b"), Column("a", "a")), ())


def test_a_table_gives_some_of_its_columns_in_all_sections() -> None:
    row = (Entry("x"), Entry("1"), Entry("2"))
    table = Table("t", (Column("a", "a"), Column("b"), Column("c")), ((row,), (row, row)))
    some = table.take([0, 2])
    assert [column.title for column in some.columns] == ["a", "c"]
    assert some.sections == (((row[0], row[2]),), ((row[0], row[2]),) * 2)


def test_a_record_that_asks_for_no_table_gets_those_that_suit_any_run() -> None:
    assert [name for name, _ in named(sample_record())] == [
        "results", "worst-case", "directions", "manipulations", "nauc", "attention",
    ]  # fmt: skip


def test_a_record_gets_the_tables_that_it_asks_for_by_name_and_in_order() -> None:
    record = sample_record()
    record["config"]["tables"] = [
        {"name": "second", "template": "survival", "scenarios": []},
        {"name": "first", "template": "scenarios(metrics=auc)", "scenarios": []},
    ]
    (one, survival), (other, scenarios) = named(record)
    assert (one, other) == ("second", "first")
    assert survival[0].part == "Survival of attacks"
    assert {column.group for column in scenarios[0].columns} == {"", "AUC"}


def test_a_table_shows_only_its_scenarios_in_the_order_given() -> None:
    asked = {"name": "t", "template": "scenarios", "scenarios": ["PGD", "clean"]}
    for record in (sample_record(), sample_record(seeds=(0, 1))):
        ((_, tables),) = named(record, asked)
        assert [labels(table, "scenario") for table in tables] == [["PGD", "clean"]] * 2


def test_an_unknown_scenario_is_named_with_the_closest_known_one() -> None:
    with pytest.raises(UsageError, match=r"no scenario 'PDG': did you mean 'PGD'"):
        named(sample_record(), {"name": "t", "template": "scenarios", "scenarios": ["PDG"]})


def test_an_unknown_template_is_named_with_the_closest_known_one() -> None:
    with pytest.raises(UsageError, match="unknown table 'scenaros': did you mean 'scenarios'"):
        named(sample_record(), {"name": "t", "template": "scenaros"})


def test_a_record_is_left_as_it_was() -> None:
    record = sample_record()
    before = sample_record()
    named(record, {"name": "t", "template": "results", "scenarios": ["PGD"]})
    assert record == before


@pytest.mark.parametrize(
    "name", ["mini-demo", "dual", "dual-ablation", "gradient-regularization", "pim-ablation", "strong"]
)
def test_an_accepted_record_gives_the_table_that_lies_beside_it_byte_for_byte(name: str) -> None:
    beside = (RESULTS / name / "table.md").read_text(encoding="utf-8")
    assert markdown_of(load_registry(), load_record(RESULTS / name)) == beside
