"""Verdicts of attacked cells in tables: can their numbers be relied on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.tables import Column, Entry
from dfbench_tables.entries import EMPTY

Cell = Mapping[str, Any]

COLUMN = Column("verdict", facts={"quantity": "verdict"})

NOTE = (
    "Verdict: what the checks of each attacked cell found. Reliable: nothing. SUSPECT: the attack may have failed, and "
    "the detector be weaker than the number. Unchecked: nothing, but a check that would have a say did not fit into "
    "the time of fast checks (--checks full)."
)

_SHOWN = {"suspect": "SUSPECT", "unchecked": "unchecked", "reliable": "reliable"}
"""Worst first: several trainings have the worst verdict of any."""


def worst(cells: Sequence[Cell]) -> str:
    """The worst verdict among the cells of an entry, one for each training; empty where none was checked."""
    found = {cell["verdict"]["verdict"] for cell in cells if cell.get("verdict")}
    return next((name for name in _SHOWN if name in found), "")


def suspect(cells: Sequence[Cell]) -> bool:
    """Whether any of the cells of an entry is suspect."""
    return worst(cells) == "suspect"


def verdict(cells: Sequence[Cell]) -> Entry:
    """The verdict of the cells of an entry."""
    found = worst(cells)
    return Entry(_SHOWN[found]) if found else EMPTY


def reasons(cells: Sequence[Cell], short: Mapping[str, str]) -> list[str]:
    """A sentence on each suspect cell, one for all that are so for the same reasons.

    Args:
        cells: those of a table's group.
        short: what defenses are called.
    """
    several = len({cell["seed"] for cell in cells}) > 1
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for cell in cells:
        if suspect([cell]):
            why = "; ".join(text.rstrip(".") for text in cell["verdict"]["reasons"])
            seeds = found.setdefault(why, {}).setdefault(cell["scenario"], {}).setdefault(short[cell["defense"]], [])
            seeds += [str(cell["seed"])] if several else []
    return [f"SUSPECT: {'; '.join(_named(scenario, arms) for scenario, arms in scenarios.items())}: {why}."
            for why, scenarios in found.items()]  # fmt: skip


def _named(scenario: str, arms: Mapping[str, Sequence[str]]) -> str:
    told = [
        f"{arm} ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)})" if seeds else arm
        for arm, seeds in arms.items()
    ]
    return f"{scenario} with {', '.join(told)}"
