"""The output folder of a run: its files, their names, and how they get there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dfbench.config import SweepConfig
from dfbench.keys import digest
from dfbench.runner import Arm, Attacker, Cell, Outcome
from dfbench.store import storage_errors, write_atomic, write_text

LONGEST = 45
"""Characters of a label in a file name: what the longest names hold of them fits into the 255 of a file system."""


def file_name(*parts: str) -> str:
    """A readable file name from labels: letters, digits, dots, dashes; a long label ends in a digest of its whole."""
    return "--".join(map(_shortened, parts))


def _shortened(label: str) -> str:
    name = re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-")
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{digest(label)[:8]}"


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
    """Write ``scores.parquet``, the checkpoints, their logs, the attackers and, last, ``record.json``.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
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
        write_atomic(out / "scores.parquet", lambda path: scores.to_parquet(path, index=False))
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


def _copy(source: Path, target: Path) -> None:
    write_atomic(target, lambda path: shutil.copyfile(source, path))


def check_writable(out: Path) -> None:
    """Fail before any work if results could not be written to ``out`` in the end."""
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".tmp-probe"
        probe.write_bytes(b"0")
        probe.unlink()
