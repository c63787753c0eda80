"""A record's cells as they were when it was made, so that the code that makes records can be run on them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfbench.config import DefensePlan, Scenario
from dfbench.contracts import REQUIRED, Param, Spec
from dfbench.plugins import Provider, Registered
from dfbench.recheck.opened import Opened
from dfbench.recipe import Recipe
from dfbench.registry import Component
from dfbench.runner import Arm, Cell

_UNKNOWN = Provider("", "", "", "")


@dataclass(frozen=True, eq=False)
class _Told(Component):
    """A component as a record tells it, whether its plugin is installed or not."""

    told: str = ""

    __hash__ = Component.__hash__

    @property
    def label(self) -> str:
        return self.told


def _component(label: str, identity: Mapping[str, Any]) -> Component:
    # Parameters without defaults: what a record holds is told in full, so that equal labels mean equal parameters.
    params = dict(identity["params"])
    spec = Spec(identity["name"], "", "", tuple(Param(name, type(value), REQUIRED) for name, value in params.items()))
    return _Told(Registered(spec, _UNKNOWN), params, label)


def rebuild(opened: Opened) -> list[Cell]:
    """The cells of a record with their scores, in its order; those without scores are marked as failed."""
    record = opened.record
    plans = {plan["label"]: _plan(plan) for plan in record["config"]["defenses"]}
    families = _families(record)
    scenarios = {one["name"]: _scenario(one, families) for one in record["config"]["scenarios"]}
    models: dict[str, Component] = {}
    cells = []
    for number, entry in enumerate(opened.cells):
        name = entry["model"]
        model = models.setdefault(name, _component(name, {"name": name, "params": {}}))
        frame = opened.frames.get(number)
        cells.append(
            Cell(
                Arm(model, plans[entry["defense"]], entry["train_data"], entry["seed"]),
                entry["data"],
                scenarios[entry["scenario"]],
                frame,
                {key: entry.get(key) for key in ("seconds", "forwards", "backwards", "note")},
                "" if frame is not None else entry["reason"] or "no scores",
            )
        )
    return cells


def _plan(plan: Mapping[str, Any]) -> DefensePlan:
    objectives = tuple(_component(one["name"], one) for one in plan["objectives"])
    return DefensePlan(plan["label"], objectives, Recipe())


def _scenario(entry: Mapping[str, Any], families: Mapping[str, str]) -> Scenario:
    attack, corruption = (
        _component(one["name"], one) if (one := entry[kind]) else None for kind in ("attack", "corruption")
    )
    return Scenario(attack, corruption, entry["name"], families.get(entry["name"], entry["name"]))


def _families(record: Mapping[str, Any]) -> dict[str, str]:
    """By a scenario's name, the curve that it is a point of: the record tells it there alone."""
    return {name: curve["name"] for curve in record["curves"] for name in curve["scenarios"][1:]}
