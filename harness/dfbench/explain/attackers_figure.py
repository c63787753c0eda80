"""The figures of perturbations: examples, and mean spectra."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dfbench.contracts import CLASS_NAMES, FAKE
from dfbench.explain.attackers_measure import Look
from dfbench.explain.figure import COLOURS, SEQUENTIAL, drawing
from dfbench.fourier import radial_mean
from dfbench.grammar import format_value
from dfbench.perturbation import LOW_BAND

ANNULI = 24
SPAN_DB = 40.0
"""Range of the colour scale of spectra below their highest bin, in dB."""

_TICKS = (-0.5, -0.25, 0, 0.25, 0.5)
_EXAMPLES = (
    "Left in each pair the perturbation, amplified so that grey is 0 and black and white are the bound; right the "
    "attacked image as the detector saw it, with its probability of fake."
)
_SPECTRA = (
    "How the energy of perturbations spreads over spatial frequencies, mean over samples, in dB of each perturbation's "
    f"total; the centre of a map is frequency 0, the circle the low band up to {LOW_BAND} cycles/pixel. Beside the "
    "curves, the share of energy in the low band, which is 0.05 for white noise."
)


def draw_examples(path: Path, look: Look) -> None:
    """A row for each sample, and for each arm and attack the perturbation beside the attacked image."""
    columns = 2 * len(look.drawn) + 1
    with drawing(path, 1.35 * columns + 0.5, 1.5 * len(look.shown) + 1, _EXAMPLES) as figure:
        grid = figure.subplots(len(look.shown), columns, squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        grid[0, 0].set_title("clean")
        for number, (arm, attack) in enumerate(look.drawn):
            grid[0, 2 * number + 1].set_title(f"{_fold(arm)}\n{_fold(attack)}\nperturbation")
            grid[0, 2 * number + 2].set_title("attacked")
        for row, sample in zip(grid, look.shown, strict=True):
            row[0].imshow(_pixels(look.images[sample.id]))
            row[0].set_ylabel("\n".join(filter(None, (CLASS_NAMES[sample.label], sample.manipulation))))
            for number, drawn in enumerate(look.drawn.values()):
                image, score = drawn.examples[sample.id], drawn.scores[sample.id]
                delta = (image - look.images[sample.id]) / look.eps
                row[2 * number + 1].imshow(_pixels((delta + 1) / 2))
                row[2 * number + 2].imshow(_pixels(image))
                wrong = (score >= 0.5) != (sample.label == FAKE)
                row[2 * number + 2].set_xlabel(f"fake {score:.2f}" + (", wrong" if wrong else ""))
        bound = format_value(look.eps)
        figure.suptitle(
            f"Perturbations at eps {bound}: grey is 0, black and white are -{bound} and {bound}", fontsize=10
        )


def draw_spectra(path: Path, look: Look, table: pd.DataFrame) -> None:
    """A row for each arm: the mean spectrum of each attack as a map, and their radial means.

    Args:
        path: of the PNG.
        look: what was measured.
        table: :func:`dfbench.explain.attackers_measure.spectra` of it.
    """
    planes = {key: _mean(drawn.spectrum) for key, drawn in look.drawn.items()}
    highest = max(float(_decibels(plane).max()) for plane in planes.values())
    columns = len(look.attacks)
    with drawing(path, 2.8 * columns + 4.4, 3.3 * len(look.arms) + 0.8, _SPECTRA) as figure:
        grid = figure.subplots(len(look.arms), columns + 1, squeeze=False, width_ratios=[1] * columns + [1.35])
        for row, arm in zip(grid, look.arms, strict=True):
            for axes, attack in zip(row, look.attacks, strict=False):
                shown = np.fft.fftshift(_decibels(planes[arm, attack]))
                mesh = axes.imshow(
                    shown,
                    cmap=SEQUENTIAL,
                    vmin=highest - SPAN_DB,
                    vmax=highest,
                    extent=(-0.5, 0.5, -0.5, 0.5),
                    origin="lower",
                )
                turn = np.linspace(0, 2 * np.pi, 100)
                axes.plot(LOW_BAND * np.cos(turn), LOW_BAND * np.sin(turn), color="white", linewidth=0.8)
                axes.set(title=f"{_fold(arm, 34)}\n{_fold(attack, 34)}", xticks=_TICKS, yticks=_TICKS)
                axes.set_xlabel("horizontal frequency (cycles/pixel)")
            row[0].set_ylabel("vertical frequency (cycles/pixel)")
            _radial(row[-1], arm, {attack: planes[arm, attack] for attack in look.attacks}, table[table["arm"] == arm])
            row[-1].sharey(grid[0, -1])
        low, high = grid[0, -1].get_ylim()
        shown_ticks = [tick for tick in grid[0, -1].get_yticks() if low <= tick <= 0]
        grid[0, -1].set(yticks=shown_ticks, ylim=(low, high + 0.55 * (high - low)))  # room for the legends
        figure.colorbar(
            mesh, ax=grid[:, :-1].ravel().tolist(), location="bottom", shrink=0.6, aspect=40, extend="min",
            label="energy in a frequency bin (dB of the perturbation's total)",
        )  # fmt: skip
        count = look.drawn[look.arms[0], look.attacks[0]].rows
        figure.suptitle(f"Mean spectra of perturbations at eps {format_value(look.eps)}, n = {len(count)}", fontsize=10)


def _radial(axes: Any, arm: str, planes: dict[str, np.ndarray[Any, Any]], table: pd.DataFrame) -> None:
    axes.axvspan(0, LOW_BAND, color="black", alpha=0.08, linewidth=0)
    axes.text(LOW_BAND, 0.02, " low band", ha="left", transform=axes.get_xaxis_transform())
    for number, (attack, plane) in enumerate(planes.items()):
        radii, means = radial_mean(torch.from_numpy(plane), ANNULI)
        told = table[table["attack"] == attack].iloc[0]
        interval = f"[{told['low_band_ratio_low']:.2f}, {told['low_band_ratio_high']:.2f}]"
        axes.plot(
            radii, _decibels(means.numpy()), ("-", "--", ":", "-.")[number % 4],
            color=COLOURS[number % len(COLOURS)], label=f"{_fold(attack, 34)}\n{told['low_band_ratio']:.2f} {interval}",
        )  # fmt: skip
    axes.set(
        xlabel="radial frequency (cycles/pixel)",
        ylabel="mean energy in a bin (dB of the total)",
        xlim=(0, 0.71),
        title=f"{_fold(arm, 34)}\nradial means",
    )
    axes.legend(title="share of energy in the low band", loc="upper right", frameon=False)


def _mean(spectrum: Tensor | None) -> np.ndarray[Any, Any]:
    assert spectrum is not None  # there is a batch at least
    return np.asarray(spectrum / spectrum.sum().clamp_min(1e-20))  # an attack that moved nothing has no energy


def _decibels(shares: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(10 * np.log10(np.maximum(shares, 1e-20)))


def _pixels(image: Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(image.clamp(0, 1).permute(1, 2, 0))


def _fold(text: str, width: int = 18) -> str:
    return textwrap.fill(text, width, break_long_words=False)
