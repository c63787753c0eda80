"""The record of a run: every number follows from the scores stored beside it. JSON has no NaN: null, with a reason."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dfbench.checkpoint import load_metadata
from dfbench.environment import environment
from dfbench.errors import UsageError
from dfbench.measure import LEVEL, REPLICATES, Levels, Measured, measure_levels
from dfbench.registry import Registry
from dfbench.runner import Cell, Outcome
from dfbench.store import storage_errors, write_atomic, write_text

SCHEMA_VERSION = 1


def build_record(registry: Registry, outcome: Outcome, *, device: str, command: str) -> dict[str, Any]:
    """The whole record as plain data."""
    config = outcome.config
    levels = _measure(registry, outcome)
    cells = [_cell(cell, levels, outcome) for cell in outcome.cells]
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "config": config.as_dict(),
        "environment": environment(device),
        "data": asdict(outcome.data),
        "eval_data": [asdict(used) for used in outcome.eval_data],
        "weights": outcome.weights,
        "training": [_training(key, folder) for key, folder in outcome.checkpoints.items()],
        "intervals": {"level": LEVEL, "method": "percentile bootstrap, clustered by video", "replicates": REPLICATES},
        "warnings": _warnings(outcome, cells),
        "cells": cells,
    }


def _measure(registry: Registry, outcome: Outcome) -> dict[int, Levels]:
    """What was measured of each cell, by the cell's id."""
    metrics = [registry.component("metric", spec.name) for spec in registry.specs("metric")]
    found = {id(cell): Levels() for cell in outcome.cells}
    for used in outcome.eval_data:
        frames = {id(c): c.frame for c in outcome.cells if c.data == used.name and c.frame is not None}
        measured = measure_levels(metrics, list(frames.values()), video_level=used.video_level)
        found.update(zip(frames, measured, strict=True))
    return found


def _cell(cell: Cell, levels: dict[int, Levels], outcome: Outcome) -> dict[str, Any]:
    """One entry of ``cells``."""
    ours = levels[id(cell)]
    base = _baseline(cell, outcome.cells)
    perturbation = None
    if cell.frame is not None:
        perturbation = {"linf_max": float(cell.frame["linf"].max()), "l2_mean": float(cell.frame["l2"].mean())}

    def told(measured: Measured, other: Measured | None) -> dict[str, Any]:
        versus = {"defense": base.arm.plan.label, "difference": measured.minus(other)} if base and other else None
        return {**measured.as_dict(), "versus_baseline": versus}

    return {
        "model": cell.arm.model.label,
        "defense": cell.arm.plan.label,
        "attack": cell.scenario.attack_label,
        "corruption": cell.scenario.corruption_label,
        "corruption_column": _corruption_column(cell),
        "data": cell.data,
        "split": outcome.config.split,
        "status": "failed" if cell.failure else "ok",
        "reason": cell.failure,
        **told(ours.samples, levels[id(base)].samples if base else None),
        "perturbation": perturbation,
        "video": told(ours.videos, levels[id(base)].videos if base else None) if ours.videos else None,
        "manipulations": {name: measured.as_dict() for name, measured in ours.manipulations.items()},
        "seconds": cell.cost.get("seconds"),
        "forwards": cell.cost.get("forwards"),
        "backwards": cell.cost.get("backwards"),
        "note": cell.cost.get("note", ""),
    }


def _baseline(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The cell of the first baseline of the same model, in the same scenario on the same data set."""
    if cell.frame is None or cell.arm.plan.is_baseline:
        return None
    for other in cells:
        same = other.arm.model.label == cell.arm.model.label and other.data == cell.data
        if same and other.scenario is cell.scenario and other.arm.plan.is_baseline and other.frame is not None:
            return other
    return None


def _corruption_column(cell: Cell) -> str:
    """The corruption's own column name where it differs from the expression typed (``h264_intra_crf23``)."""
    return str(cell.cost.get("corruption_label") or cell.scenario.corruption_label)


def _training(key: tuple[str, str], folder: Path) -> dict[str, Any]:
    preimage = json.loads((folder / "key.json").read_text(encoding="utf-8"))
    log = [json.loads(line) for line in (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = load_metadata(folder / "model.safetensors")["epoch"]
    return {
        "model": key[0],
        "defense": key[1],
        "recipe": preimage["defense"]["recipe"],
        "epoch_kept": kept,
        "validation": log[kept]["validation"],
        "seconds": round(sum(row["seconds"] for row in log), 1),
        "checkpoint": f"checkpoints/{file_name(*key)}.safetensors",
    }


def _warnings(outcome: Outcome, cells: Sequence[dict[str, Any]]) -> list[str]:
    found = [f"LEAK: {leak}" for leak in outcome.leaks]
    if "val" not in outcome.data.splits:
        found.append(f"{outcome.data.name}: no validation samples: the last epoch is kept, none was chosen")
    found += [
        f"model {model}: random start, no pretrained weights" for model, w in outcome.weights.items() if not w["sha256"]
    ]
    found += _unlike_crops(outcome)
    several = len(outcome.eval_data) > 1
    constant: dict[str, list[str]] = {}
    for cell, row in zip(outcome.cells, cells, strict=True):
        name = f"{row['model']} | {row['defense']} | {row['attack']} | {row['corruption']}"
        name += f" | {row['data']}" if several else ""
        if row["status"] == "failed":
            found.append(f"{name}: failed: {row['reason']}")
        elif cell.frame is not None and cell.frame["score"].ge(0.5).nunique() == 1:
            constant.setdefault("fake" if cell.frame["score"].iloc[0] >= 0.5 else "real", []).append(name)
    for answer, names in constant.items():
        found.append(
            f"answers {answer!r} to every image, so that its accuracy is a constant predictor's: {'; '.join(names)}"
        )
    return found


def _unlike_crops(outcome: Outcome) -> list[str]:
    """Evaluated sets whose crops were made otherwise than those trained on: their numbers measure that as well."""
    ours, found = outcome.data.preparation, []
    for used in outcome.eval_data:
        theirs = used.preparation
        unlike = [key for key in ("detector", "size", "margin", "align") if ours.get(key) != theirs.get(key)]
        if unlike:
            told = ", ".join(f"{key} {ours.get(key)!r} and {theirs.get(key)!r}" for key in unlike)
            found.append(f"{outcome.data.name} and {used.name} were cropped differently: {told}")
    return found


def file_name(*parts: str) -> str:
    """A readable file name from labels: letters, digits, dots, dashes."""
    return "--".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-") for part in parts)


def write_results(out: Path, record: dict[str, Any], outcome: Outcome, table: str) -> None:
    """Write ``record.json``, ``scores.parquet``, ``table.md``, the checkpoints, their logs and the fitted attackers.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    frames = [
        cell.frame.assign(
            cell=number,
            model=cell.arm.model.label,
            defense=cell.arm.plan.label,
            attack=cell.scenario.attack_label,
            corruption=cell.scenario.corruption_label,
            data=cell.data,
        )
        for number, cell in enumerate(outcome.cells)
        if cell.frame is not None
    ]
    if frames:
        scores = pd.concat(frames, ignore_index=True)
        write_atomic(out / "scores.parquet", lambda path: scores.to_parquet(path, index=False))
    for key, folder in outcome.checkpoints.items():
        _copy(folder / "model.safetensors", out / "checkpoints" / f"{file_name(*key)}.safetensors")
        _copy(folder / "training.jsonl", out / "checkpoints" / f"{file_name(*key)}.jsonl")
    for (_, defense), folder in outcome.checkpoints.items():
        if (folder / "attacker.safetensors").is_file():
            name = f"{file_name('trained-with', defense)}.safetensors"
            _copy(folder / "attacker.safetensors", out / "attackers" / name)
    for name, path in outcome.attackers.items():
        _copy(path, out / "attackers" / f"{file_name('fitted-to', name)}.safetensors")
    write_text(out / "table.md", table)
    # Last: a record that is there is complete.
    write_text(out / "record.json", json.dumps(record, indent=1, allow_nan=False) + "\n")


def _copy(source: Path, target: Path) -> None:
    write_atomic(target, lambda path: shutil.copyfile(source, path))


def load_record(path: Path) -> dict[str, Any]:
    """Read a record, given its file or its folder.

    Raises:
        UsageError: missing, not a record, or of a newer schema than this version reads.
    """
    path = path / "record.json" if path.is_dir() else path
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"no record at {path} ({error}): give the output folder of a run") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int):
        raise UsageError(f"{path} is not a record of dfbench: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise UsageError(f"{path} has schema {version}, newer than {SCHEMA_VERSION}: upgrade dfbench-harness")
    return dict(record)


def check_writable(out: Path) -> None:
    """Fail before any work if results could not be written to ``out`` in the end."""
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".tmp-probe"
        probe.write_bytes(b"0")
        probe.unlink()
