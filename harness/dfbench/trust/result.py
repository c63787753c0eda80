"""What a check found, and what follows for the cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEVELS = ("fast", "full", "none")
"""How much is checked: on a share of each cell's passes, whatever it costs, or nothing."""

PASSED, FOUND, NOT_RUN = "passed", "found", "not run"


@dataclass(frozen=True)
class Result:
    """What one check found.

    Args:
        check: its name.
        status: ``passed``, ``found`` (something is wrong) or ``not run``.
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
    """A check that did not run, and why."""
    return Result(check, NOT_RUN, why)


def verdict(level: str, results: Sequence[Result]) -> dict[str, Any]:
    """A cell's verdict, for the record: ``reliable`` if no check found anything, else ``suspect`` with the reasons."""
    reasons = [result.message for result in results if result.status == FOUND]
    return {
        "verdict": "suspect" if reasons else "reliable",
        "level": level,
        "reasons": reasons,
        "checks": [asdict(result) for result in results],
    }
