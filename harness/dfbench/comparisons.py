"""Cells beside cells: an arm and its baseline, images with and without the attack, trainings over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dfbench.levels import clusters, decided_by
from dfbench.measure import REPLICATES, Levels, Measured, interval
from dfbench.runner import Cell
from dfbench.stats import bootstrap_weights


@dataclass(frozen=True)
class Comparisons:
    """By a cell's id, the cell that it is compared with, where there is one with scores.

    Args:
        baseline: the first baseline of the same model, trained on the same data from the same seed, in the same
            scenario on the same data set.
        clean: the same arm on the same data set without the attack, after the same corruption.
    """

    baseline: dict[int, Cell]
    clean: dict[int, Cell]


def comparisons(cells: Sequence[Cell]) -> Comparisons:
    """Which cells are compared with which."""
    baselines: dict[tuple[Any, ...], Cell] = {}
    clean: dict[tuple[Any, ...], Cell] = {}
    for cell in cells:
        if cell.frame is not None and cell.arm.plan.is_baseline:
            baselines.setdefault(_scene(cell), cell)
        if cell.frame is not None and cell.scenario.attack is None:
            clean[_without_attack(cell)] = cell
    found = Comparisons({}, {})
    for cell in cells:
        if cell.frame is not None and not cell.arm.plan.is_baseline and _scene(cell) in baselines:
            found.baseline[id(cell)] = baselines[_scene(cell)]
        if cell.frame is not None and cell.scenario.attack is not None and _without_attack(cell) in clean:
            found.clean[id(cell)] = clean[_without_attack(cell)]
    return found


def _scene(cell: Cell) -> tuple[Any, ...]:
    arm = cell.arm
    return arm.model.label, arm.data, arm.seed, cell.data, cell.scenario.name


def _without_attack(cell: Cell) -> tuple[Any, ...]:
    return cell.arm, cell.data, cell.scenario.corruption_label


def attack_success(clean: pd.DataFrame, attacked: pd.DataFrame, by: str = "") -> dict[str, Any]:
    """Share of the samples that were right without the attack and are wrong with it, among those that were right.

    Args:
        clean, attacked: scores of the same samples in the same order; both after the same corruption, so that what
            the corruption alone does is not credited to the attack.
        by: as for :func:`dfbench.levels.clusters`.

    Returns:
        ``value`` (None where no sample was right), its ``interval`` (cluster bootstrap, or None), and ``n``, the number
        of samples that were right.
    """
    label = attacked["label"].to_numpy()
    right, still = ((frame[decided_by(frame)].to_numpy() >= 0.5) == label for frame in (clean, attacked))
    drawn = bootstrap_weights(clusters(attacked, by)[0], REPLICATES, seed=0)
    weights = np.vstack([np.ones(len(label), np.int32), drawn])
    with np.errstate(invalid="ignore"):
        rows = (weights @ (right & ~still)) / (weights @ right)
    value = None if np.isnan(rows[0]) else float(rows[0])
    return {"value": value, "interval": None if value is None else interval(rows), "n": int(right.sum())}


def over_seeds(
    cells: Sequence[Cell], rows: Sequence[dict[str, Any]], levels: dict[int, Levels], found: Comparisons
) -> list[dict[str, Any]]:
    """Mean and standard deviation over trainings that differ in their seed alone, an entry per arm and scenario.

    The standard deviation (n - 1) says how much trainings differ. The interval of a difference is of the mean
    difference over these trainings, under resampling of the evaluated samples, and so is its p; a scenario that failed
    for a seed is left out of that seed's part, and ``seeds`` tells which remain.

    Args:
        cells, rows: the cells, and for each its entry of the record.
        levels: what was measured of each cell, by its id.
        found: which cells are compared with which.
    """
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for number, cell in enumerate(cells):
        if cell.frame is not None:
            groups[_scene(cell)[:2] + _scene(cell)[3:] + (cell.arm.plan.label,)].append(number)
    entries = []
    for numbers in groups.values():
        ours = [levels[id(cells[n])] for n in numbers]
        bases = [found.baseline.get(id(cells[n])) for n in numbers]
        base = [levels[id(b)] for b in bases if b is not None] if all(bases) else []
        row = rows[numbers[0]]
        told = ("model", "defense", "train_data", "data", "scenario", "attack", "corruption", "corruption_column",
                "note", "split", "n")  # fmt: skip
        versus = bases[0].arm.plan.label if base and bases[0] else ""
        success = [rows[n]["attack_success"] for n in numbers]
        values = [one["value"] for one in success if one and one["value"] is not None]
        videos = [one.videos for one in ours if one.videos]
        entries.append(
            {
                **{key: row[key] for key in told},
                "seeds": [cells[n].arm.seed for n in numbers],
                **_spread([one.samples for one in ours], [one.samples for one in base], versus),
                "attack_success": _mean_sd(values) if values else None,
                "video": {
                    "n": videos[0].n,
                    **_spread(videos, [one.videos for one in base if one.videos], versus),
                } if videos else None,
            }
        )  # fmt: skip
    return entries


def _spread(ours: list[Measured], base: list[Measured], versus: str) -> dict[str, Any]:
    names = [name for name in ours[0].metrics if all(one.metrics.get(name) is not None for one in ours)]
    difference = _mean(ours).minus(_mean(base)) if base else None
    return {
        "metrics": {name: _mean_sd([one.metrics[name] for one in ours]) for name in names},
        "versus_baseline": {"defense": versus, "difference": difference} if difference else None,
    }


def _mean(many: list[Measured]) -> Measured:
    """The mean over trainings in every bootstrap replicate; all drew the same samples."""
    names = [name for name in many[0].rows if all(name in one.rows for one in many)]
    return Measured(many[0].n, rows={name: np.mean([one.rows[name] for one in many], axis=0) for name in names})


def _mean_sd(values: Sequence[float | None]) -> dict[str, float | None]:
    numbers = np.array(values, dtype=float)
    return {"mean": float(numbers.mean()), "sd": float(numbers.std(ddof=1)) if len(numbers) > 1 else None}
