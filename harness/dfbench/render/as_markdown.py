"""Tables as Markdown, as GitHub reads it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from tabulate import tabulate

from dfbench.render.layout import shown_notes
from dfbench.tables import Entry, NamedTables, Table

_SPECIAL = re.compile(r"[\\`*<~]|\](?=[(\[])|&(?=[#A-Za-z])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown would take for markup within plain text. An underscore inside a word is none."""


def markdown(named: NamedTables, warnings: Sequence[str] = (), *, headings: Collection[str] = ()) -> str:
    """All tables, each with its captions above and its notes beneath, and the warnings.

    Args:
        named: the tables by name.
        warnings: of the record.
        headings: the names that are headings over their tables; the titles of the tables are so in any case.
    """
    blocks: list[str] = []
    for name, tables in named:
        if name in headings and tables:
            blocks.append(f"# {plain(name)}\n")
        part = ""
        for number, table in enumerate(tables):
            if table.part and table.part != part:
                blocks.append(f"## {plain(table.part)}\n")
            part = table.part
            head = f"{'###' if part else '##'} {plain(table.title)}"
            blocks += ["\n\n".join([head, *map(plain, table.captions)]) + "\n", _grid(table)]
            blocks += [f"{plain(note)}\n" for note in shown_notes(tables, number)]
    if warnings:
        blocks.append("Warnings:\n\n" + "\n".join(f"- {plain(text)}" for text in warnings) + "\n")
    return "\n".join(blocks)


def plain(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _grid(table: Table) -> str:
    rows = [[_entry(entry) for entry in row] for row in table.rows]
    titles = [_in_grid(column.heading) for column in table.columns]
    text: str = tabulate(rows, headers=titles, tablefmt="github", disable_numparse=True)
    return text + "\n"


def _entry(entry: Entry) -> str:
    return f"**{_in_grid(entry.text)}**" if entry.bold else _in_grid(entry.text)


def _in_grid(text: str) -> str:
    return plain(text).replace("|", "\\|")
