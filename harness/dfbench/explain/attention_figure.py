"""The figures of attention: examples, mean maps, and how much of it lies outside of the face."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dfbench.contracts import CLASS_NAMES, FAKE
from dfbench.explain.attention_measure import CLEAN, Attention, Box
from dfbench.explain.figure import COLOURS, SEQUENTIAL, drawing
from dfbench.rundir import TrainedArm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WRONG = COLOURS[1]
_MARKERS = "osD^vPX"


def draw_examples(path: Path, attention: Attention, arms: Sequence[TrainedArm], rows: Sequence[int]) -> None:
    """Examples: the clean image, then each detector's maps over it, clean and under each attack.

    Args:
        path: of the PNG.
        attention: what was looked at.
        arms: the detectors side by side.
        rows: indices of the samples, one in each row.
    """
    columns = [(arm, condition) for arm in arms for condition in attention.conditions]
    with drawing(path, 1.3 * (len(columns) + 1) + 1.1, 1.42 * len(rows) + 0.9, _EXAMPLES) as figure:
        figure.set_layout_engine("compressed")
        grid = figure.subplots(len(rows), len(columns) + 1, squeeze=False)
        for axes in grid.flat:
            _bare(axes)
        grid[0, 0].set_title("image\nwith face box")
        for axes, (arm, condition) in zip(grid[0, 1:], columns, strict=True):
            axes.set_title(f"{_fold(attention.arms[arm], 17)}\n{_fold(told(condition), 17)}")
        for row, index in zip(grid, rows, strict=True):
            sample, image = attention.samples[index], attention.images[index]
            row[0].imshow(image)
            row[0].set_ylabel(_fold(f"{CLASS_NAMES[sample.label]} {sample.manipulation}".strip(), 16))
            if (box := attention.boxes[index]) is not None:
                _box(row[0], box)
            for axes, column in zip(row[1:], columns, strict=True):
                ours = attention.looks[column]
                shown = _overlay(axes, image, ours.maps[index])
                right = (ours.scores[index] >= 0.5) == (sample.label == FAKE)
                axes.set_xlabel(
                    f"fake {ours.scores[index]:.2f}" + ("" if right else ", wrong"),
                    color="black" if right else WRONG, weight="normal" if right else "bold",
                )  # fmt: skip
        figure.colorbar(shown, ax=grid, shrink=0.3, aspect=15, label="Grad-CAM", ticks=(0, 0.5, 1))


def draw_means(path: Path, attention: Attention) -> None:
    """Mean maps: a row for each class and detector, a column for each condition, one colour scale for all."""
    labels = sorted(set(attention.labels.tolist()))
    rows = [(label, arm) for label in labels for arm in attention.arms]
    means = {
        (label, *key): ours.maps[attention.labels == label].mean(0)
        for key, ours in attention.looks.items()
        for label in labels
    }
    highest = max(float(mean.max()) for mean in means.values()) or 1.0
    conditions = attention.conditions
    height, width = attention.images.shape[1:3]
    with drawing(path, 1.7 * len(conditions) + 1.6, 1.6 * len(rows) + 0.8, _MEANS) as figure:
        figure.set_layout_engine("compressed")
        grid = figure.subplots(len(rows), len(conditions), squeeze=False)
        for (label, arm), line in zip(rows, grid, strict=True):
            members = attention.labels == label
            box = _mean_box([attention.boxes[index] for index in np.flatnonzero(members).tolist()])
            for axes, condition in zip(line, conditions, strict=True):
                shown = axes.imshow(
                    means[label, arm, condition], cmap=SEQUENTIAL, vmin=0, vmax=highest, extent=(0, width, height, 0)
                )
                _bare(axes)
                if box is not None:
                    _box(axes, box)
            line[0].set_ylabel(f"{CLASS_NAMES[label]}, n = {members.sum()}\n{_fold(attention.arms[arm], 22)}")
        for axes, condition in zip(grid[0], conditions, strict=True):
            axes.set_title(_fold(told(condition), 22))
        figure.colorbar(
            shown, ax=grid, shrink=min(1.0, 3.0 / len(rows)), label="mean Grad-CAM (each map's maximum is 1)"
        )


def draw_outside(path: Path, table: pd.DataFrame) -> None:
    """The share of attention outside of the face box, with its interval, against the share of area.

    Args:
        path: of the PNG.
        table: :func:`dfbench.explain.attention_share.summary`.
    """
    known = table[table["outside_n"] > 0]
    classes, arms = known["class"].unique(), known["arm"].unique().tolist()
    conditions = known["attack"].unique().tolist()
    with drawing(path, 4.6 * len(classes) + 1.4, 1.7 + 0.22 * len(conditions) * (len(arms) + 1), _OUTSIDE) as figure:
        for axes, name in zip(figure.subplots(1, len(classes), sharey=True, squeeze=False)[0], classes, strict=True):
            ours = known[known["class"] == name]
            area = ours["area"].mean()
            axes.axvline(area, color="black", linestyle="--", linewidth=1, label="a uniform map (share of area)")
            for number, arm in enumerate(arms):
                part = ours[ours["arm"] == arm]
                place = [conditions.index(attack) for attack in part["attack"]]
                axes.errorbar(
                    part["outside"],
                    np.array(place) + (number - (len(arms) - 1) / 2) * 0.7 / len(arms),
                    xerr=np.abs(part[["low", "high"]].to_numpy() - part[["outside"]].to_numpy()).T,
                    fmt=_MARKERS[number % len(_MARKERS)],
                    color=COLOURS[number % len(COLOURS)],
                    capsize=2,
                    label=arm,
                )
            axes.set(
                title=f"{name} images, n = {_span(ours['outside_n'])}",
                xlabel="share of attention outside of the face box",
                xlim=(0, 1),
                yticks=range(len(conditions)),
                yticklabels=[_fold(told(condition), 30) for condition in conditions],
                ylim=(len(conditions) - 0.5, -0.5),
            )
            axes.grid(axis="x", alpha=0.3)
        handles, labels = axes.get_legend_handles_labels()
        order = [*range(1, len(labels)), 0]
        figure.legend(
            [handles[i] for i in order], [labels[i] for i in order], loc="outside lower center",
            ncols=min(3, len(labels)), frameon=False,
        )  # fmt: skip


def told(condition: str) -> str:
    """What figures call a condition."""
    return "clean" if condition == CLEAN else condition


_EXAMPLES = (
    "Each row is one image, each further column one detector, called by its defense, on it clean or under an attack; "
    "bright places are where Grad-CAM finds the evidence for the class that this detector predicts on the clean image, "
    "and a map is empty where nothing speaks for that class. Under each map stands the score of fake, in bold colour "
    "where the answer is wrong. Maps have the network's own coarse grid, smoothed, and lie over the clean image."
)
_MEANS = (
    "Mean Grad-CAM over all images of a class: if attention stays where it is, a row looks alike from left to right. "
    "All maps share one colour scale; the white frame is the mean face box. Empty maps are part of the mean."
)
_OUTSIDE = (
    "Points right of the dashed line look away from the face more than a map that is the same everywhere; an attack "
    "that moves a detector's point to the right draws its attention off the face. Bars are 95% intervals (bootstrap "
    "over videos); images without a face and empty maps are left out."
)


def _overlay(axes: Axes, image: Any, cam: Any) -> Any:
    """The map over the image in grey; what a colour bar needs."""
    height, width = image.shape[:2]
    axes.imshow(image @ np.array([0.299, 0.587, 0.114]), cmap="gray", vmin=0, vmax=255)
    if not cam.any():
        axes.text(0.5, 0.04, "empty map", color="white", ha="center", transform=axes.transAxes)
    extent = (0, width, height, 0)
    return axes.imshow(cam, cmap=SEQUENTIAL, vmin=0, vmax=1, alpha=0.5, extent=extent, interpolation="bilinear")


def _bare(axes: Axes) -> None:
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def _box(axes: Axes, box: Box) -> None:
    """A frame that is seen on dark and on white."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    for colour, width in (("black", 2.2), ("white", 1)):
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, lw=width))


def _mean_box(boxes: Sequence[Box | None]) -> Box | None:
    found = [box for box in boxes if box is not None]
    if not found:
        return None
    left, top, right, bottom = np.mean(found, axis=0).tolist()
    return left, top, right, bottom


def _span(counts: pd.Series[int]) -> str:
    low, high = counts.min(), counts.max()
    return str(low) if low == high else f"{low} to {high}"


def _fold(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False))
