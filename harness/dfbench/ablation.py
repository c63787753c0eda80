"""Ablations: which arms of a run form a grid over two parameters of their defense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

Value = Any
"""A parameter's value: number, text, true, false or None."""


@dataclass(frozen=True)
class Grid:
    """Arms that differ in two parameters alone.

    Args:
        defense: the objectives' names, e.g. ``pim`` or ``dual+pim``.
        x, y: the parameters.
        xs, ys: their values, ascending.
        arms: the label of the arm at ``(value of x, value of y)``, for the pairs that there is one at.
        shared: the parameters of the objectives that all its arms share.
    """

    defense: str
    x: str
    y: str
    xs: tuple[Value, ...]
    ys: tuple[Value, ...]
    arms: Mapping[tuple[Value, Value], str]
    shared: Mapping[str, Value]


def grids(record: Mapping[str, Any], x: str = "", y: str = "", defense: str = "") -> list[Grid]:
    """The grids of a record; the arms of each agree in composition, recipe, start and all other parameters.

    Values are those that the run resolved: a parameter left at its default has the default of the time of the run.

    Args:
        record: in the layout of the newest schema.
        x, y: the parameters, of an objective or of the recipe. Both empty: the two in which alone the arms of a
            composition differ, where these are more than the parameters changed one at a time.
        defense: only of this composition, e.g. ``pim``; empty: of any.
    """
    families: dict[str, list[tuple[str, dict[str, Value]]]] = {}
    for arm in record["config"]["defenses"]:
        name = "+".join(part["name"] for part in arm["objectives"])
        if not defense or defense == name:
            families.setdefault(name, []).append((arm["label"], _parameters(arm)))
    found = []
    for name, arms in families.items():
        if x and y:
            found += _grids(name, _readable(x, arms), _readable(y, arms), arms)
        else:
            found += [grid for pair in _pairs(arms) for grid in _grids(name, *pair, arms) if _is_plane(grid)]
    return found


def _parameters(arm: Mapping[str, Any]) -> dict[str, Value]:
    """Everything that an arm was trained with, by ``objective.parameter``; of the recipe, by ``parameter``."""
    told = {f"{part['name']}.{key}": value for part in arm["objectives"] for key, value in part["params"].items()}
    return {**told, **arm["recipe"], "start": arm["start"]}


def _readable(name: str, arms: Sequence[tuple[str, Mapping[str, Value]]]) -> list[str]:
    """The parameters that a name may stand for: ``r`` for ``pim.r``."""
    known = dict.fromkeys(key for _, values in arms for key in values)
    return [key for key in known if name in (key, key.rpartition(".")[2])]


def _pairs(arms: Sequence[tuple[str, Mapping[str, Value]]]) -> list[tuple[list[str], list[str]]]:
    """The two parameters in which arms differ, the second of them as x; nothing where these are not exactly two."""
    keys = dict.fromkeys(key for _, values in arms for key in values)
    vary = [key for key in keys if len({repr(values.get(key)) for _, values in arms}) > 1]
    return [([vary[1]], [vary[0]])] if len(vary) == 2 else []


def _grids(
    name: str, xs: Sequence[str], ys: Sequence[str], arms: Sequence[tuple[str, Mapping[str, Value]]]
) -> list[Grid]:
    """The grids over the first pair of parameters that has any with two arms, pairs of one objective first."""
    for x, y in sorted(product(xs, ys), key=lambda pair: pair[0].rpartition(".")[0] != pair[1].rpartition(".")[0]):
        groups: dict[str, list[tuple[str, Mapping[str, Value]]]] = {}
        for label, values in arms:
            if x in values and y in values and x != y:
                rest = {key: value for key, value in sorted(values.items()) if key not in (x, y)}
                groups.setdefault(repr(rest), []).append((label, values))
        if found := [_grid(name, x, y, members) for members in groups.values() if len(members) > 1]:
            return found
    return []


def _grid(name: str, x: str, y: str, arms: Sequence[tuple[str, Mapping[str, Value]]]) -> Grid:
    at = {(values[x], values[y]): label for label, values in arms}
    shared = {key: value for key, value in arms[0][1].items() if "." in key and key not in (x, y)}
    ends = [tuple(sorted({pair[i] for pair in at}, key=_order)) for i in (0, 1)]
    told = {key.rpartition(".")[2]: value for key, value in shared.items()}
    return Grid(name, x.rpartition(".")[2], y.rpartition(".")[2], ends[0], ends[1], at, told)


def _is_plane(grid: Grid) -> bool:
    """Whether there are more arms than a row and a column that cross have."""
    return len(grid.arms) > len(grid.xs) + len(grid.ys) - 1 > 2


def _order(value: Value) -> tuple[str, float, str]:
    """Numbers by size, everything else by its text."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return ("", float(value), "") if number else (type(value).__name__, 0.0, str(value))
