"""The learned attacker as evidence: how it trained, what it draws beside other attacks of its bound, what survives."""

from __future__ import annotations

from pathlib import Path

from dfbench.explain.attackers_curves import curves, draw_curves
from dfbench.explain.attackers_figure import draw_examples, draw_spectra
from dfbench.explain.attackers_measure import compared, look, spectra
from dfbench.explain.attackers_survival import draw_survival, survival
from dfbench.explain.common import Request, arm_names
from dfbench.grammar import format_value
from dfbench.store import write_text


def explain(request: Request) -> list[Path]:
    """Write whatever of the following the run has material for; a note says what is left out, and why.

    - ``attackers-training.png`` and ``.csv``: attack success, total variation and low-band energy ratio over the steps,
      of attackers trained with a defense and of those fitted to finished detectors.
    - ``attackers-examples-EPS.png``: perturbations and attacked images, the learned attacks beside others of equal eps.
    - ``attackers-spectra-EPS.png`` and ``attackers-spectra.csv``: mean spectra of these perturbations, their low-band
      energy ratio, total variation and mean size.
    - ``attackers-survival.png`` and ``.csv``: attack success before and after each corruption, from the run's cells.
    """
    return [*_training(request), *_perturbations(request), *_survival(request)]


def _training(request: Request) -> list[Path]:
    table = curves(request)
    if table.empty:
        request.notes.append("no curves of attackers: no detector here was trained with or attacked by one that learns")
        return []
    figure, data = request.out / "attackers-training.png", request.out / "attackers-training.csv"
    draw_curves(figure, table, list(arm_names(request.arms).values()))
    write_text(data, table.to_csv(index=False, float_format="%.6g"))
    return [figure, data]


def _perturbations(request: Request) -> list[Path]:
    groups = compared(request)
    if not groups:
        request.notes.append("no perturbations of learned attackers: none is among the attacks looked at")
        return []
    figures, looks = [], []
    for eps, labels in groups.items():
        if len(labels) == 1:
            request.notes.append(f"{labels[0]} has no other attack at its eps to be compared with in this run")
        look_ = look(request, eps, labels)
        name = format_value(eps).replace("/", "-")
        figures += [request.out / f"attackers-{part}-{name}.png" for part in ("examples", "spectra")]
        draw_examples(figures[-2], look_)
        draw_spectra(figures[-1], look_, spectra([look_]))
        looks.append(look_)
    data = request.out / "attackers-spectra.csv"
    write_text(data, spectra(looks).to_csv(index=False, float_format="%.6g"))
    return [*figures, data]


def _survival(request: Request) -> list[Path]:
    table = survival(request)
    if table.empty:
        request.notes.append(
            "nothing on what survives compression: the run scored no corruption both with and without an attack before "
            "it (--attack none --attack pgd --corruption none --corruption jpeg)"
        )
        return []
    figure, data = request.out / "attackers-survival.png", request.out / "attackers-survival.csv"
    draw_survival(figure, table)
    write_text(data, table.to_csv(index=False, float_format="%.6g"))
    return [figure, data]
