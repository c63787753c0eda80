"""The figure of an attack's sweep over eps."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfbench.explain.figure import COLOURS, drawing
from dfbench.grammar import format_value, parse
from dfbench.labels import title
from dfbench.recordcurves import shared_seeds

DECADE = 10.0
"""Span of the attacked eps from which on the axis is logarithmic."""

L_INF = ("fgsm", "pgd", "mifgsm", "unet")
"""Attacks whose eps bounds the change of each pixel. Of others a record does not tell the norm."""

_MARKERS = "osD^vPX"
_READING = (
    "How the detectors fare as the bound of the attack grows, from the images without attack at eps 0 on. {band} "
    "Dashed or dotted: what a detector scores that always gives the same answer; below that an attacked detector is "
    "worse than none. nAUC is the normalised area under a line, 1 at most; it holds for this grid of eps alone."
)
_BAND = "Bands are 95% intervals."
_SEEDS = "Thick lines are means over the trainings, thin ones single trainings; nAUC is their mean and SD."

Curve = Mapping[str, Any]


def draw(
    path: Path,
    curves: Sequence[Curve],
    arms: Mapping[str, str],
    metrics: Sequence[str],
    floors: Mapping[str, Mapping[str, float]],
    told: Sequence[str],
    *,
    several: bool,
) -> None:
    """A panel for each metric, a line for each defense.

    Args:
        path: of the PNG.
        curves: those of one attack over one grid of eps, of the record's layout; of several seeds of a defense too.
        arms: the defenses that are drawn, and what they are called.
        metrics: what is shown; each of them some curve has.
        floors: by metric, what always answering ``fake`` and ``real`` scores.
        told: sentences that belong to the caption too: what is missing, names in full.
        several: whether the run has several trainings; those seeds are drawn that all defenses have.
    """
    reading = " ".join([_READING.format(band=_SEEDS if several else _BAND), *told])
    first = curves[0]
    rows = sum(_name(name).count("\n") + 1 for name in arms.values()) + 2  # of a legend, with both floors
    with drawing(path, 5.25 * len(metrics), 4.2 + 0.21 * rows, reading) as figure:
        panels, legends = figure.subplots(2, len(metrics), squeeze=False, height_ratios=(3.6, 0.21 * rows))
        for axes, beneath, metric in zip(panels, legends, metrics, strict=True):
            seeds = shared_seeds(curves, metric)
            for number, (arm, name) in enumerate(arms.items()):
                ours = [c for c in curves if c["defense"] == arm and c["seed"] in seeds and metric in c["nauc"]]
                if ours:
                    _line(axes, number, name, ours, metric, several=several)
            _floors(axes, floors[metric])
            _bounds(axes, first)
            axes.set(ylabel=title(metric), ylim=(-0.02, 1.02))
            beneath.axis("off")
            beneath.legend(*axes.get_legend_handles_labels(), loc="upper center", frameon=False)
        corruption = f", then {first['corruption_column']}" if first["corruption"] != "none" else ""
        named = first["name"] if first["name"] == first["attack"] else f"{first['name']}: {first['attack']}"
        about = f"{first['model']} on {first['data']}, {first['split']} split, n = {first['n']}"
        figure.suptitle(f"{named}{corruption}\n{about}", fontsize=10)


def _line(axes: Any, number: int, arm: str, curves: Sequence[Curve], metric: str, *, several: bool) -> None:
    eps, colour = curves[0]["eps"], COLOURS[number % len(COLOURS)]
    values = np.array([curve["metrics"][metric] for curve in curves])
    areas = [curve["nauc"][metric]["value"] for curve in curves]
    style = {"color": colour, "marker": _MARKERS[number % len(_MARKERS)], "markersize": 4}
    if not several:
        interval = curves[0]["nauc"][metric]["interval"]
        spread = f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else ""
        low, high = zip(*(one or (np.nan, np.nan) for one in curves[0]["intervals"][metric]), strict=True)
        axes.fill_between(eps, low, high, color=colour, alpha=0.15, linewidth=0)
    elif len(curves) == 1:
        spread = f" (seed {curves[0]['seed']} alone)"
    else:
        spread = f" ± {np.std(areas, ddof=1):.3f}"
    axes.plot(eps, values.mean(0), label=f"{_name(arm)}: nAUC {np.mean(areas):.3f}{spread}", **style)
    for one in values if len(curves) > 1 else ():
        axes.plot(eps, one, color=colour, linewidth=0.7, alpha=0.6)


def _name(arm: str) -> str:
    return textwrap.fill(arm, 40, break_long_words=False)


def _floors(axes: Any, floors: Mapping[str, float]) -> None:
    same = round(floors["fake"], 3) == round(floors["real"], 3)
    for answer, style in (("fake", "--"), ("real", ":"))[: 1 if same else 2]:
        told = f"always {'one class' if same else answer}: {floors[answer]:.3f}"
        axes.axhline(floors[answer], color="#555555", linewidth=1.2, linestyle=style, label=told)


def _bounds(axes: Any, curve: Curve) -> None:
    """The axis of eps: every bound of the grid is a tick; logarithmic where the grid spans more than a decade."""
    eps = curve["eps"]
    told = ["L-inf bound in [0, 1] pixels"] if parse(curve["attack"]).name in L_INF else []
    if eps[-1] / eps[1] > DECADE:
        axes.set_xscale("symlog", linthresh=eps[1], linscale=0.5)
        axes.set_xlim(-0.15 * eps[1], 1.08 * eps[-1])
        told.append(f"logarithmic from {format_value(eps[1])} on")
    names = ["0", *(format_value(bound) for bound in eps[1:])]
    long = len(names) > 6 or any(len(name) > 6 for name in names)
    axes.set_xticks(eps, names, rotation=35 if long else 0, ha="right" if long else "center")
    axes.set_xticks([], minor=True)
    axes.set_xlabel(f"eps ({'; '.join(told)})" if told else "eps")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
