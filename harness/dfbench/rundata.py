"""The data sets of a run, one to train on and one or several to evaluate on: prepared, checked and audited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dfbench.audit import audit, audit_pair
from dfbench.config import RunConfig
from dfbench.contracts import Dataset, DatasetSpec, Progress, Split
from dfbench.errors import LeakError
from dfbench.hygiene import check_splits
from dfbench.loader import check_pixels
from dfbench.registry import Component
from dfbench.store import Store


@dataclass(frozen=True)
class DataUsed:
    """A data set as a run used it, for the record."""

    name: str
    fingerprint: str
    splits: dict[str, Any]
    """Counts of the splits that the run used."""
    notes: list[str]
    preparation: dict[str, Any]
    video_level: bool


class RunData:
    """Builds the data sets that a :class:`RunConfig` names; one that is named twice is one."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._components = {component.label: component for component in (config.data, *config.eval_data)}
        self._sets: dict[str, Dataset] = {name: component.build() for name, component in self._components.items()}
        self._keys: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, dict[str, Any]] = {}
        """By data set and split, for the splits that the run uses."""
        self.leaks: list[str] = []
        """What the audit found and the user allowed."""
        self._sizes: list[int] = []

    @property
    def training(self) -> Dataset:
        """The data set that is trained on."""
        return self._sets[self._config.data.label]

    def evaluated(self, name: str) -> Split:
        """The evaluated split of a data set, by its label."""
        return self._sets[name].split(self._config.split)

    def evaluated_n(self, name: str) -> int:
        """The number of samples of that split."""
        return int(self.counts[name][self._config.split]["n"])

    def prepare(self, store: Store, progress: Progress) -> list[int]:
        """Prepare and check all data sets; the image sides they have, in pixels, smallest first.

        Raises:
            DataError: a data set is unusable, or lacks a split that the run needs.
            LeakError: the training data leak, and that was not allowed.
        """
        if self._sizes:  # prepared before, by another run on the same data
            return self._sizes
        config = self._config
        tested = {component.label for component in config.eval_data}
        sizes = set()
        for name, dataset in self._sets.items():
            dataset.prepare(str(store.root / "data"), progress)
            needed = ["train"] if name == config.data.label else []
            optional = ["val"] if needed else []  # without it the last epoch is kept
            self.counts[name] = check_splits(
                dataset, name, [*needed, *([config.split] if name in tested else [])], optional
            )
            for split in map(dataset.split, self.counts[name]):
                height, width, _ = check_pixels(split.pixels(0), split.samples[0].id, None).shape
                sizes.add(min(height, width))
            self._keys[name] = _key(self._components[name], dataset)
        self._audit(store, progress)
        self._sizes = sorted(sizes)
        return self._sizes

    def key(self, name: str) -> dict[str, Any]:
        """What decides the samples of a data set, for cache keys. Free of its place: a data set may be moved."""
        return self._keys[name]

    def used(self, name: str) -> DataUsed:
        """What the record tells of a data set."""
        dataset = self._sets[name]
        return DataUsed(
            name, dataset.fingerprint, self.counts[name], dataset.notes(), dataset.preparation(), dataset.video_level
        )

    def _audit(self, store: Store, progress: Progress) -> None:
        """Leaks between the splits of the training set that the run uses, and of it into each other evaluated set."""
        trained = self._config.data
        used = list(self.counts[trained.label])
        self.leaks = [finding.message for finding in audit(self.training, trained.label, store, progress, used)]
        for component in self._config.eval_data:
            if component.label != trained.label:
                found = audit_pair(
                    self.training, self._sets[component.label], self._config.split, progress, store,
                    same_source=_same_source(trained, component),
                )  # fmt: skip
                self.leaks += [f"{trained.label} into {component.label}: {finding.message}" for finding in found]
        if self.leaks and not self._config.allow_leak:
            raise LeakError(
                f"{'; '.join(self.leaks)}. Training on it would flatter every number; --allow-leak trains all the same "
                "and marks every table"
            )


def _key(component: Component, dataset: Dataset) -> dict[str, Any]:
    """The parameters are left out: what they decide, the fingerprint covers, and one of them is a place."""
    identity = {name: value for name, value in component.identity().items() if name != "params"}
    return {**identity, "fingerprint": dataset.fingerprint}


def _same_source(a: Component, b: Component) -> bool:
    """Whether names of videos and people mean the same in both: of one official release, not two users' own names."""
    return a.spec.name == b.spec.name and isinstance(a.spec, DatasetSpec) and bool(a.spec.corpus)
