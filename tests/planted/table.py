"""The table of planted faults, as the README shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from .fault import Fault
from .faults import FAULTS

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- planted faults: written by python -m tests.planted -->", "<!-- end of planted faults -->"


def as_markdown(found: Callable[[Fault], str]) -> str:
    """The table.

    Args:
        found: what of a finding matches the expected one; empty where the fault was not found.
    """
    rows = [[fault.name, fault.planted, fault.finder, _cell(found(fault)) or "**not found**"] for fault in FAULTS]
    return tabulate(rows, ["fault", "what is planted", "found by", "finding"], "pipe")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def in_readme() -> str:
    """The table that the README shows."""
    return README.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def write(table: str) -> None:
    """Put the table into the README, in place of the one that is there."""
    before, begin, rest = README.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{README} lacks the lines {BEGIN!r} and {END!r}: put them where the table belongs")
    README.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", "utf-8")
