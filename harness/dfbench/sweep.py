"""Several runs as one: their data shared, everything checked before the first training, results side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dfbench.config import RunConfig, SweepConfig
from dfbench.rundata import RunData
from dfbench.runner import Outcome, Runner
from dfbench.store import Store


class Sweep:
    """Carries out a :class:`~dfbench.config.SweepConfig`, one :class:`~dfbench.runner.Runner` per data set and seed.

    Args:
        config: what to run.
        store: where finished artefacts are kept and found again; a sweep that died goes on from there.
        options: passed on to every runner.
    """

    def __init__(self, config: SweepConfig, store: Store, **options: Any) -> None:
        self.config = config
        data: dict[RunConfig, RunData] = {}
        for run in config.runs:
            if replace(run, seed=0) not in data:
                data[replace(run, seed=0)] = RunData(run)
        self.runners = [
            Runner(run, store, data[replace(run, seed=0)], where=self._where(run), **options) for run in config.runs
        ]

    def prepare(self) -> None:
        """Everything that can go wrong before training, for every run, before any of them trains."""
        for runner in self.runners:
            runner.prepare()

    def run(self) -> list[Outcome]:
        """The outcomes, in the order of the configuration's runs."""
        self.prepare()
        return [runner.run() for runner in self.runners]

    def _where(self, run: RunConfig) -> str:
        """What tells this run from the others."""
        parts = [f", trained on {run.data.label}"] if len(self.config.data) > 1 else []
        parts += [f", seed {run.seed}"] if len(self.config.seeds) > 1 else []
        return "".join(parts)
