"""Which differences of a table are marked, and what it says of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.recordcells import difference
from dfbench.significance import ALPHA, significant

Entry = Mapping[str, Any]

BY_INTERVAL = "the interval excludes 0"
"""When a difference of a record without p is significant."""


def marked(entries: Sequence[Entry], metric: str) -> set[tuple[str, str]]:
    """The entries, by scenario and defense, whose difference from the baseline in a metric is significant.

    Args:
        entries: all of one table: they are corrected for together.
        metric: its name.
    """
    found = significant([difference(entry, metric) for entry in entries])
    return {key(entry) for entry, clear in zip(entries, found, strict=True) if clear}


def key(entry: Entry) -> tuple[str, str]:
    """What tells an entry from the others of its table."""
    return str(entry["scenario"]), str(entry["defense"])


def rule(entries: Sequence[Entry], metrics: Sequence[str]) -> str:
    """When a difference is significant, to follow "where": by p where the record has them, else by the interval.

    Args:
        entries: all of one table.
        metrics: those whose differences it shows; each is corrected for by itself.
    """
    families = [[found for entry in entries if (found := difference(entry, metric))] for metric in metrics]
    tested = [[one for one in family if one.get("p") is not None] for family in families]
    most = max(map(len, tested), default=0)
    if not most:
        return BY_INTERVAL
    names = ", ".join(sorted({one["test"] for family in tested for one in family}, key=str.lower))
    over = f"the {most} differences" if len(metrics) == 1 else "the differences of each metric"
    return f"p < {ALPHA:g} ({names}) after Holm's correction over {over} in this table"
