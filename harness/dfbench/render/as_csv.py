"""Tables as CSV for programs: one line for each number, in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from dfbench.tables import NamedTables

_NUMBERS = ("value", "low", "high", "sd", "n")


def as_csv(named: NamedTables, warnings: Sequence[str] = ()) -> str:
    """Tidy data under one header row, whatever the tables' layouts.

    Columns: ``table`` and ``title``; what a table's numbers share (``model``, ``data``, ...); what the row is about
    (``attack``, ``defense``, ...) and the column (``metric``, ...); then ``value``, ``low`` and ``high`` of its
    interval, ``sd`` over trainings, ``n``, and ``text``, the entry as it is shown, which tells ``failed`` from ``n/a``.
    What does not apply is empty. Warnings have no place here.
    """
    lines: list[dict[str, object]] = []
    facts: dict[str, None] = {}
    for name, tables in named:
        for table in tables:
            for row in table.rows:
                labels = {c.label: e.name or e.text for c, e in zip(table.columns, row, strict=True) if c.label}
                for column, entry in zip(table.columns, row, strict=True):
                    if column.label or (entry.value is None and not entry.text):
                        continue
                    told = {**table.about, **labels, **column.facts}
                    facts |= dict.fromkeys(told)
                    numbers = {key: getattr(entry, key) for key in _NUMBERS}
                    lines.append({"table": name, "title": table.title, **told, **numbers, "text": entry.text})
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["table", "title", *facts, *_NUMBERS, "text"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()
