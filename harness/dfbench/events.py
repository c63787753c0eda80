"""TensorBoard event files of trainings, written while they run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dfbench.errors import MissingDependency
from dfbench.outputs import FileNames
from dfbench.runner import Arm
from dfbench.store import storage_errors


class TensorBoard:
    """An observer of trainings: ``<folder>/<arm>/`` gets losses and attackers per step, validation per epoch.

    Trainings that come from the cache are written as well, from their logs. An arm's earlier events are replaced.

    Args:
        folder: where TensorBoard is pointed to.
        names: how arms are called.

    Raises:
        MissingDependency: tensorboard is not installed.
    """

    def __init__(self, folder: Path, names: FileNames) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependency(
                "--log tensorboard needs tensorboard, which is not installed: pip install tensorboard"
            ) from None
        self._make: Any = SummaryWriter
        self._folder, self._names = folder, names
        self._writers: dict[str, Any] = {}

    def __call__(self, arm: Arm, row: dict[str, Any]) -> None:
        """Write one epoch of the training log."""
        name = self._names.arm(arm)
        with storage_errors(self._folder):
            if name not in self._writers:
                shutil.rmtree(self._folder / name, ignore_errors=True)
                self._writers[name] = self._make(str(self._folder / name))
            writer = self._writers[name]
            for point in row["points"]:
                for term, value in point.items():
                    if term != "step":
                        writer.add_scalar(f"train/{term}", value, round(point["step"]))
            for term, value in [*row["validation"].items(), ("lr", row["lr"]), ("skipped_steps", row["skipped_steps"])]:
                place = f"validation/{term}" if term in row["validation"] else f"train/{term}"
                writer.add_scalar(place, value, row["steps"])
            writer.flush()
