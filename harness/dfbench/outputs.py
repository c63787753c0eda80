"""The output folder of a run: its files, their names, and how they get there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_object_dtype

from dfbench.config import SweepConfig
from dfbench.errors import UsageError
from dfbench.names import file_name
from dfbench.recordfile import load_record
from dfbench.runner import Arm, Attacker, Cell, Outcome
from dfbench.store import storage_errors, write_atomic, write_text


class FileNames:
    """Paths of an arm's files in the output folder, with no more in them than it takes to tell arms apart."""

    def __init__(self, config: SweepConfig) -> None:
        self._data, self._seed = len(config.data) > 1, len(config.seeds) > 1

    def arm(self, arm: Arm) -> str:
        """What stands for an arm in the names of its files."""
        data, seed = [arm.data] * self._data, [f"seed {arm.seed}"] * self._seed
        return file_name(arm.model.label, arm.plan.label, *data, *seed)

    def checkpoint(self, arm: Arm) -> str:
        """The trained detector."""
        return f"checkpoints/{self.arm(arm)}.safetensors"

    def training_log(self, arm: Arm) -> str:
        """One line per epoch."""
        return f"checkpoints/{self.arm(arm)}.jsonl"

    def trained_attacker(self, arm: Arm) -> str:
        """The attacker that a defense trained beside the detector."""
        return f"attackers/trained-with--{self.arm(arm)}.safetensors"

    def attacker(self, attacker: Attacker) -> str:
        """An attacker that was fitted to the finished detector."""
        return f"attackers/fitted-to--{self.arm(attacker.arm)}--{file_name(attacker.attack)}.safetensors"

    def attacker_log(self, attacker: Attacker) -> str:
        """The course of its fit."""
        return self.attacker(attacker).removesuffix(".safetensors") + ".jsonl"


def in_order(config: SweepConfig, outcomes: Sequence[Outcome]) -> list[Cell]:
    """All cells in the order of tables and record: scenario by scenario as asked for, arms side by side."""
    models = [component.label for component in config.runs[0].models]
    sets = [component.label for component in config.eval_data]
    names = [scenario.name for scenario in config.runs[0].scenarios]
    return sorted(
        (cell for outcome in outcomes for cell in outcome.cells),
        key=lambda c: (models.index(c.arm.model.label), sets.index(c.data), names.index(c.scenario.name)),
    )


def write_results(out: Path, record: dict[str, Any], config: SweepConfig, outcomes: Sequence[Outcome]) -> None:
    """Write ``scores.parquet``, ``validation.parquet`` (clean scores that thresholds are frozen on), the checkpoints,
    their logs, the attackers and, last, ``record.json``.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    _clear(out)
    frames = [
        cell.frame.assign(
            cell=number,
            scenario=cell.scenario.name,
            model=cell.arm.model.label,
            defense=cell.arm.plan.label,
            train_data=cell.arm.data,
            seed=cell.arm.seed,
            attack=cell.scenario.attack_label,
            corruption=cell.scenario.corruption_label,
            data=cell.data,
        )
        for number, cell in enumerate(in_order(config, outcomes))
        if cell.frame is not None
    ]
    if frames:
        scores = pd.concat(frames, ignore_index=True)
        for column in scores.columns[
            scores.dtypes.map(is_object_dtype)
        ]:  # facts of two attacks may share a name and no type
            scores[column] = scores[column].map(str, na_action="ignore")
        write_atomic(out / "scores.parquet", lambda path: scores.to_parquet(path, index=False))
    validation = [
        frame.assign(model=arm.model.label, defense=arm.plan.label, data=arm.data, seed=arm.seed)
        for outcome in outcomes
        for arm, frame in outcome.validation.items()
        if isinstance(frame, pd.DataFrame)
    ]
    if validation:
        rows = pd.concat(validation, ignore_index=True)
        write_atomic(out / "validation.parquet", lambda path: rows.to_parquet(path, index=False))
    name = FileNames(config)
    for arm, folder in [one for outcome in outcomes for one in outcome.checkpoints.items()]:
        _copy(folder / "model.safetensors", out / name.checkpoint(arm))
        _copy(folder / "training.jsonl", out / name.training_log(arm))
        if (folder / "attacker.safetensors").is_file():
            _copy(folder / "attacker.safetensors", out / name.trained_attacker(arm))
    for attacker in [one for outcome in outcomes for one in outcome.attackers]:
        _copy(attacker.folder / "attacker.safetensors", out / name.attacker(attacker))
        _copy(attacker.folder / "fit.jsonl", out / name.attacker_log(attacker))
    # Last: a record that is there is complete.
    write_text(out / "record.json", json.dumps(record, indent=1, allow_nan=False) + "\n")


def _clear(out: Path) -> None:
    """Remove what the record of an earlier run in this folder speaks of, and first that record."""
    if not (out / "record.json").exists():
        return
    try:
        earlier = load_record(out)
        owned = [entry[key] for entry in earlier["training"] for key in ("checkpoint", "log")]
        owned += [entry[key] for entry in earlier["attackers"] for key in ("file", "log")]
    except (UsageError, KeyError, TypeError):  # damaged: nothing tells what belongs to it
        owned = []
    with storage_errors(out):
        (out / "record.json").unlink()
        (out / "validation.parquet").unlink(missing_ok=True)
        for file in [out / name for name in owned]:
            if file.resolve().is_relative_to(out.resolve()):
                file.unlink(missing_ok=True)
        shutil.rmtree(out / "tables", ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    write_atomic(target, lambda path: shutil.copyfile(source, path))


def check_writable(out: Path) -> None:
    """Fail before any work if results could not be written to ``out`` in the end."""
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".tmp-probe"
        probe.write_bytes(b"0")
        probe.unlink()
