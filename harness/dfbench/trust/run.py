"""The checks of one detector and its attacked cells, within their budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from dfbench.contracts import Attack, Corruption, Progress, Split
from dfbench.errors import StorageError
from dfbench.keys import core_version
from dfbench.store import Store
from dfbench.trust import cell as of_cell
from dfbench.trust import detector as of_detector
from dfbench.trust.cell import Case, check_cell
from dfbench.trust.detector import check_detector
from dfbench.trust.result import FOUND, Result
from dfbench.trust.subject import BATCH, Subject, batches, drawn

CODE = (
    "trust/result",
    "trust/subject",
    "trust/detector",
    "trust/cell",
    "trust/run",
    "square",
    "breaking",
    "adaptive",
    "pgd",
)
"""What decides the results, for cache keys."""

FILE = "checks.json"

DETECTOR_SHARE, CELL_SHARE = 0.05, 0.09
"""Shares of the passes of all attacked cells of a detector, and of a cell's own, that fast checks may take. They stay
below a fifth of the time, although small batches run slower."""

FEWEST, MOST, MOST_FULL = 4, 64, 256
"""Samples of a check: at least, whatever the budget; at most, in fast and in full checks of a cell. Those of a detector
are one batch."""

NOISE_PART, NOISE_ALONE = 0.3, 0.6
"""Of a cell's budget, for the comparison with noise: where the attack is iterated, and where nothing else is done. A
single step is so short that small batches weigh more."""


@dataclass(frozen=True)
class Sizes:
    """How many samples the checks look at; 0: a check is not affordable."""

    basic: int
    floor: int


def detector_sizes(level: str, passes: float, n: int) -> Sizes:
    """Of a detector's checks.

    Args:
        level: ``fast`` or ``full``.
        passes: of all its attacked cells.
        n: samples of the evaluated split.
    """
    if level == "full":
        return Sizes(min(n, BATCH), min(n, BATCH))
    budget = DETECTOR_SHARE * passes
    basic = min(n, BATCH, max(FEWEST, int(0.3 * budget / of_detector.BASIC_COST)))
    floor = min(n, BATCH, int(max(0.0, budget - basic * of_detector.BASIC_COST) / of_detector.FLOOR_COST))
    return Sizes(basic, floor if floor >= FEWEST else 0)


@dataclass(frozen=True, eq=False)
class Scored:
    """An attacked cell that was scored.

    Args:
        key: stands for everything that decides its scores.
        frame: the scores, in the order of the split.
        attack, corruption, corruption_label: what was done to the images.
        iterated: whether the attack takes many gradient steps, see :func:`dfbench.trust.cell.iterated`.
        passes: what that took, in forward passes of single images (a backward pass counts as two).
    """

    key: str
    frame: pd.DataFrame
    attack: Attack
    corruption: Corruption | None
    corruption_label: str
    iterated: bool
    passes: float


def run_checks(
    level: str,
    cells: Sequence[Scored],
    split: Split,
    *,
    subject: Callable[[], Subject],
    store: Store,
    device: torch.device,
    progress: Progress,
    title: str,
) -> list[list[Result]]:
    """What the checks find at a detector and at each of its attacked cells on one data set.

    Args:
        level: ``fast`` or ``full``.
        cells, split: what was scored, and the samples.
        subject: gives the detector; not called where all is known from the store.
        store: where results are kept and found again.
        device, progress, title: where images go, and how the work is shown.
    """
    sizes = detector_sizes(level, sum(cell.passes for cell in cells), len(split.samples))
    code = core_version(*CODE)
    preimages = [{"cell": cell.key, "level": level, "detector": asdict(sizes), "code": code} for cell in cells]
    if all(store.find("checks", preimage) for preimage in preimages):
        return [_load(store.path("checks", preimage)) for preimage in preimages]
    detector = subject()
    found = []
    with progress.task(title, len(cells)) as advance:
        of_detector = _survived(lambda: _detector_checks(detector, split, sizes, device))
        for cell, preimage in zip(cells, preimages, strict=True):
            case = Case(
                detector, split, cell.frame, cell.attack, cell.corruption, cell.corruption_label, cell.iterated, device
            )
            results = [*of_detector, *_survived(partial(_cell_checks, level, case, cell.passes))]
            with store.publish("checks", preimage) as folder:
                (folder / FILE).write_text(json.dumps([asdict(one) for one in results], indent=1), encoding="utf-8")
            found.append(results)
            advance(1)
    return found


def _survived(check: Callable[[], list[Result]]) -> list[Result]:
    """What checks found; that they failed (no memory, a NaN on the way) is a finding, and costs no score."""
    try:
        return check()
    except Exception as error:
        return [Result("checks", FOUND, f"the checks failed: {type(error).__name__}: {error}")]


def _load(folder: Path) -> list[Result]:
    try:
        return [Result(**row) for row in json.loads((folder / FILE).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"the cached checks {folder} are damaged ({error}): delete it and run again") from error


def _detector_checks(subject: Subject, split: Split, sizes: Sizes, device: torch.device) -> list[Result]:
    """The checks of a detector on samples of both classes."""
    order = drawn([sample.id for sample in split.samples], subject.seed)
    by_label = [[index for index in order if split.samples[index].label == label] for label in (0, 1)]
    mixed = [index for pair in zip(*by_label, strict=False) for index in pair] or order
    (batch,) = batches(split, mixed[: sizes.basic], device)
    floor = next(batches(split, mixed[: sizes.floor], device)) if sizes.floor else None
    return check_detector(subject, batch, floor)


def _cell_checks(level: str, case: Case, passes: float) -> list[Result]:
    """The checks of a cell whose scoring took ``passes`` (see :class:`~dfbench.trust.result.Result`)."""
    n = len(case.frame)
    corrupted = of_cell.CORRUPTION_COST if case.corruption is not None else 0.0
    if level == "full":
        return check_cell(case, min(n, MOST_FULL), min(n, MOST_FULL), of_cell.QUERIES)
    budget = CELL_SHARE * passes
    part = NOISE_PART if case.iterated else NOISE_ALONE
    noise = int(part * budget / (of_cell.NOISE_COST * (1 + corrupted)))
    steps = int((1 - part) * budget / case.steps_cost)
    return check_cell(case, min(n, MOST, noise), min(n, MOST, steps))
