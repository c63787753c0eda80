"""Records of runs that never were, for table templates: every case that a template must bear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

_METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "auc", "tpr_at_fpr_1pct", "eer")

_SCENARIOS = (
    ("clean", "none", "none"),
    ("JPEG", "none", "jpeg(quality=50)"),
    ("PGD", "pgd(eps=8/255)", "none"),
    ("PGD + JPEG", "pgd(eps=8/255)", "jpeg(quality=50)"),
    ("U-Net", "unet(eps=8/255)", "none"),
    ("U-Net + JPEG", "unet(eps=8/255)", "jpeg(quality=50)"),
)

_NOTHING = {"n": 0, "metrics": {}, "undefined": {}, "intervals": {}, "versus_baseline": None}
"""What a failed cell has measured."""


def sample_record(
    *,
    seeds: Sequence[int] = (0,),
    scenarios: Sequence[tuple[str, str, str]] = _SCENARIOS,
    defenses: Sequence[str] = ("none", "dual"),
    videos: bool = False,
    fail: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """A record in the newest layout with random numbers that fit together, the same for the same arguments.

    Args:
        seeds: of the trainings; with several of them ``over_seeds`` is filled.
        scenarios: name, attack and corruption of each.
        defenses: labels; the first is the baseline.
        videos: whether samples are frames of videos.
        fail: scenario and defense of cells that failed, in every training.
    """
    rng = np.random.default_rng(0)
    cells = []
    for seed, data, scenario in product(seeds, ("here", "there"), scenarios):
        base = None
        for defense in defenses:
            cell = _cell(rng, seed, data, scenario, defense, videos=videos, failed=(scenario[0], defense) in fail)
            _compare(cell, base)
            base = cell if defense == defenses[0] else base
            cells.append(cell)
    used = [{"name": name, "fingerprint": "0" * 64} for name in ("here", "there")]
    named = [{"name": name, "attack": None, "corruption": None} for name, _, _ in scenarios]
    return {
        "schema_version": 2,
        "config": {"scenarios": named, "seeds": list(seeds), "split": "test", "tables": []},
        "data": used[:1],
        "eval_data": used,
        "training": [],
        "attackers": [],
        "intervals": {"level": 0.95, "method": "percentile bootstrap, clustered by video", "replicates": 1000},
        "warnings": ["here into there: a warning | with <marks> & *stars*"],
        "cells": cells,
        "over_seeds": list(_over_seeds(cells, seeds)) if len(seeds) > 1 else [],
    }


def _cell(
    rng: np.random.Generator, seed: int, data: str, scenario: tuple[str, str, str], defense: str, *,
    videos: bool, failed: bool,
) -> dict[str, Any]:  # fmt: skip
    name, attack, corruption = scenario
    cell = {
        "model": "m", "defense": defense, "train_data": "here", "data": data, "seed": seed, "scenario": name,
        "attack": attack, "corruption": corruption, "corruption_column": corruption, "split": "test", "status": "ok",
        "reason": "", "note": "", **_measured(rng, 160), "attack_success": None, "video": None, "manipulations": {},
    }  # fmt: skip
    if failed:
        return {**cell, **_NOTHING, "status": "failed", "reason": "the attack left its eps-ball"}
    if attack != "none":
        share = float(rng.uniform(0.2, 0.9))
        cell["attack_success"] = {"value": share, "interval": [share - 0.1, share + 0.1], "n": 120}
    if videos:
        cell["video"] = _measured(rng, 20)
    cell["manipulations"] = {kind: _measured(rng, 120) for kind in ("swap", "blend")}
    return cell


def _measured(rng: np.random.Generator, n: int) -> dict[str, Any]:
    metrics = {name: float(rng.uniform(0.3, 0.9)) for name in _METRICS}
    return {
        "n": n,
        "metrics": {**metrics, "ap": None, "always_fake_accuracy": 0.5, "always_real_accuracy": 0.5},
        "undefined": {"ap": "no value on these samples"},
        "intervals": {name: [value - 0.05, value + 0.05] for name, value in metrics.items()},
        "versus_baseline": None,
    }


def _compare(cell: dict[str, Any], base: dict[str, Any] | None) -> None:
    """Add the difference from the baseline, by sample and by video."""
    if base is None or "failed" in (cell["status"], base["status"]):
        return
    for ours, theirs in [(cell, base), *([(cell["video"], base["video"])] if cell["video"] else [])]:
        gains = {name: ours["metrics"][name] - theirs["metrics"][name] for name in _METRICS}
        difference = {name: {"value": gain, "interval": [gain - 0.1, gain + 0.1]} for name, gain in gains.items()}
        ours["versus_baseline"] = {"defense": base["defense"], "difference": difference}


_SHARED = (
    "model", "defense", "train_data", "data", "scenario", "attack", "corruption", "corruption_column", "note", "split",
)  # fmt: skip


def _over_seeds(cells: Sequence[dict[str, Any]], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    keys = dict.fromkeys(tuple(cell[name] for name in _SHARED) for cell in cells if cell["status"] == "ok")
    for key in keys:
        ours = [cell for cell in cells if tuple(cell[name] for name in _SHARED) == key]
        videos = [cell["video"] for cell in ours if cell["video"]]
        shares = [cell["attack_success"]["value"] for cell in ours if cell["attack_success"]]
        yield {
            **dict(zip(_SHARED, key, strict=True)),
            **_together(ours),
            "seeds": list(seeds),
            "attack_success": _mean(shares) if shares else None,
            "video": _together(videos) if videos else None,
        }


def _together(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of several trainings as mean and standard deviation, and their mean difference."""
    first = measured[0]
    versus = first["versus_baseline"]
    if versus:
        gains = {
            name: float(np.mean([one["versus_baseline"]["difference"][name]["value"] for one in measured]))
            for name in _METRICS
        }
        difference = {name: {"value": gain, "interval": [gain - 0.1, gain + 0.1]} for name, gain in gains.items()}
        versus = {**versus, "difference": difference}
    names = [name for name, value in first["metrics"].items() if value is not None]
    return {
        "n": first["n"],
        "metrics": {name: _mean([one["metrics"][name] for one in measured]) for name in names},
        "versus_baseline": versus,
    }


def _mean(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
