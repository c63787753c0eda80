"""Records of runs that never were, for table templates: every case that a template must bear."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from dfbench.grammar import format_expr, parse, parse_sum
from dfbench.nauc import nauc, nauc_seed
from dfbench.recordfile import SCHEMA_VERSION

_METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "auc", "tpr_at_fpr_1pct", "eer")
_DECISIONS = (
    "accuracy_fake", "accuracy_real", "accuracy_at_frozen_eer", "tpr_at_frozen_fpr_1pct", "fpr_at_frozen_fpr_1pct",
)  # fmt: skip
_WORST_CASE = ("worst_case_accuracy", "worst_case_accuracy_fake", "worst_case_accuracy_real")

_ATTENTION = (
    "cam_pearson", "cam_pearson_flipped", "cam_pearson_unflipped", "iinc", "iinc_flipped", "iinc_unflipped",
    "iinc_consistency", "cam_top10_iou", "flip_rate",
)  # fmt: skip
_ATTENTION_FLOORS = (
    *(f"{name}_{floor}" for name in ("cam_pearson", "iinc", "cam_top10_iou") for floor in ("random", "shuffled")),
    "cam_degenerate",
)

_SCENARIOS = (
    ("clean", "none", "none"),
    ("JPEG", "none", "jpeg(quality=50)"),
    ("PGD", "pgd(eps=8/255)", "none"),
    ("PGD + JPEG", "pgd(eps=8/255)", "jpeg(quality=50)"),
    ("U-Net", "unet(eps=8/255)", "none"),
    ("U-Net + JPEG", "unet(eps=8/255)", "jpeg(quality=50)"),
)

SWEEP = (
    ("clean", "none", "none"),
    *((f"FGSM eps={eps}", f"fgsm(eps={eps})", "none") for eps in (0.001, 0.005, 0.01, 0.015)),
)
"""Scenarios of one attack over several bounds."""

WORST_CASE = (
    ("clean", "none", "none"),
    ("PGD", "pgd(eps=8/255)", "none"),
    ("strong", "strong(eps=8/255)", "none"),
)
"""Scenarios with an attack that stops at its first success: ``strong``."""

_NOTHING = {"n": 0, "metrics": {}, "undefined": {}, "intervals": {}, "versus_baseline": None}
"""What a failed cell has measured."""


def sample_record(
    *,
    seeds: Sequence[int] = (0,),
    scenarios: Sequence[tuple[str, str, str]] = _SCENARIOS,
    defenses: Sequence[str] = ("none", "dual"),
    videos: bool = False,
    fail: Sequence[tuple[Any, ...]] = (),
    cam: bool = False,
    suspect: Sequence[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """A record in the newest layout with random numbers that fit together, the same for the same arguments.

    Defended arms are trained longer than the baseline, and start from it. Parameters that a label does not tell are
    not in the configuration either.

    Args:
        seeds: of the trainings; with several of them ``over_seeds`` is filled.
        scenarios: name, attack and corruption of each; an attack at several eps (:data:`SWEEP`) fills ``curves``, and
            one called ``strong`` (:data:`WORST_CASE`) stops at its first success.
        defenses: labels; the first is the baseline.
        videos: whether samples are frames of videos.
        fail: scenario and defense of cells that failed in every training; with a seed, in that one alone.
        cam: whether attention was measured, in the scenarios that change the images.
        suspect: scenario and defense of attacked cells that checks found fault with, in all trainings; the others are
            reliable. None: there were no checks.
    """
    rng = np.random.default_rng(0)
    cells = []
    for seed, data, scenario in product(seeds, ("here", "there"), scenarios):
        base = None
        for defense in defenses:
            failed = (scenario[0], defense) in fail or (scenario[0], defense, seed) in fail
            cell = _cell(rng, seed, data, scenario, defense, videos=videos, failed=failed)
            if cam and scenario[1:] != ("none", "none") and cell["status"] == "ok":
                _look(rng, cell)
            if suspect is not None and cell["status"] == "ok" and scenario[1] != "none":
                cell["verdict"] = _verdict(suspect=(scenario[0], defense) in suspect)
            _compare(cell, base)
            base = cell if defense == defenses[0] else base
            cells.append(cell)
    used = [{"name": name, "fingerprint": "0" * 64} for name in ("here", "there")]
    named = [
        {"name": name, "attack": _component("attack", attack), "corruption": _component("corruption", corruption)}
        for name, attack, corruption in scenarios
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "dfbench run",
        "config": {
            "defenses": [_defense(label, defenses[0]) for label in defenses],
            "scenarios": named,
            "seeds": list(seeds),
            "split": "test",
            "tables": [],
            "cam": cam,
            "checks": "none" if suspect is None else "fast",
        },
        "data": used[:1],
        "eval_data": used,
        "weights": {"m": {"name": "lite0", "sha256": "0" * 64}},
        "training": [_training(label, seed, defenses[0]) for seed, label in product(seeds, defenses)],
        "attackers": [],
        "intervals": {"level": 0.95, "method": "percentile bootstrap, clustered by video", "replicates": 1000},
        "warnings": ["here into there: a warning | with <marks> & *stars*"],
        "cells": cells,
        "over_seeds": list(_over_seeds(cells)) if len(seeds) > 1 else [],
        "curves": _curves(cells, defenses[0]),
    }


def _component(kind: str, label: str) -> dict[str, Any] | None:
    written = parse(label)
    return None if label == "none" else {"kind": kind, "name": written.name, "params": written.params}


def _recipe(label: str, baseline: str) -> dict[str, Any]:
    return {"epochs": 5 if label == baseline else 12, "batch_size": 32, "optimizer": "adamw", "lr": 3e-4}


def _defense(label: str, baseline: str) -> dict[str, Any]:
    objectives = [{"kind": "defense", "name": part.name, "params": part.params} for part in parse_sum(label)]
    start = None if label == baseline else baseline
    return {"label": label, "objectives": objectives, "recipe": _recipe(label, baseline), "start": start}


def _training(label: str, seed: int, baseline: str) -> dict[str, Any]:
    longer = [
        {"what": "epochs", "here": 12, "baseline": 5},
        {"what": "start", "here": baseline, "baseline": ""},
    ]
    return {
        "model": "m", "defense": label, "data": "here", "seed": seed, "recipe": _recipe(label, baseline),
        "precision": "fp32", "checkpoint": f"checkpoints/{label}-{seed}.safetensors",
        "differences": [] if label == baseline else longer,
        "thresholds": {"samples": {"eer": 0.48, "fpr_1pct": 0.93}, "videos": {"eer": 0.51, "fpr_1pct": 0.9}},
    }  # fmt: skip


def _cell(
    rng: np.random.Generator, seed: int, data: str, scenario: tuple[str, str, str], defense: str, *,
    videos: bool, failed: bool,
) -> dict[str, Any]:  # fmt: skip
    name, attack, corruption = scenario
    cell = {
        "model": "m", "defense": defense, "train_data": "here", "data": data, "seed": seed, "scenario": name,
        "attack": attack, "corruption": corruption, "corruption_column": corruption, "split": "test", "status": "ok",
        "reason": "", "note": "", **_measured(rng, 160), "attack_success": None, "video": None, "manipulations": {},
        "verdict": None,
    }  # fmt: skip
    if failed:
        return {**cell, **_NOTHING, "status": "failed", "reason": "the attack left its eps-ball"}
    if attack != "none":
        share = float(rng.uniform(0.2, 0.9))
        cell["attack_success"] = {"value": share, "interval": [share - 0.1, share + 0.1], "n": 120}
    worst = attack.startswith("strong")
    if videos and not worst:
        cell["video"] = _measured(rng, 20)
    cell["manipulations"] = {kind: _measured(rng, 120) for kind in ("swap", "blend")}
    if worst:
        for measured in (cell, *cell["manipulations"].values()):
            _stop_at_success(rng, measured)
        cell["broken_by"] = {"clean": 12, "apgd-ce": 60, "square": 5, "": 83}
    return cell


def _stop_at_success(rng: np.random.Generator, measured: dict[str, Any]) -> None:
    """Put the metrics of the worst case in the place of all others."""
    metrics = {name: float(rng.uniform(0.1, 0.6)) for name in _WORST_CASE}
    intervals = {name: [value - 0.05, value + 0.05] for name, value in metrics.items()}
    measured |= {"metrics": metrics, "undefined": {}, "intervals": intervals}


def _verdict(*, suspect: bool) -> dict[str, Any]:
    found = "the gradient vanishes on 93% of the samples"
    check = {"check": "gradients", "status": "found" if suspect else "passed", "message": found if suspect else "",
             "value": 0.93 if suspect else 0.01, "limit": 0.1, "samples": 32, "passes": 1.0}  # fmt: skip
    told = {"verdict": "suspect", "reasons": [found]} if suspect else {"verdict": "reliable", "reasons": []}
    return {**told, "level": "fast", "checks": [check]}


def _measured(rng: np.random.Generator, n: int) -> dict[str, Any]:
    metrics = {name: float(rng.uniform(0.3, 0.9)) for name in _METRICS}
    half = n // 2
    tp, tn = (round(half * metrics[name]) for name in ("accuracy", "balanced_accuracy"))
    metrics |= dict.fromkeys(("accuracy", "balanced_accuracy"), (tp + tn) / n)
    counts = {"tp": float(tp), "fn": float(half - tp), "fp": float(half - tn), "tn": float(tn), "n": float(n)}
    floors = {"always_fake_accuracy": 0.5, "always_real_accuracy": 0.5}
    metrics |= {name: float(rng.uniform(0.3, 0.9)) for name in _DECISIONS}
    return {
        "n": n,
        "metrics": {**metrics, "ap": None, "ece": float(rng.uniform(0, 0.3)), **floors, **counts},
        "undefined": {"ap": "no value on these samples"},
        "intervals": {"ece": None, **{name: [value - 0.05, value + 0.05] for name, value in metrics.items()}},
        "versus_baseline": None,
    }


def _look(rng: np.random.Generator, cell: dict[str, Any]) -> None:
    """Add the metrics of attention; in cells without an attack no prediction changed."""
    metrics: dict[str, float | None] = {name: float(rng.uniform(0.1, 0.9)) for name in _ATTENTION + _ATTENTION_FLOORS}
    if cell["attack"] == "none":
        none = dict.fromkeys(("cam_pearson_flipped", "iinc_flipped"))
        metrics |= {**none, "flip_rate": 0.0}
        cell["undefined"] |= dict.fromkeys(none, "no sample with a changed prediction")
    cell["metrics"] |= metrics
    cell["intervals"] |= {
        name: [value - 0.05, value + 0.05] for name in _ATTENTION if (value := metrics[name]) is not None
    }


def _compare(cell: dict[str, Any], base: dict[str, Any] | None) -> None:
    """Add the difference from the baseline, by sample and by video."""
    if base is None or "failed" in (cell["status"], base["status"]):
        return
    for ours, theirs in [(cell, base), *([(cell["video"], base["video"])] if cell["video"] else [])]:
        gains = {name: ours["metrics"][name] - theirs["metrics"][name] for name in ours["intervals"]}
        ours["versus_baseline"] = {"defense": base["defense"], "difference": _differences(gains)}


def _differences(gains: Mapping[str, float]) -> dict[str, Any]:
    """Paired differences by metric, with a p that agrees with their intervals."""
    return {
        name: {**_around(gain, 0.1), "p": math.erfc(abs(gain) / 0.0722), "test": "bootstrap"}
        for name, gain in gains.items()
    }


def _curves(cells: Sequence[dict[str, Any]], baseline: str) -> list[dict[str, Any]]:
    """The curve of each arm and attack that was measured at several eps, and at eps 0 with the same corruption."""
    known = ("model", "defense", "train_data", "data", "seed", "corruption", "corruption_column", "split", "n")
    swept: dict[tuple[Any, ...], dict[float, dict[str, Any]]] = {}
    clean = {tuple(cell[name] for name in known[:6]): cell for cell in cells if cell["attack"] == "none"}
    for cell in cells:
        attack = parse(cell["attack"])
        if "eps" in attack.params:
            label = format_expr(attack.name, {key: v for key, v in attack.params.items() if key != "eps"})
            arm = tuple(cell[name] for name in known[:6])
            swept.setdefault((*arm, label), {0.0: clean[arm]} if arm in clean else {})[attack.params["eps"]] = cell
    curves: list[dict[str, Any]] = []
    for (*_, label), points in swept.items():
        if (
            label.startswith("strong")
            or len(points) < 3
            or 0.0 not in points
            or any(cell["status"] == "failed" for cell in points.values())
        ):
            continue
        cell, eps = points[0.0], sorted(points)
        metrics = {name: [points[bound]["metrics"][name] for bound in eps] for name in _METRICS}
        curve = {
            **{name: cell[name] for name in known},
            "attack": label,
            "name": label,
            "eps": eps,
            "scenarios": [points[bound]["scenario"] for bound in eps],
            "metrics": metrics,
            "intervals": {name: [points[bound]["intervals"][name] for bound in eps] for name in _METRICS},
            "nauc": {name: _around(nauc(eps, values), 0.05) for name, values in metrics.items()},
            "nauc_seed": {name: _around(nauc_seed(eps, values), 0.05) for name, values in metrics.items()},
            "versus_baseline": None,
        }
        places = [name for name in known if name != "defense"] + ["attack"]
        base = next((o for o in curves if o["defense"] == baseline and all(o[p] == curve[p] for p in places)), None)
        if base is not None and cell["defense"] != baseline:
            curve["versus_baseline"] = {
                "defense": baseline,
                **{
                    area: {
                        name: _around(curve[area][name]["value"] - base[area][name]["value"], 0.1) for name in metrics
                    }
                    for area in ("nauc", "nauc_seed")
                },
            }
        curves.append(curve)
    return curves


def _around(value: float, width: float) -> dict[str, Any]:
    return {"value": value, "interval": [value - width, value + width]}


_SHARED = (
    "model", "defense", "train_data", "data", "scenario", "attack", "corruption", "corruption_column", "note", "split",
)  # fmt: skip


def _over_seeds(cells: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    keys = dict.fromkeys(tuple(cell[name] for name in _SHARED) for cell in cells if cell["status"] == "ok")
    for key in keys:
        ours = [cell for cell in cells if cell["status"] == "ok" and tuple(cell[name] for name in _SHARED) == key]
        videos = [cell["video"] for cell in ours if cell["video"]]
        shares = [cell["attack_success"]["value"] for cell in ours if cell["attack_success"]]
        yield {
            **dict(zip(_SHARED, key, strict=True)),
            **_together(ours),
            "seeds": [cell["seed"] for cell in ours],
            "attack_success": _mean(shares) if shares else None,
            "video": _together(videos) if videos else None,
        }


def _together(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of several trainings as mean and standard deviation, and their mean difference."""
    first = measured[0]
    versus = first["versus_baseline"]
    if not all(one["versus_baseline"] for one in measured):
        versus = None
    if versus:
        gains = {
            name: float(np.mean([one["versus_baseline"]["difference"][name]["value"] for one in measured]))
            for name in versus["difference"]
        }
        versus = {**versus, "difference": _differences(gains)}
    names = [name for name, value in first["metrics"].items() if value is not None]
    return {
        "n": first["n"],
        "metrics": {name: _mean([one["metrics"][name] for one in measured]) for name in names},
        "versus_baseline": versus,
    }


def _mean(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}
