"""The numbers of a record, derived again from its scores by the code that makes records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from dfbench.comparisons import attack_success, comparisons, over_seeds
from dfbench.contracts import Progress
from dfbench.epscurves import eps_curves
from dfbench.levels import recorded
from dfbench.measure import Levels, measure_levels
from dfbench.recheck.opened import Opened
from dfbench.recheck.rebuild import rebuild
from dfbench.record import cell_entry, curve_entry
from dfbench.registry import Registry
from dfbench.thresholds import Thresholds

Frozen = Mapping[tuple[Any, ...], Thresholds | None]
"""By model, defense, training data and seed, the thresholds of an arm."""


def rederive(registry: Registry, opened: Opened, frozen: Frozen, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    """``cells``, ``curves`` and ``over_seeds`` as they follow from the scores.

    Args:
        registry: the metrics.
        opened: the run.
        frozen: the thresholds of its arms.
        progress: where progress is shown.
    """
    cells = rebuild(opened)
    metrics = [registry.component("metric", spec.name) for spec in registry.specs("metric")]
    by, split = recorded(opened.record["intervals"]["method"]), opened.record["config"]["split"]
    levels = {id(cell): Levels() for cell in cells}
    sets: dict[str, list[int]] = defaultdict(list)
    for number, cell in enumerate(cells):
        if cell.frame is not None:
            sets[cell.data].append(number)
    with progress.task("derive the numbers again", sum(map(len, sets.values()))) as advance:
        for numbers in sets.values():
            measured = measure_levels(
                metrics,
                [opened.frames[number] for number in numbers],
                video_level=any(opened.cells[number].get("video") for number in numbers),
                thresholds=[frozen.get(arm_key(opened.cells[number])) for number in numbers],
                by=by,
            )
            levels.update(zip((id(cells[number]) for number in numbers), measured, strict=True))
            advance(len(numbers))
    found = comparisons(cells)
    rows = [
        cell_entry(cell, split, found, levels, parts=tuple(told["broken_by"] or ()))
        for cell, told in zip(cells, opened.cells, strict=True)
    ]
    for cell, row in zip(cells, rows, strict=True):
        clean = found.clean.get(id(cell))
        if cell.frame is not None and clean is not None and clean.frame is not None:
            row["attack_success"] = attack_success(clean.frame, cell.frame, by)
    return {
        "cells": rows,
        "curves": [curve_entry(cell, split, curve) for cell, curve in eps_curves(cells, levels, found)],
        "over_seeds": over_seeds(cells, rows, levels, found) if len(opened.record["config"]["seeds"]) > 1 else [],
    }


def arm_key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells the arm of a cell from others."""
    return tuple(cell[key] for key in ("model", "defense", "train_data", "seed"))
