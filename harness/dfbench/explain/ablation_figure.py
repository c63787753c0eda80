"""The heat map of an ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfbench.ablation import Grid
from dfbench.explain.figure import SEQUENTIAL, drawing
from dfbench.grammar import format_value

TITLES = {"accuracy": "accuracy", "auc": "AUC"}
WIDTH = 12.5
"""Inches that a page shows without making the letters smaller."""

_READING = (
    "The value at each pair of parameters, and below it its paired difference from the baseline; colours run from the "
    "lowest to the highest value of each panel, not of all. White: no such arm, or it failed. Framed: the best of a "
    "panel, with the 95% interval of its difference. The best of many is better on these samples than it will be on "
    "others: choose on validation, report on test."
)

Entry = Mapping[str, Any]


def draw(path: Path, grid: Grid, entries: Sequence[Entry], metric: str) -> None:
    """A panel for each scenario.

    Args:
        path: of the PNG.
        grid: the arms.
        entries: of the record's ``cells`` or ``over_seeds``: those of one model and data set that were measured.
        metric: what is shown; more of it is better.
    """
    scenarios = list(dict.fromkeys(str(entry["scenario"]) for entry in entries))
    width, height = max(2.9, 0.78 * len(grid.xs) + 1.5), 0.55 * len(grid.ys) + 1.6
    columns = min(max(1, int(WIDTH // width)), len(scenarios))
    rows = -(-len(scenarios) // columns)
    with drawing(path, max(columns * width, 5.5), rows * height + 0.8, _READING) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for scenario, axes in zip(scenarios, panels, strict=False):
            _panel(figure, axes, grid, [entry for entry in entries if entry["scenario"] == scenario], metric)
            axes.set_title(f"{scenario}\n{axes.get_title()}")
        for axes in list(panels):
            axes.remove()
        one = entries[0]
        about = f"{one['model']} on {one['data']}, {one['split']} split, n = {one['n']}"
        figure.suptitle(f"{TITLES[metric]} of {grid.defense} over {grid.y} and {grid.x}\n{about}", fontsize=10)


def _panel(figure: Any, axes: Any, grid: Grid, entries: Sequence[Entry], metric: str) -> None:
    ours = {str(entry["defense"]): entry for entry in entries}
    values = np.full((len(grid.ys), len(grid.xs)), np.nan)
    for (x, y), label in grid.arms.items():
        if label in ours:
            values[grid.ys.index(y), grid.xs.index(x)] = _value(ours[label], metric)
    axes.set(xlabel=grid.x, ylabel=grid.y)
    axes.set_xticks(range(len(grid.xs)), map(format_value, grid.xs))
    axes.set_yticks(range(len(grid.ys)), map(format_value, grid.ys))
    if np.isnan(values).all():
        axes.set_title("nothing was measured")
        return
    low, high = np.nanmin(values), max(np.nanmax(values), np.nanmin(values) + 1e-6)
    mesh = axes.imshow(values, cmap=SEQUENTIAL, vmin=low, vmax=high, aspect="auto", origin="lower")
    figure.colorbar(mesh, ax=axes, label=TITLES[metric])
    best = np.unravel_index(np.nanargmax(values), values.shape)
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        gain = _difference(ours[grid.arms[grid.xs[column], grid.ys[row]]], metric)
        told = f"{value:.3f}" + (f"\n{gain['value']:+.3f}" if gain else "")
        bright = (value - low) / (high - low) > 0.6
        axes.text(column, row, told, ha="center", va="center", fontsize=8, color="black" if bright else "white")
    frame = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * 0.47 + best[::-1]
    axes.plot(*frame.T, color="#D55E00", linewidth=2.5)
    axes.set_title(_told(grid, ours, best, values[best], metric))


def _told(grid: Grid, ours: Mapping[str, Entry], best: Sequence[Any], value: float, metric: str) -> str:
    """The best pair, and by how much it differs from the baseline."""
    x, y = grid.xs[best[1]], grid.ys[best[0]]
    gain = _difference(ours[grid.arms[x, y]], metric)
    told = f"best {grid.y} {format_value(y)}, {grid.x} {format_value(x)}: {value:.3f}"
    if not gain:
        return told
    low, high = gain["interval"] or (None, None)
    return (
        f"{told}\n{gain['value']:+.3f}" + ("" if low is None else f" [{low:+.2f}, {high:+.2f}]") + " from the baseline"
    )


def _value(entry: Entry, metric: str) -> float:
    found = entry["metrics"].get(metric)
    found = found["mean"] if isinstance(found, Mapping) else found
    return np.nan if found is None else float(found)


def _difference(entry: Entry, metric: str) -> Mapping[str, Any]:
    versus = entry["versus_baseline"]
    return (versus["difference"].get(metric) or {}) if versus else {}
