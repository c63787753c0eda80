"""The outcome of audits, for a terminal, for a document, for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from dfbench.recheck.finding import Finding, Report, few

Row = tuple[Finding, list[str]]

MOST = 25
"""Findings of one check that a terminal shows."""


def rows(report: Report) -> list[Row]:
    """The findings, errors first; those that differ in their place alone are one row, with all their places."""
    found: dict[tuple[object, ...], Row] = {}
    for one in (*report.errors, *report.notes):
        key = (one.severity, one.check, one.message, one.reported, one.derived)
        found.setdefault(key, (one, []))[1].append(one.where)
    return list(found.values())


def summary(report: Report) -> str:
    """One sentence: how much was looked at, and what came of it."""
    looked = ", ".join(f"{count:,} {what}" for what, count in report.checked.items() if count)
    found = [
        f"{len(many)} {what}{'s' if len(many) > 1 else ''}"
        for many, what in ((report.errors, "error"), (report.notes, "note"))
        if many
    ]
    return f"{report.name}: {looked} checked: {', '.join(found) or 'no findings'}"


def show(reports: Sequence[Report], console: Console) -> None:
    """Print tables of findings."""
    for report in reports:
        told: set[str] = set()
        listed, left_out = _first(report)
        if report.findings:
            table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
            table.add_column("", no_wrap=True)
            table.add_column("where", ratio=3)
            table.add_column("what", ratio=5)
            for name in ("reported", "derived"):
                table.add_column(name, overflow="fold", min_width=8)
            for one, places in listed:
                style = "red" if one.severity == "error" else "yellow"
                # Why a check matters is told once.
                why = "" if one.why in told else f"\n{one.why}"
                told.add(one.why)
                what = Text.assemble((f"{one.check}: ", "bold"), one.message, (why, "dim"))
                where = escape("\n".join([*places[:3], *([f"and {len(places) - 3} more"] if len(places) > 3 else [])]))
                table.add_row(Text(one.severity, style=style), where, what, one.reported, one.derived)
            console.print(table)
        for check, count in left_out.items():
            console.print(Text(f"and {count:,} more findings of {check!r}: --format json lists them all"))
        for sentence in unchecked(report):
            console.print(Text(f"not checked: {sentence}", style="dim"))
        style = "bold red" if report.errors else "bold"
        console.print(Text(summary(report), style=style), soft_wrap=True)


def _first(report: Report) -> tuple[list[Row], dict[str, int]]:
    """The rows of a report, but of each check no more than can be read; and how many were left out of which."""
    seen: Counter[str] = Counter()
    listed = []
    for row in rows(report):
        seen[row[0].check] += 1
        if seen[row[0].check] <= MOST:
            listed.append(row)
    return listed, {check: count - MOST for check, count in seen.items() if count > MOST}


def as_markdown(reports: Iterable[Report]) -> str:
    """A section for each audit."""
    parts = []
    for report in reports:
        parts.append(f"## {summary(report)}")
        listed = [
            [one.severity, _cell(few(places)), _cell(f"{one.check}: {one.message}"), one.reported, one.derived, one.why]
            for one, places in rows(report)
        ]
        if listed:
            head = ["", "where", "what", "reported", "derived", "why it matters"]
            parts.append(tabulate(listed, head, "pipe", disable_numparse=True))
        parts += [f"Not checked: {sentence}." for sentence in unchecked(report)]
    return "\n\n".join(parts) + "\n"


def as_json(reports: Iterable[Report]) -> str:
    """A list with an object for each audit."""
    return json.dumps([report.as_dict() for report in reports], indent=1) + "\n"


def unchecked(report: Report) -> list[str]:
    """What could not be checked, the first few of many."""
    most = 5
    more = [f"and {len(report.unchecked) - most} more"] if len(report.unchecked) > most else []
    return [*report.unchecked[:most], *more]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
