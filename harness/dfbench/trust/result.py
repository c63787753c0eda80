"""What a check found, and what follows for the cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEVELS = ("fast", "full", "none")
"""How much is checked: on a share of each cell's passes, whatever it costs, or nothing."""

PASSED, FOUND, NOT_RUN, BESIDE = "passed", "found", "not run", "beside the point"

RELIABLE, SUSPECT, UNCHECKED = "reliable", "suspect", "unchecked"


@dataclass(frozen=True)
class Result:
    """What one check found.

    Args:
        check: its name.
        status: ``passed``; ``found``: something is wrong; ``not run``: it would have taken more than it may; ``beside
            the point``: it says nothing of this attack or detector.
        message: one sentence with the numbers; of a check that did not run, why.
        value, limit: what was measured, and beyond what it counts as wrong; None where the check has no number.
        samples: how many it looked at.
        passes: what it cost, in forward passes of single images (a backward pass counts as two); what several checks
            share is told of the first.
    """

    check: str
    status: str
    message: str
    value: float | None = None
    limit: float | None = None
    samples: int = 0
    passes: float = 0.0


def judged(
    check: str, wrong: bool, message: str, value: float, limit: float, samples: int, passes: float = 0.0
) -> Result:
    """A check that ran: whether it found something wrong."""
    return Result(check, FOUND if wrong else PASSED, message, float(value), limit, samples, passes)


def not_run(check: str, why: str) -> Result:
    """A check that was not affordable, and why."""
    return Result(check, NOT_RUN, why)


def beside(check: str, why: str) -> Result:
    """A check that says nothing here, and why."""
    return Result(check, BESIDE, why)


def concluded(results: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """A cell's verdict and the reasons for it.

    ``suspect`` if a check found something; else ``unchecked`` if one that would have a say was not affordable; else
    ``reliable``.

    Args:
        results: as in a record, see :class:`Result`.
    """
    for status, name in ((FOUND, SUSPECT), (NOT_RUN, UNCHECKED)):
        told = [result for result in results if result["status"] == status]
        if told:
            return name, [one["message"] if status == FOUND else f"{one['check']}: {one['message']}" for one in told]
    return RELIABLE, []


def verdict(level: str, results: Sequence[Result]) -> dict[str, Any]:
    """A cell's verdict, for the record; see :func:`concluded`."""
    rows = [asdict(result) for result in results]
    name, reasons = concluded(rows)
    return {
        "verdict": name,
        "level": level,
        "reasons": reasons,
        "checks": rows,
    }
