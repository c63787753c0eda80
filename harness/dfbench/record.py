"""The record of a run: every number follows from the scores stored beside it. JSON has no NaN: null, with a reason."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfbench.checkpoint import load_metadata
from dfbench.contracts import MetricSpec, MetricUndefined
from dfbench.environment import environment
from dfbench.errors import UsageError
from dfbench.registry import Component, Registry
from dfbench.runner import Cell, Outcome
from dfbench.stats import Scores, bootstrap_weights, paired_difference, percentile_interval
from dfbench.store import storage_errors, write_atomic, write_text

SCHEMA_VERSION = 1
REPLICATES = 1000
LEVEL = 0.95

Array = np.ndarray[Any, Any]


def build_record(registry: Registry, outcome: Outcome, *, device: str, command: str) -> dict[str, Any]:
    """The whole record as plain data."""
    metrics = [registry.component("metric", spec.name) for spec in registry.specs("metric")]
    measured = [_measure_cell(metrics, cell) for cell in outcome.cells]
    config = outcome.config
    cells = [
        {
            "model": cell.arm.model.label,
            "defense": cell.arm.plan.label,
            "attack": cell.scenario.attack_label,
            "corruption": cell.scenario.corruption_label,
            "corruption_column": _corruption_column(cell),
            "data": config.data.label,
            "split": config.split,
            "n": 0 if cell.frame is None else len(cell.frame),
            "status": "failed" if cell.failure else "ok",
            "reason": cell.failure,
            **result,
            "versus_baseline": _versus_baseline(metrics, cell, outcome.cells, result["undefined"]),
            "seconds": cell.cost.get("seconds"),
            "forwards": cell.cost.get("forwards"),
            "backwards": cell.cost.get("backwards"),
            "note": cell.cost.get("note", ""),
        }
        for cell, result in zip(outcome.cells, measured, strict=True)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "config": config.as_dict(),
        "environment": environment(device),
        "data": {
            "name": config.data.label,
            "fingerprint": outcome.fingerprint,
            "splits": outcome.counts,
            "notes": outcome.notes,
        },
        "weights": outcome.weights,
        "training": [_training(key, folder) for key, folder in outcome.checkpoints.items()],
        "intervals": {"level": LEVEL, "method": "percentile bootstrap, clustered by video", "replicates": REPLICATES},
        "warnings": _warnings(outcome, cells),
        "cells": cells,
    }


def _measure_cell(metrics: Sequence[Component], cell: Cell) -> dict[str, Any]:
    if cell.frame is None:
        return {"metrics": {}, "undefined": {}, "intervals": {}, "perturbation": None}
    values: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    intervals: dict[str, list[float] | None] = {}
    for metric in metrics:
        name = metric.spec.name
        values[name], reason, rows = _apply(metric, cell.frame)
        if reason:
            undefined[name] = reason
        elif _is_score(metric):
            intervals[name] = _plain(percentile_interval(rows, LEVEL))
    perturbation = {"linf_max": float(cell.frame["linf"].max()), "l2_mean": float(cell.frame["l2"].mean())}
    return {"metrics": values, "undefined": undefined, "intervals": intervals, "perturbation": perturbation}


def _apply(metric: Component, frame: pd.DataFrame) -> tuple[float | None, str, Array]:
    """The value on the samples, why it has none, and the values on the bootstrap replicates (R,)."""
    function = metric.load()
    y, score = frame["label"].to_numpy(), frame["score"].to_numpy()
    # The samples themselves are the first row; the replicates follow.
    weights = np.vstack([np.ones(len(y), np.int32), bootstrap_weights(frame["video"].tolist(), REPLICATES, seed=0)])
    try:
        rows = np.asarray(function(y, score, weights), dtype=float)
    except MetricUndefined as reason:
        return None, str(reason), np.array([])
    except Exception as error:
        return None, f"the metric failed: {type(error).__name__}: {error}", np.array([])
    if rows.shape != (len(weights),):
        return None, f"the metric gave shape {rows.shape}, not ({len(weights)},)", np.array([])
    if not np.isfinite(rows[0]):
        return None, "the metric gave no finite number", np.array([])
    return float(rows[0]), "", rows[1:]


def _is_score(metric: Component) -> bool:
    """Whether more or less of it is better, so that an interval and a difference mean something."""
    return isinstance(metric.spec, MetricSpec) and metric.spec.higher_is_better is not None


def _plain(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [float(interval[0]), float(interval[1])]


def _versus_baseline(
    metrics: Sequence[Component], cell: Cell, cells: Sequence[Cell], undefined: dict[str, str]
) -> dict[str, Any] | None:
    """The paired difference of a defended cell to the first baseline of its model, under the same scenario."""
    base = next(
        (
            other
            for other in cells
            if other.arm.plan.is_baseline
            and other.arm.model.label == cell.arm.model.label
            and other.scenario is cell.scenario
            and other.frame is not None
        ),
        None,
    )
    if cell.frame is None or base is None or cell.arm.plan.is_baseline:
        return None
    ours, theirs = _scores(cell.frame), _scores(base.frame)
    difference = {}
    for metric in metrics:
        if _is_score(metric) and metric.spec.name not in undefined:
            found = paired_difference(metric.load(), ours, theirs, replicates=REPLICATES, level=LEVEL)
            difference[metric.spec.name] = {"value": found.value, "interval": _plain(found.interval)}
    return {"defense": base.arm.plan.label, "difference": difference}


def _scores(frame: Any) -> Scores:
    return Scores(frame["id"].tolist(), frame["label"].to_numpy(), frame["score"].to_numpy(), frame["video"].tolist())


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
    found = [
        f"model {model}: random start, no pretrained weights" for model, w in outcome.weights.items() if not w["sha256"]
    ]
    constant: dict[str, list[str]] = {}
    for cell, row in zip(outcome.cells, cells, strict=True):
        name = f"{row['model']} | {row['defense']} | {row['attack']} | {row['corruption']}"
        if row["status"] == "failed":
            found.append(f"{name}: failed: {row['reason']}")
        elif cell.frame is not None and cell.frame["score"].ge(0.5).nunique() == 1:
            constant.setdefault("fake" if cell.frame["score"].iloc[0] >= 0.5 else "real", []).append(name)
    for answer, names in constant.items():
        found.append(
            f"answers {answer!r} to every image, so that its accuracy is a constant predictor's: {'; '.join(names)}"
        )
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
