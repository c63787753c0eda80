"""Tables without a format: what a template gives, and what every renderer (:mod:`dfbench.render`) takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dfbench.errors import ContractError, UsageError, did_you_mean

if TYPE_CHECKING:
    from dfbench.registry import Registry


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    Args:
        text: as it is shown, e.g. ``0.775 [0.71, 0.84]``. Plain text: renderers escape it.
        bold: whether it stands out, as the best of its row or as a difference that is significant.
        brief: as it is shown where there is no room for ``text``; None: the same.
        value: the number itself, in full precision; None where the entry is none.
        low, high: the number's interval.
        sd: its standard deviation over trainings.
        n: how many samples (or videos) it was measured on.
        name: of a label whose text was shortened, the whole of it, for programs.
    """

    text: str
    bold: bool = False
    brief: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    n: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        title: its heading.
        label: for a column that says what a row is (left-aligned, equal entries shown once): the name of this fact for
            programs, e.g. ``attack``. Empty for a column of numbers (right-aligned).
        group: a heading over adjacent columns that share it.
        facts: for a column of numbers, what they are, for programs: ``{"metric": "auc", "defense": "dual"}``.
        brief: the heading where there is no room; None: the same; empty: the column is left out there.
    """

    title: str
    label: str = ""
    group: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    brief: str | None = None

    @property
    def heading(self) -> str:
        """The title with its group."""
        return f"{self.group}: {self.title}" if self.group else self.title


Row = tuple[Entry, ...]


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        title: what tells it from the others beside it.
        columns: its columns, those of labels first.
        sections: groups of rows, set apart by a rule where the format has one; every row has an entry per column.
        captions: what must be read before the numbers, above them: one paragraph each.
        notes: what explains the numbers, beneath them; notes that the next table has too are shown only there.
        about: what all numbers of the table share, for programs: ``{"model": "hybrid", "split": "test"}``.
        part: a heading over consecutive tables that share it.
        aside: not empty: too much for a terminal after a run, which names it by this and leaves it to the files.

    Raises:
        ContractError: a row does not have an entry per column, or labels do not come first.
    """

    title: str
    columns: tuple[Column, ...]
    sections: tuple[tuple[Row, ...], ...]
    captions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    aside: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ContractError(
                    f"the table {self.title!r} has {len(self.columns)} columns, but a row of {len(row)} entries"
                )
        numbers = [not column.label for column in self.columns]
        if numbers != sorted(numbers):
            raise ContractError(f"the table {self.title!r} has a column of labels after one of numbers")

    @property
    def rows(self) -> list[Row]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section]

    def take(self, columns: Sequence[int]) -> Table:
        """The same table with only some of its columns, by position."""
        return replace(
            self,
            columns=tuple(self.columns[i] for i in columns),
            sections=tuple(tuple(tuple(row[i] for i in columns) for row in section) for section in self.sections),
        )


NamedTables = list[tuple[str, list[Table]]]
"""The tables of a record by the name that the user gave them."""

DEFAULT = ("results", "worst-case", "directions", "manipulations", "nauc", "attention")
"""The templates of a record that asks for no table."""


def named_tables(
    registry: Registry, record: Mapping[str, Any], asked: Sequence[Mapping[str, Any]] | None = None
) -> NamedTables:
    """The tables of a record (see :func:`dfbench.recordfile.load_record`).

    Args:
        registry: where templates are found.
        record: in the layout of the newest schema.
        asked: ``{"name", "template", "scenarios"}`` of each; without ``scenarios``, or with none, a table shows all of
            them. None: those that the record's configuration names, or else ``DEFAULT``.

    Raises:
        UsageError: no such template or scenario, or the template does not fit the record.
        ContractError: the template fails, or gives something else than tables.
    """
    wanted = asked if asked is not None else record["config"]["tables"]
    wanted = wanted or [{"name": template, "template": template} for template in DEFAULT]
    return [
        (str(one["name"]), _build(registry, one["template"], _part(record, one.get("scenarios") or ())))
        for one in wanted
    ]


def without_tables(
    registry: Registry, record: Mapping[str, Any], named: NamedTables, templates: Sequence[str] = ()
) -> list[str]:
    """A sentence for each table that was asked for and of which the record has nothing.

    Args:
        registry: where templates are found.
        record: as for :func:`named_tables`.
        named: the tables.
        templates: of each of ``named``; those that the record's configuration names if empty.
    """
    asked = templates or [one["template"] for one in record["config"]["tables"]]
    told = []
    for (name, tables), template in zip(named, asked, strict=False):
        if not tables:
            needs = registry.component("table", template).load().needs
            told.append(f"table {name}: nothing to show" + (f"; it needs {needs}" if needs else ""))
    return told


def _build(registry: Registry, template: str, record: Mapping[str, Any]) -> list[Table]:
    component = registry.component("table", template)
    tables = component.build()(record)
    if not isinstance(tables, list) or not all(isinstance(table, Table) for table in tables):
        raise ContractError(f"the table template {component.label!r} must give a list of dfbench.tables.Table")
    return tables


def _part(record: Mapping[str, Any], scenarios: Sequence[str]) -> Mapping[str, Any]:
    """The record with only these scenarios, in this order."""
    if not scenarios:
        return record
    known = {scenario["name"]: scenario for scenario in record["config"]["scenarios"]}
    for name in scenarios:
        if name not in known:
            raise UsageError(f"the record has no scenario {name!r}: {did_you_mean(name, known)}")
    place = {name: number for number, name in enumerate(scenarios)}

    def shown(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return sorted((one for one in entries if one["scenario"] in place), key=lambda one: place[one["scenario"]])

    return {
        **record,
        "config": {**record["config"], "scenarios": [known[name] for name in scenarios]},
        "cells": shown(record["cells"]),
        "over_seeds": shown(record["over_seeds"]),
    }
