"""Tables on a terminal: in full where they fit, else in brief, and in pieces where even that is too wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from dfbench.render.layout import shown_notes, without_repeats
from dfbench.tables import Column, Entry, NamedTables, Table

_LABEL, _NARROW = 26, 14
"""Characters that a column of labels gets before its text is folded: where there is room, and where there is not."""

_HEADING = 16
"""Characters that a heading gets before it is folded, where the numbers beneath it do not take more."""


def show_tables(named: NamedTables, warnings: Sequence[str], console: Console) -> None:
    """Print the tables, each with its captions and notes, and the warnings of the record."""
    for _, tables in named:
        part = ""
        for number, table in enumerate(tables):
            if table.part and table.part != part:
                console.print(Text(table.part, style="bold"))
            part = table.part
            brief = _width(table, range(len(table.columns)), brief=False) > console.width
            for piece in _pieces(table, console.width, brief=brief):
                console.print(_grid(piece, brief=brief))
            for text in [*table.captions, *shown_notes(tables, number)]:
                console.print(Text(text, style="italic"))
            console.print()
    for text in warnings:
        console.print(Text(f"warning: {text}", style="yellow"))


def _pieces(table: Table, room: int, *, brief: bool) -> Iterator[Table]:
    """The table's columns in as many tables as it takes, each with all labels; a group stays together if it fits."""
    shown = [i for i, column in enumerate(table.columns) if not brief or column.brief != ""]
    labels = [i for i in shown if table.columns[i].label]
    taken = list(labels)
    for _, group in groupby(shown[len(labels) :], lambda i: table.columns[i].group or i):
        together = list(group)
        fits = _width(table, [*labels, *together], brief=brief) <= room
        for more in [together] if fits else [[i] for i in together]:
            if len(taken) > len(labels) and _width(table, [*taken, *more], brief=brief) > room:
                yield table.take(taken)
                taken = list(labels)
            taken += more
    yield table.take(taken)


def _width(table: Table, columns: Sequence[int], *, brief: bool) -> int:
    """Characters that these columns take side by side: two between them, and the edges."""
    return sum(_widest(table, i, brief=brief) + 2 for i in columns) + 1


def _widest(table: Table, i: int, *, brief: bool) -> int:
    column = table.columns[i]
    widest = max([len(_text(row[i], brief=brief)) for row in table.rows], default=0)
    heading = max(map(len, _heading(column, brief=brief).split("\n")))
    return (
        max(heading, min(_NARROW if brief else _LABEL, widest)) if column.label else max(min(_HEADING, heading), widest)
    )


def _grid(table: Table, *, brief: bool) -> Grid:
    grid = Grid(title=Text(table.title, style="bold"), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, column in enumerate(table.columns):
        heading, width = Text(_heading(column, brief=brief)), _widest(table, i, brief=brief)
        if column.label:
            grid.add_column(heading, overflow="fold", min_width=width)
        else:
            grid.add_column(heading, justify="right", overflow="fold", width=width)
    for section in without_repeats(table):
        grid.add_section()
        for row in section:
            grid.add_row(*(Text(_text(entry, brief=brief), style="bold" if entry.bold else "") for entry in row))
    return grid


def _heading(column: Column, *, brief: bool) -> str:
    title = column.brief if brief and column.brief is not None else column.title
    return f"{column.group}\n{title}" if column.group else title


def _text(entry: Entry, *, brief: bool) -> str:
    return entry.brief if brief and entry.brief is not None else entry.text
