"""A finished run's folder, opened again: its record, trained detectors, fitted attackers, logs and data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfbench import checkpoint
from dfbench.config import parse_defense
from dfbench.contracts import Attack, Dataset, LearnedAttack, Progress
from dfbench.deployment import deploy
from dfbench.errors import CheckpointError, DataError
from dfbench.recordfile import load_record
from dfbench.registry import Registry
from dfbench.store import Store


@dataclass(frozen=True)
class TrainedArm:
    """A detector that the run trained: labels of model, defense and training data, and the seed."""

    model: str
    defense: str
    data: str
    seed: int


class RunFolder:
    """The folder that ``dfbench run`` or ``dfbench sweep`` wrote with ``--out``.

    Args:
        path: the folder.
        registry: where components are found by the names in the record.
        device: where detectors are put.

    Raises:
        UsageError: the folder holds no record.
    """

    def __init__(self, path: Path, registry: Registry, device: torch.device) -> None:
        self.path, self.registry, self.device = path, registry, device
        self.record: dict[str, Any] = load_record(path)
        self.arms = {
            TrainedArm(entry["model"], entry["defense"], entry["data"], entry["seed"]): entry
            for entry in self.record["training"]
        }
        """The trained detectors, in the record's order, each with its entry in the record's ``training``."""

    def model(self, arm: TrainedArm) -> nn.Module:
        """The detector with its trained weights, as its defense deploys it, in evaluation mode.

        Raises:
            CheckpointError: its file is missing, truncated or of another model.
        """
        model: nn.Module = self.registry.component("model", arm.model).build()
        checkpoint.load_into(model, self.path / self.arms[arm]["checkpoint"], arm.model)
        defenses = parse_defense(self.registry, arm.defense).components
        model = model.to(self.device).to(memory_format=torch.channels_last)
        return deploy(model, [defense.build() for defense in defenses]).model

    def attack(self, arm: TrainedArm, label: str) -> Attack:
        """The attack of this label; one that learns comes with what it learned against this detector.

        Raises:
            CheckpointError: the run did not fit this attack to the arm, or its file is damaged.
        """
        attack: Attack = self.registry.component("attack", label).build()
        if isinstance(attack, LearnedAttack) and attack.needs_fit:
            checkpoint.load_into(attack.module, self.path / self._attacker(arm, label)["file"], label)
            attack.module.to(self.device).eval()
        return attack

    def training_log(self, arm: TrainedArm) -> list[dict[str, Any]]:
        """One entry per epoch, as ``dfbench.train`` writes them."""
        return _lines(self.path / self.arms[arm]["log"])

    def attacker_log(self, arm: TrainedArm, label: str) -> list[dict[str, Any]]:
        """What an attack that learns noted while it was fitted to this detector."""
        return _lines(self.path / self._attacker(arm, label)["log"])

    def dataset(self, name: str, store: Store, progress: Progress) -> Dataset:
        """A data set of the run by its label, prepared.

        Raises:
            DataError: it is no longer what the run used.
        """
        dataset: Dataset = self.registry.component("dataset", name).build()
        dataset.prepare(str(store.root / "data"), progress)
        used = {
            one["fingerprint"] for part in ("data", "eval_data") for one in self.record[part] if one["name"] == name
        }
        if dataset.fingerprint not in used:
            raise DataError(f"{name} is no longer what the run {self.path} used: run again, or restore the data")
        return dataset

    def _attacker(self, arm: TrainedArm, label: str) -> dict[str, Any]:
        for entry in self.record["attackers"]:
            theirs = TrainedArm(entry["model"], entry["defense"], entry["data"], entry["seed"])
            if theirs == arm and entry["attack"] == label:
                return dict(entry)
        raise CheckpointError(
            f"the run {self.path} holds no attacker {label!r} fitted to {arm.model} | {arm.defense}: run it with this "
            "--attack first"
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the log {path} cannot be read ({error}): run again with the same --out") from error
