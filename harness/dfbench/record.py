"""The record of a run: every number follows from the scores stored beside it. JSON has no NaN: null, with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dfbench.caveats import caveats
from dfbench.checkpoint import load_metadata
from dfbench.comparisons import Comparisons, attack_success, comparisons, over_seeds
from dfbench.config import SweepConfig
from dfbench.contracts import Attack
from dfbench.environment import environment
from dfbench.epscurves import eps_curves
from dfbench.levels import interval_method
from dfbench.measure import LEVEL, REPLICATES, Levels, Measured, measure_levels
from dfbench.outputs import FileNames, in_order
from dfbench.recordfile import SCHEMA_VERSION
from dfbench.registry import Registry
from dfbench.rundata import DataUsed
from dfbench.runner import Arm, Attacker, Cell, Outcome
from dfbench.thresholds import freeze
from dfbench.trust.beside import beaten
from dfbench.trust.result import verdict


def build_record(
    registry: Registry, config: SweepConfig, outcomes: Sequence[Outcome], *, device: str, command: str
) -> dict[str, Any]:
    """The whole record as plain data."""
    cells = in_order(config, outcomes)
    tested = {used.name: used for outcome in outcomes for used in outcome.eval_data}
    trained = {outcome.data.name: outcome.data for outcome in outcomes}
    found = comparisons(cells)
    frozen = {arm: _frozen(outcome, arm) for outcome in outcomes for arm in outcome.checkpoints}
    levels = _measure(registry, cells, tested.values(), frozen)
    attacks = {one.attack_label: one.attack.build() for one in config.runs[0].scenarios if one.attack}
    verdicts = _verdicts(config, cells, attacks)
    rows = [
        cell_entry(
            cell, config.runs[0].split, found, levels, verdicts.get(id(cell)),
            attacks[cell.scenario.attack_label].parts if cell.scenario.attack else (),
        )
        for cell in cells
    ]  # fmt: skip
    name = FileNames(config)
    training = [
        {**_training(name, *one, outcome.checkpoints), **frozen[one[0]]}
        for outcome in outcomes
        for one in outcome.checkpoints.items()
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "config": config.as_dict(),
        "environment": environment(device),
        "data": [asdict(used) for used in trained.values()],
        "eval_data": [asdict(used) for used in tested.values()],
        "weights": outcomes[0].weights,
        "training": training,
        "attackers": [_attacker(name, one) for outcome in outcomes for one in outcome.attackers],
        "intervals": {"level": LEVEL, "method": _method(cells), "replicates": REPLICATES},
        "warnings": caveats(outcomes, training, cells, rows),
        "cells": rows,
        "curves": [curve_entry(cell, config.runs[0].split, curve) for cell, curve in eps_curves(cells, levels, found)],
        "over_seeds": over_seeds(cells, rows, levels, found) if len(config.seeds) > 1 else [],
    }


def _method(cells: Sequence[Cell]) -> str:
    """How the intervals are made."""
    return interval_method({cell.data: cell.frame for cell in cells if cell.frame is not None})


def _verdicts(config: SweepConfig, cells: Sequence[Cell], attacks: Mapping[str, Attack]) -> dict[int, dict[str, Any]]:
    """The verdict of each cell that was checked, by its id."""
    theirs = [attacks.get(cell.scenario.attack_label) for cell in cells]
    stronger = beaten(cells, theirs)
    found = {}
    for number, cell in enumerate(cells):
        if cell.checks is not None:
            more = [stronger[number]] if number in stronger else []
            found[id(cell)] = verdict(config.runs[0].checks, [*cell.checks, *more])
    return found


def _frozen(outcome: Outcome, arm: Arm) -> dict[str, Any]:
    """Thresholds of an arm, frozen on its clean validation scores, or why it has none."""
    found = outcome.validation.get(arm, f"{arm.data} has no validation split")
    if outcome.config.split == "val" and arm.data in [one.label for one in outcome.config.eval_data]:
        found = "the evaluated split is the one that thresholds would be chosen on"
    if isinstance(found, str):
        return {"thresholds": None, "thresholds_reason": found}
    return {"thresholds": freeze(found, video_level=outcome.data.video_level), "thresholds_reason": ""}


def _measure(
    registry: Registry, cells: Sequence[Cell], tested: Iterable[DataUsed], frozen: Mapping[Arm, Mapping[str, Any]]
) -> dict[int, Levels]:
    """What was measured of each cell, by the cell's id."""
    metrics = [registry.component("metric", spec.name) for spec in registry.specs("metric")]
    found = {id(cell): Levels() for cell in cells}
    for used in tested:
        scored = [cell for cell in cells if cell.data == used.name and cell.frame is not None]
        measured = measure_levels(
            metrics,
            [cell.frame for cell in scored if cell.frame is not None],
            video_level=used.video_level,
            thresholds=[frozen[cell.arm]["thresholds"] for cell in scored],
        )
        found.update(zip(map(id, scored), measured, strict=True))
    return found


def cell_entry(
    cell: Cell,
    split: str,
    found: Comparisons,
    levels: dict[int, Levels],
    verdict: dict[str, Any] | None = None,
    parts: Sequence[str] = (),
) -> dict[str, Any]:
    """One entry of ``cells``.

    Args:
        cell: the cell.
        split: the evaluated one.
        found, levels: what cells are compared with, and what was measured of each, by its id.
        verdict: the cell's own.
        parts: those of its attack, see :class:`~dfbench.contracts.Attack`.
    """
    ours, base, clean = levels[id(cell)], found.baseline.get(id(cell)), found.clean.get(id(cell))
    perturbation = success = None
    if cell.frame is not None:
        perturbation = {"linf_max": float(cell.frame["linf"].max()), "l2_mean": float(cell.frame["l2"].mean())}
        if clean is not None and clean.frame is not None:
            success = attack_success(clean.frame, cell.frame)

    def told(measured: Measured, other: Measured | None) -> dict[str, Any]:
        versus = {"defense": base.arm.plan.label, "difference": measured.minus(other)} if base and other else None
        return {**measured.as_dict(), "versus_baseline": versus}

    return {
        "scenario": cell.scenario.name,
        **_arm(cell.arm, data="train_data"),
        "attack": cell.scenario.attack_label,
        "corruption": cell.scenario.corruption_label,
        "corruption_column": _corruption_column(cell),
        "data": cell.data,
        "split": split,
        "status": "failed" if cell.failure else "ok",
        "reason": cell.failure,
        **told(ours.samples, levels[id(base)].samples if base else None),
        "attack_success": success,
        "verdict": verdict,
        "broken_by": _broken_by(cell, parts),
        "perturbation": perturbation,
        "video": told(ours.videos, levels[id(base)].videos if base else None) if ours.videos else None,
        "manipulations": {name: measured.as_dict() for name, measured in ours.manipulations.items()},
        "seconds": cell.cost.get("seconds"),
        "forwards": cell.cost.get("forwards"),
        "backwards": cell.cost.get("backwards"),
        "note": cell.cost.get("note", ""),
    }


def _broken_by(cell: Cell, parts: Sequence[str]) -> dict[str, int] | None:
    """Of an attack that tells what broke each sample, how many each part broke, in the order in which they run: first
    those that were wrong without it, last, as ``""``, those that withstood."""
    if cell.frame is None or "broken_by" not in cell.frame:
        return None
    counts = cell.frame["broken_by"].value_counts().to_dict()
    names = dict.fromkeys(("clean", *parts, *sorted(map(str, counts))))
    return {name: int(counts.get(name, 0)) for name in [*filter(None, names), ""]}


def _arm(arm: Arm, data: str = "data") -> dict[str, Any]:
    return {"model": arm.model.label, "defense": arm.plan.label, data: arm.data, "seed": arm.seed}


def curve_entry(cell: Cell, split: str, curve: dict[str, Any]) -> dict[str, Any]:
    """One entry of ``curves``."""
    return {
        **_arm(cell.arm, data="train_data"),
        "corruption": cell.scenario.corruption_label,
        "corruption_column": _corruption_column(cell),
        "data": cell.data,
        "split": split,
        **curve,
    }


def _corruption_column(cell: Cell) -> str:
    """The corruption's own column name where it differs from the expression typed (``h264_intra_crf23``)."""
    return str(cell.cost.get("corruption_label") or cell.scenario.corruption_label)


def _training(name: FileNames, arm: Arm, folder: Path, trained: Mapping[Arm, Path]) -> dict[str, Any]:
    preimage = json.loads((folder / "key.json").read_text(encoding="utf-8"))
    log = _log(folder)
    about = load_metadata(folder / "model.safetensors")
    return {
        **_arm(arm),
        "recipe": preimage["defense"]["recipe"],
        "differences": _differences(arm, trained),
        "precision": about["precision"],
        "chosen": about["chosen"],
        "epochs_trained": len(log),
        "stopped_early": about["stopped_early"],
        "epoch_kept": about["epoch"],
        "validation": log[about["epoch"]]["validation"],
        "steps": log[-1]["steps"],
        "skipped_steps": log[-1]["skipped_steps"],
        "seconds": round(sum(row["seconds"] for row in log), 1),
        "checkpoint": name.checkpoint(arm),
        "log": name.training_log(arm),
    }


def _differences(arm: Arm, trained: Mapping[Arm, Path]) -> list[dict[str, Any]]:
    """In what this arm was trained unlike its baseline, beside what its defense is."""
    base = next((one for one in trained if one.plan.is_baseline and one.model == arm.model), None)
    if base is None or arm.plan.is_baseline:
        return []
    here, there = (
        {**asdict(one.plan.recipe), "start": _start(one), "epochs trained": len(_log(trained[one]))}
        for one in (arm, base)
    )
    if here["epochs"] != there["epochs"]:
        del here["epochs trained"]  # that says it
    return [{"what": what, "here": here[what], "baseline": there[what]} for what in here if here[what] != there[what]]


def _log(folder: Path) -> list[dict[str, Any]]:
    """The log of a training, an entry per epoch."""
    return [json.loads(line) for line in (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()]


def _start(arm: Arm) -> str:
    """What an arm starts from, in full."""
    return arm.plan.start.label if arm.plan.start else ""


def _attacker(name: FileNames, attacker: Attacker) -> dict[str, Any]:
    return {
        **_arm(attacker.arm),
        "attack": attacker.attack,
        "file": name.attacker(attacker),
        "log": name.attacker_log(attacker),
    }
