"""Typed errors. Each names the cause and the cure, and carries the exit code of the command line.

Exit codes: 0 success, 1 crash, 2 usage, 3 regressed or findings, 4 missing or incomparable, 5 a cell failed,
130 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DfbenchError(Exception):
    """An error a user can understand and mend. Its message is one line: what is wrong, and what to do."""

    exit_code = 1


class UsageError(DfbenchError):
    """The request itself is wrong: unknown name, ill-typed or out-of-range parameter. Raised before any work."""

    exit_code = 2


class MissingDependency(UsageError):
    """An optional package is not installed; the message holds the command that installs it."""


class DataError(DfbenchError):
    """A data set cannot be used: missing, corrupt, empty, one class only, or pixels outside the contract."""


class LeakError(DataError):
    """The splits of the training data share videos, people or pictures, and that was not allowed."""

    exit_code = 3


class ContractError(DfbenchError):
    """A component broke its contract: wrong shape, NaN, left the eps-ball, left the model in training mode."""


class CheckpointError(DfbenchError):
    """A checkpoint is truncated, of another model, or not a checkpoint."""


class StorageError(DfbenchError):
    """The cache or output folder cannot be written: permissions, or no space left."""


class TrainingError(DfbenchError):
    """Training cannot go on, for example a non-finite loss term."""


class CellError(DfbenchError):
    """At least one evaluation cell failed; the others are finished and kept."""

    exit_code = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A short hint after an unknown name: the closest known names, or all of them where they are few."""
    candidates = sorted(known)
    close = difflib.get_close_matches(name, candidates, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    if 0 < len(candidates) <= 12:
        return "known: " + ", ".join(candidates)
    return "no similar name is known"
