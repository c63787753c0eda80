"""What the formats share: labels that are shown once, and notes that several tables have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dfbench.tables import Row, Table


def without_repeats(table: Table) -> Iterator[list[Row]]:
    """The sections, each label left empty where the row above it has the same one, and all those before it."""
    labels = sum(bool(column.label) for column in table.columns)
    for section in table.sections:
        rows: list[Row] = []
        for number, row in enumerate(section):
            above = section[number - 1] if number else ()
            same = 0
            while same < labels - 1 and above and row[same].text == above[same].text:
                same += 1
            rows.append((*(replace(entry, text="", brief="") for entry in row[:same]), *row[same:]))
        yield rows


def shown_notes(tables: Sequence[Table], number: int) -> tuple[str, ...]:
    """The notes beneath table ``number``: none where the next table has the same."""
    following = tables[number + 1 :]
    return () if following and following[0].notes == tables[number].notes else tables[number].notes
