"""The figure of the frequency sensitivity: a map per detector, and the radial means of all of them."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dfbench.explain.figure import COLOURS, SEQUENTIAL, drawing

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

NYQUIST = 0.5
_TICKS = (-0.5, -0.25, 0, 0.25, 0.5)
_PANELS = (
    ("excess_error", "excess error (error\nminus clean error)"),
    ("margin_change", "change of the logit margin\n(below 0: to an error)"),
)
_READING = (
    "Left: the share of images that a detector misclassifies when one spatial frequency is added to them, by that "
    "frequency; the centre is constant brightness, the edge is Nyquist. Right: the same as means over all directions, "
    "with 95% intervals. A detector depends on the frequencies at which its error rises and its margin falls. "
    "The mean radius weighs frequencies by the error they add; noise counts towards it where an error is small."
)


def draw(path: Path, directions: pd.DataFrame, radial: pd.DataFrame, summary: pd.DataFrame) -> None:
    """Draw the tables of :func:`dfbench.explain.frequency.explain`.

    Args:
        path: of the PNG.
        directions: arm, fy, fx, error, clean_error; one of each pair of conjugates.
        radial: arm, radius; excess_error and margin_change, each with its ``_low`` and ``_high``.
        summary: arm, n, rms_255, l2_per_channel, mean_radius, low, high, radius_if_flat.
    """
    columns = min(3, len(summary))
    rows = -(-len(summary) // columns)
    with drawing(path, 3 * columns + 4.8, max(4.7, 3.7 * rows + 0.7), _READING) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(3 * columns, 4.8), squeeze=False)[0]
        _maps(left, directions, summary["arm"].tolist(), columns)
        _curves(right, radial, summary)
        one = summary.iloc[0]
        figure.suptitle(
            f"Fourier basis noise of RMS {one['rms_255']:g}/255 per channel "
            f"(L2 norm {one['l2_per_channel']:.3g} per channel), n = {one['n']} images",
            fontsize=10,
        )


def _maps(figure: SubFigure, directions: pd.DataFrame, arms: list[str], columns: int) -> None:
    low = directions["error"].min()
    high = max(directions["error"].max(), low + 0.01)
    grid = figure.subplots(-(-len(arms) // columns), columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(arms) :]:
        axes.remove()
    for number, (axes, arm) in enumerate(zip(grid.flat, arms, strict=False)):
        ours = directions[directions["arm"] == arm]
        mesh = axes.pcolormesh(*_plane(ours), cmap=SEQUENTIAL, vmin=low, vmax=high, shading="nearest")
        axes.set(title=f"{textwrap.fill(arm, 34)}\nclean error {ours['clean_error'].iloc[0]:.2f}", aspect="equal")
        axes.set(xlabel="horizontal frequency\n(cycles/pixel)", xticks=_TICKS, yticks=_TICKS)
        if number % columns == 0:
            axes.set_ylabel("vertical frequency (cycles/pixel)")
    figure.colorbar(mesh, ax=list(grid.flat[: len(arms)]), location="bottom", shrink=0.7, aspect=30, label="error rate")


def _curves(figure: SubFigure, radial: pd.DataFrame, summary: pd.DataFrame) -> None:
    panels: Any = figure.subplots(2, 1, sharex=True)
    for axes, (value, label) in zip(panels, _PANELS, strict=True):
        for number, told in enumerate(summary.itertuples()):
            ours = radial[radial["arm"] == told.arm]
            colour, line = COLOURS[number % len(COLOURS)], ("-", "--", ":")[number // len(COLOURS) % 3]
            axes.plot(
                ours["radius"], ours[value], line, color=colour, marker="o", markersize=3, label=_mean_radius(told)
            )
            axes.fill_between(
                ours["radius"], ours[f"{value}_low"], ours[f"{value}_high"], color=colour, alpha=0.2, lw=0
            )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.axvline(NYQUIST, color="black", linewidth=0.8, linestyle=":")
        axes.set_ylabel(label)
    panels[0].text(NYQUIST, 1, " Nyquist", va="top", transform=panels[0].get_xaxis_transform())
    panels[1].set_xlabel("radial frequency (cycles/pixel)")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        title=f"mean radius of the excess error [95%]; {summary['radius_if_flat'].iloc[0]:.2f} if all harm alike",
        loc="outside lower center",
        frameon=False,
    )


def _fold(arm: str) -> str:
    return textwrap.fill(arm, 48)


def _mean_radius(told: Any) -> str:
    if np.isnan(told.mean_radius):
        return f"{_fold(told.arm)}: none, no frequency raises the error"
    interval = "no interval" if np.isnan(told.low) else f"{told.low:.2f}, {told.high:.2f}"
    return f"{_fold(told.arm)}: {told.mean_radius:.2f} [{interval}]"


def _plane(ours: pd.DataFrame) -> tuple[Any, Any, Any]:
    """The whole frequency plane: horizontal axis, vertical axis, and the errors, each with its conjugate."""
    both = pd.concat([ours, ours.assign(fy=-ours["fy"], fx=-ours["fx"])])
    for axis in ("fy", "fx"):  # at Nyquist the two ends of an axis are one frequency
        edge = both[both[axis].abs() == NYQUIST]
        both = pd.concat([both, edge.assign(**{axis: -edge[axis]})])
    table = both.drop_duplicates(["fy", "fx"]).pivot(index="fy", columns="fx", values="error")
    return table.columns.to_numpy(), table.index.to_numpy(), table.to_numpy()
