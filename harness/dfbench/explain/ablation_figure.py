"""The heat map of an ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfbench.ablation import Grid
from dfbench.explain.figure import SEQUENTIAL, drawing
from dfbench.grammar import format_value
from dfbench.labels import title
from dfbench.recordcells import best, difference, value

WIDTH = 12.5
"""Inches that a page shows without making the letters smaller."""

_READING = (
    "The value at each pair of parameters, and below it its paired difference from the baseline; colours run from the "
    "lowest to the highest value of each panel, not of all. White: no such arm, or it has no value. Framed: the best "
    "of a panel, but only where it is better than the baseline by a difference whose 95% interval excludes 0. The best "
    "of many is better on these samples than it will be on others: choose on validation, report on test."
)

Entry = Mapping[str, Any]


def draw(path: Path, grid: Grid, entries: Sequence[Entry], metric: str) -> None:
    """A panel for each scenario.

    Args:
        path: of the PNG.
        grid: the arms.
        entries: of the record's ``cells`` or ``over_seeds``: those of one model and data set that were measured, by
            video where samples are frames.
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
        counted = f"{one['n']} videos" if one.get("video") else f"n = {one['n']}"
        about = f"{one['model']} on {one['data']}, {one['split']} split, {counted}"
        figure.suptitle(f"{title(metric)} of {grid.defense} over {grid.y} and {grid.x}\n{about}", fontsize=10)


def _panel(figure: Any, axes: Any, grid: Grid, entries: Sequence[Entry], metric: str) -> None:
    ours = {str(entry["defense"]): entry for entry in entries}
    values = np.full((len(grid.ys), len(grid.xs)), np.nan)
    for (x, y), label in grid.arms.items():
        if label in ours:
            found = value(ours[label], metric)
            values[grid.ys.index(y), grid.xs.index(x)] = np.nan if found is None else found
    axes.set(xlabel=grid.x, ylabel=grid.y)
    axes.set_xticks(range(len(grid.xs)), map(format_value, grid.xs))
    axes.set_yticks(range(len(grid.ys)), map(format_value, grid.ys))
    if np.isnan(values).all():
        axes.set_title("nothing was measured")
        return
    low, high = np.nanmin(values), max(np.nanmax(values), np.nanmin(values) + 1e-6)
    mesh = axes.imshow(values, cmap=SEQUENTIAL, vmin=low, vmax=high, aspect="auto", origin="lower")
    figure.colorbar(mesh, ax=axes, label=title(metric))
    for (row, column), shown in np.ndenumerate(values):
        if np.isnan(shown):
            continue
        gain = difference(ours[grid.arms[grid.xs[column], grid.ys[row]]], metric)
        told = f"{shown:.3f}" + (f"\n{gain['value']:+.3f}" if gain else "")
        bright = (shown - low) / (high - low) > 0.6
        axes.text(column, row, told, ha="center", va="center", fontsize=8, color="black" if bright else "white")
    top = best([ours[label] for label in grid.arms.values() if label in ours], metric)
    if not top:
        axes.set_title("no arm clearly better\nthan the baseline")
        return
    x, y = next(pair for pair, label in grid.arms.items() if label == top)
    frame = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * 0.47 + (grid.xs.index(x), grid.ys.index(y))
    axes.plot(*frame.T, color="#D55E00", linewidth=2.5)
    gain = difference(ours[top], metric)
    axes.set_title(
        f"best {grid.y} {format_value(y)}, {grid.x} {format_value(x)}: {value(ours[top], metric):.3f}\n"
        f"{gain['value']:+.3f} [{gain['interval'][0]:+.2f}, {gain['interval'][1]:+.2f}] from the baseline"
    )
