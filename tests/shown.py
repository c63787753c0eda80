"""What the tests of table templates read from tables and records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dfbench.registry import load_registry
from dfbench.tables import Entry, Row, Table, named_tables

PIM_GRID = ("none", *(f"pim(alpha={alpha}, r={r})" for alpha in (0.5, 1.0) for r in (0.05, 0.1)))
"""A baseline, and arms that fill a grid of two parameters."""


def tables(template: str, record: dict[str, Any]) -> list[Table]:
    ((_, found),) = named_tables(load_registry(), record, [{"name": "t", "template": template}])
    return found


def first(template: str, record: dict[str, Any]) -> Table:
    return tables(template, record)[0]


def row(table: Table, **labels: str) -> Row:
    """The one row with these labels."""
    (found,) = (
        row
        for row in table.rows
        if labels.items() <= {c.label: e.text for c, e in zip(table.columns, row, strict=True) if c.label}.items()
    )
    return found


def entry(table: Table, heading: str, **labels: str) -> Entry:
    """The entry under a heading, in the row with these labels."""
    return row(table, **labels)[[column.heading for column in table.columns].index(heading)]


def cells(record: dict[str, Any], **wanted: Any) -> Iterator[dict[str, Any]]:
    return (cell for cell in record["cells"] if wanted.items() <= cell.items())
