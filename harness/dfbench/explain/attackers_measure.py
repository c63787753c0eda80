"""What attacks of equal bound draw: their perturbations, measured and as examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dfbench.contracts import LearnedAttack, Sample
from dfbench.explain.common import Request, arm_names, attacker, built
from dfbench.fourier import energy_shares
from dfbench.measure import LEVEL, REPLICATES
from dfbench.perturbation import low_band_ratio, total_variation
from dfbench.stats import bootstrap_weights, percentile_interval

EXAMPLES = 2
"""Samples of each class that are shown."""

Array = np.ndarray[Any, Any]


@dataclass
class Drawn:
    """What one attack draws against one detector.

    Args:
        spectrum: sum over the samples of their energy shares (H, W); perturbations of zeros count nothing.
        rows: a row per sample: video, low_band_ratio, tv, mean_abs.
        examples: attacked images (3, H, W) by sample id.
        scores: the detector's probability of fake on these.
    """

    spectrum: Tensor | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    examples: dict[str, Tensor] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Look:
    """Attacks of one eps, each against each detector.

    Args:
        eps: their bound, in [0, 1] pixels.
        drawn: by arm's name and attack.
        shown: the samples that examples are kept of.
        images: their clean images (3, H, W) by id.
    """

    eps: float
    drawn: dict[tuple[str, str], Drawn]
    shown: list[Sample]
    images: dict[str, Tensor]

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in order."""
        return list(dict.fromkeys(arm for arm, _ in self.drawn))

    @property
    def attacks(self) -> list[str]:
        """Labels of the attacks, in order."""
        return list(dict.fromkeys(attack for _, attack in self.drawn))


def compared(request: Request) -> dict[float, list[str]]:
    """By eps, the attacks that are looked at, the learned ones last; only where a learned one is among them.

    Where ``request.attacks`` has none of equal eps beside the learned one, the first such attack of the run stands in.
    """
    run = request.run
    cells = [cell["attack"] for cell in run.record["cells"] if cell["attack"] != "none"]
    known = {label: built(run, label) for label in dict.fromkeys([*request.attacks, *cells])}
    bounds = {label: attack.eps for label, attack in known.items() if attack}
    learns = {label for label, attack in known.items() if isinstance(attack, LearnedAttack)}
    groups: dict[float, list[str]] = {}
    for label in request.attacks:
        eps = bounds.get(label)
        if label in learns and eps:
            groups.setdefault(eps, []).append(label)
    for eps, learned in groups.items():
        others = [label for label, bound in bounds.items() if bound == eps and label not in learns]
        asked = [name for name in others if name in request.attacks]
        groups[eps] = [*(asked or others[:1]), *learned]
    return groups


def look(request: Request, eps: float, labels: Sequence[str]) -> Look:
    """Attack the chosen samples with each attack, against each arm."""
    found: dict[tuple[str, str], Drawn] = {}
    batches = list(request.batches())
    shown = [sample for label in (0, 1) for sample in _first(batches, label)]
    ids = {sample.id for sample in shown}
    images = {name: x for batch, _ in batches for name, x in zip(batch.ids, batch.x, strict=True) if name in ids}
    for arm, name in arm_names(request.arms).items():
        model = request.run.model(arm)
        for label in labels:
            drawn = found[name, label] = Drawn()
            attack = attacker(request, arm, label, model)
            with request.progress.task(f"{label} on {name}", sum(len(batch.ids) for batch, _ in batches)) as advance:
                for batch, samples in batches:
                    x_adv = attack(batch)
                    _measure(drawn, x_adv - batch.x, eps, samples)
                    _keep(drawn, model, x_adv, batch.ids, ids)
                    advance(len(samples))
    return Look(eps, found, shown, {name: x.cpu() for name, x in images.items()})


def _first(batches: Sequence[tuple[Any, list[Sample]]], label: int) -> list[Sample]:
    return [sample for _, samples in batches for sample in samples if sample.label == label][:EXAMPLES]


def _measure(drawn: Drawn, delta: Tensor, eps: float, samples: Sequence[Sample]) -> None:
    moved = delta.flatten(1).any(1)
    shares = energy_shares(delta[moved].cpu()).sum(0)
    drawn.spectrum = shares if drawn.spectrum is None else drawn.spectrum + shares
    ratios = low_band_ratio(delta)
    for sample, one, ratio, any_ in zip(samples, delta, ratios.tolist(), moved.tolist(), strict=True):
        drawn.rows.append(
            {
                "video": sample.video,
                "low_band_ratio": ratio if any_ else float("nan"),
                "tv": float(total_variation(one[None] / eps)),
                "mean_abs": float(one.abs().mean() / eps),
            }
        )


@torch.inference_mode()
def _keep(drawn: Drawn, model: nn.Module, x_adv: Tensor, ids: Sequence[str], wanted: set[str]) -> None:
    for number, name in enumerate(ids):
        if name in wanted:
            drawn.examples[name] = x_adv[number].cpu()
            drawn.scores[name] = float(model(x_adv[number : number + 1]).softmax(1)[0, 1])


def spectra(looks: Sequence[Look]) -> pd.DataFrame:
    """Per eps, arm and attack: n, and low-band energy ratio, TV of delta/eps and mean |delta|/eps with intervals.

    ``n_low_band`` counts the samples with a perturbation at all: one of zeros has no spectrum.
    """
    rows = []
    for one in looks:
        for (arm, attack), drawn in one.drawn.items():
            table = pd.DataFrame(drawn.rows)
            row: dict[str, Any] = {"eps_255": one.eps * 255, "arm": arm, "attack": attack, "n": len(table)}
            row["n_low_band"] = int(table["low_band_ratio"].notna().sum())
            for value in ("low_band_ratio", "tv", "mean_abs"):
                known = table[table[value].notna()]
                row[value] = known[value].mean()
                interval = _interval(known[value].to_numpy(), known["video"].tolist())
                row[f"{value}_low"], row[f"{value}_high"] = interval
            rows.append(row)
    return pd.DataFrame(rows)


def _interval(values: Array, videos: Sequence[str]) -> tuple[float, float]:
    weights = bootstrap_weights(videos, REPLICATES, seed=0)
    means = weights @ values / weights.sum(1)
    return percentile_interval(means, LEVEL) or (float("nan"), float("nan"))
