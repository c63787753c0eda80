"""Every hook a plugin can implement.

A plugin is a module named in the entry-point group ``dfbench``. It must import nothing heavy at its top level: specs
name their targets as strings, which are imported on first use::

    from dfbench import hookimpl
    from dfbench.contracts import AttackSpec, Param

    @hookimpl
    def dfbench_attacks():
        yield AttackSpec(
            "shift",
            "dfbench_shift.attack:Shift",
            "moves the image by whole pixels",
            params=(Param("pixels", int, 1, "distance", low=0),),
        )
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from dfbench.contracts import (
    AttackSpec,
    CorruptionSpec,
    DatasetSpec,
    DefenseSpec,
    DetectorSpec,
    MetricSpec,
    ModelSpec,
    Spec,
    TableSpec,
)

PROJECT = "dfbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def dfbench_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Yield a :class:`~dfbench.contracts.ModelSpec` for each detector architecture."""


@hookspec
def dfbench_defenses() -> Iterable[DefenseSpec]:  # type: ignore[empty-body]
    """Yield a :class:`~dfbench.contracts.DefenseSpec` for each way of training."""


@hookspec
def dfbench_attacks() -> Iterable[AttackSpec]:  # type: ignore[empty-body]
    """Yield an :class:`~dfbench.contracts.AttackSpec` for each attack."""


@hookspec
def dfbench_corruptions() -> Iterable[CorruptionSpec]:  # type: ignore[empty-body]
    """Yield a :class:`~dfbench.contracts.CorruptionSpec` for each corruption."""


@hookspec
def dfbench_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Yield a :class:`~dfbench.contracts.DatasetSpec` for each data set."""


@hookspec
def dfbench_detectors() -> Iterable[DetectorSpec]:  # type: ignore[empty-body]
    """Yield a :class:`~dfbench.contracts.DetectorSpec` for each face detector of ``dfbench data prepare``."""


@hookspec
def dfbench_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Yield a :class:`~dfbench.contracts.MetricSpec` for each metric."""


@hookspec
def dfbench_tables() -> Iterable[TableSpec]:  # type: ignore[empty-body]
    """Yield a :class:`~dfbench.contracts.TableSpec` for each way to lay out results."""


SPEC_OF_HOOK: dict[str, type[Spec]] = {
    "dfbench_models": ModelSpec,
    "dfbench_defenses": DefenseSpec,
    "dfbench_attacks": AttackSpec,
    "dfbench_corruptions": CorruptionSpec,
    "dfbench_datasets": DatasetSpec,
    "dfbench_detectors": DetectorSpec,
    "dfbench_metrics": MetricSpec,
    "dfbench_tables": TableSpec,
}
"""What each hook yields, in the order in which components are listed."""
