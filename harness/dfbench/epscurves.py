"""An attack over its bound: the cells of one sweep of eps as a curve, with its area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dfbench.comparisons import Comparisons
from dfbench.grammar import format_expr
from dfbench.measure import Levels, Measured, interval
from dfbench.nauc import AREAS
from dfbench.registry import Component
from dfbench.runner import Cell
from dfbench.schema import default_of

Array = np.ndarray[Any, Any]


def eps_curves(
    cells: Sequence[Cell], levels: Mapping[int, Levels], found: Comparisons
) -> list[tuple[Cell, dict[str, Any]]]:
    """A curve for every attack that a detector met at two bounds or more, after the same corruption.

    The first point is the cell without the attack, after the same corruption, at eps 0. A curve of which a cell failed
    is left out. Intervals of areas, and of their differences from the baseline's, come from the bootstrap replicates
    of the points, which all drew the same samples.

    Args:
        cells: those of a run.
        levels, found: what was measured of them and what they are compared with, by the cell's id.

    Returns:
        For each curve one of its cells, to tell where it belongs, and its part of the record: ``attack`` (its label
        without eps), ``name``, ``n``, ``eps``, ``scenarios``, by metric ``metrics`` and ``intervals`` of each point
        and the areas ``nauc`` and ``nauc_seed`` (see :mod:`dfbench.nauc`), and ``versus_baseline``.
    """
    families: dict[tuple[Any, ...], dict[float, Cell]] = {}
    for cell in cells:
        attack = cell.scenario.attack
        if attack is not None and attack.params.get("eps"):  # at eps 0 an attack is none: the clean cell is that point
            # By what the user called it, too: a row of its own is no point of a sweep.
            key = (cell.arm, cell.data, cell.scenario.corruption_label, cell.scenario.family, without_eps(attack))
            families.setdefault(key, {})[attack.params["eps"]] = cell
    curves = []
    for key, members in families.items():
        points = [members[eps] for eps in sorted(members)]
        if len(points) < 2 or any(id(cell) not in found.clean for cell in points):
            continue
        bases = [found.baseline.get(id(cell)) for cell in points]
        clean = found.clean[id(points[0])]
        eps = [0.0, *sorted(members)]
        ours = [levels[id(cell)].samples for cell in (clean, *points)]
        if not _shared(ours):
            continue  # a worst case shares no metric with the clean images
        base = None
        if all(bases) and id(clean) in found.baseline:
            base = [levels[id(cell)].samples for cell in (found.baseline[id(clean)], *bases) if cell]
        curve = {
            "attack": key[-1],
            "name": points[0].scenario.family or key[-1],
            "n": ours[0].n,
            "eps": eps,
            "scenarios": [cell.scenario.name for cell in (clean, *points)],
            **_measured(eps, ours),
            "versus_baseline": None,
        }
        if base and bases[0]:
            curve["versus_baseline"] = {"defense": bases[0].arm.plan.label, **_differences(eps, ours, base)}
        curves.append((points[0], curve))
    return curves


def without_eps(attack: Component) -> str:
    """An attack's label without its eps: ``pgd(steps=5)``."""
    given = {
        param.name: attack.params[param.name]
        for param in attack.spec.params
        if param.name != "eps" and attack.params[param.name] != default_of(param)
    }
    return format_expr(attack.spec.name, given)


def _rows(points: Sequence[Measured], metric: str) -> list[Array]:
    return [one.rows[metric] for one in points]


def _shared(points: Sequence[Measured]) -> list[str]:
    """The metrics that every point has, with replicates."""
    return [metric for metric in points[0].rows if all(metric in one.rows for one in points)]


def _measured(eps: Sequence[float], points: Sequence[Measured]) -> dict[str, Any]:
    names = _shared(points)
    areas = {kind: {name: _value(area(eps, _rows(points, name))) for name in names} for kind, area in AREAS.items()}
    return {
        "metrics": {name: [one.metrics[name] for one in points] for name in names},
        "intervals": {name: [one.intervals[name] for one in points] for name in names},
        **areas,
    }


def _differences(eps: Sequence[float], ours: Sequence[Measured], base: Sequence[Measured]) -> dict[str, Any]:
    names = [name for name in _shared(ours) if name in _shared(base)]
    return {
        kind: {name: _value(area(eps, _rows(ours, name)) - area(eps, _rows(base, name))) for name in names}
        for kind, area in AREAS.items()
    }


def _value(rows: Array) -> dict[str, Any]:
    return {"value": float(rows[0]), "interval": interval(rows)}
