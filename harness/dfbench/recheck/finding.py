"""What an audit of numbers finds, and what it could not look at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a number, or that its reader must know.

    Args:
        severity: ``error``: a number is wrong, or cannot be believed. ``note``: it may be right, but whoever reads it
            must know this.
        check: what was looked at, a few words that are the same for every finding of this kind.
        where: which cell, arm or line.
        message: what was found, in one sentence.
        why: why it matters, in one sentence.
        reported, derived: what the record or table says, and what follows from the scores or from arithmetic; empty
            where there is no such pair.
    """

    severity: Severity
    check: str
    where: str
    message: str
    why: str
    reported: str = ""
    derived: str = ""

    def __str__(self) -> str:
        pair = f" (reported {self.reported}, derived {self.derived})" if self.reported or self.derived else ""
        return f"{self.severity}: {self.where}: {self.check}: {self.message}{pair}"


@dataclass
class Report:
    """The outcome of one audit.

    Args:
        name: what was audited, as the user gave it.
        checked: how many of each kind of thing were looked at, in words: ``{"numbers": 4711}``.
        unchecked: sentences on what could not be checked, which is no finding.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        """Take up findings, each once."""
        self.findings += [one for one in dict.fromkeys(findings) if one not in self.findings]

    def count(self, what: str, number: int) -> None:
        """Count things that were looked at."""
        self.checked[what] = self.checked.get(what, 0) + number

    @property
    def errors(self) -> list[Finding]:
        """The findings that make a number wrong or unbelievable."""
        return [one for one in self.findings if one.severity == "error"]

    @property
    def notes(self) -> list[Finding]:
        """The other findings."""
        return [one for one in self.findings if one.severity == "note"]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for programs."""
        return {
            "name": self.name,
            "errors": len(self.errors),
            "notes": len(self.notes),
            "findings": [vars(one) for one in (*self.errors, *self.notes)],
            "checked": self.checked,
            "unchecked": self.unchecked,
        }


def shown(value: Any) -> str:
    """A number as a reader takes it in: six significant digits, whole numbers as such."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.6g}"
    return "none" if value is None else str(value)


def few(names: Iterable[str], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
