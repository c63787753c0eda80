"""What records call things: labels against the parameters that were used, and attacks that met another detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dfbench.contracts import LearnedAttack
from dfbench.errors import DfbenchError
from dfbench.grammar import format_value, parse, parse_sum
from dfbench.recheck.finding import Finding
from dfbench.recheck.opened import Opened
from dfbench.registry import Registry
from dfbench.schema import default_of
from dfbench.sources import source_hash

Entry = Mapping[str, Any]

_WHY = "a label must say what was run"


def check_labels(opened: Opened, registry: Registry) -> Iterator[Finding]:
    """Labels of defenses, attacks and corruptions; and whether attacks that learn say where they learned."""
    for plan in opened.record["config"]["defenses"]:
        yield from _defense_label(registry, plan)
    yield from _scenario_labels(opened, registry)
    yield from _attackers(opened, registry)


def _defense_label(registry: Registry, plan: Entry) -> Iterator[Finding]:
    recipe, objectives = plan.get("recipe") or {}, plan["objectives"]
    written = parse_sum(plan["label"])
    if [expr.name for expr in written] != [part["name"] for part in objectives]:
        told = f"it was trained with {' + '.join(part['name'] for part in objectives)}"
        yield Finding("error", "label", plan["label"], told, _WHY)
        return
    for position, (expr, part) in enumerate(zip(written, objectives, strict=True)):
        known = {**(recipe if position == 0 else {}), "start": plan.get("start") or "", **part["params"]}
        yield from _label(registry, "defense", plan["label"], expr.params, known, part)


def _scenario_labels(opened: Opened, registry: Registry) -> Iterator[Finding]:
    scenarios = {one["name"]: one for one in opened.record["config"]["scenarios"]}
    seen = set()
    for cell in opened.cells:
        scenario = scenarios.get(cell["scenario"])
        for kind in ("attack", "corruption"):
            label = cell[kind]
            if (cell["scenario"], kind, label) in seen:
                continue
            seen.add((cell["scenario"], kind, label))
            part = scenario[kind] if scenario else None
            if part is None and label == "none":
                continue
            if part is None or label == "none" or parse(label).name != part["name"]:
                told = f"the configuration has {part['name'] if part else 'none'} in the scenario {cell['scenario']!r}"
                yield Finding("error", "label", label, told, _WHY)
                continue
            yield from _label(registry, kind, label, parse(label).params, part["params"], part)


def _label(registry: Registry, kind: str, label: str, written: Entry, known: Entry, part: Entry) -> Iterator[Finding]:
    """A label against the parameters that were used; what it leaves out must be at its default."""
    for name, value in written.items():
        if name in known and known[name] != value and str(known[name]) != str(value):
            yield Finding("error", "label", label, f"{name} was not what the label says", _WHY, format_value(value),
                          format_value(known[name]))  # fmt: skip
    for name, default in _defaults(registry, kind, part).items():
        if name not in written and name in part["params"] and part["params"][name] != default:
            yield Finding("error", "label", label, f"{name} was not its default, which the label implies", _WHY,
                          format_value(default), format_value(part["params"][name]))  # fmt: skip


def _defaults(registry: Registry, kind: str, part: Entry) -> dict[str, Any]:
    """The defaults that a component has now, where it still is the one that the record speaks of; else none."""
    try:
        spec = registry.get(kind, part["name"]).spec
        same = part.get("version") == (spec.version or source_hash(spec.target.partition(":")[0]))
    except DfbenchError:
        return {}
    return {param.name: default_of(param) for param in spec.params} if same else {}


def _attackers(opened: Opened, registry: Registry) -> Iterator[Finding]:
    """An attack that learns was fitted to the detector that it meets, or its row says that it was not."""
    if opened.version < 2:
        return  # that record does not tell what was fitted
    keys = ("model", "defense", "seed")
    fitted = {(*(one[key] for key in keys), one["data"], one["attack"]) for one in opened.record["attackers"]}
    learned = {label for label in {cell["attack"] for cell in opened.cells} - {"none"} if _learns(registry, label)}
    for number, cell, _ in opened.scored():
        if cell["attack"] not in learned or cell.get("note"):
            continue
        if (*(cell[key] for key in keys), cell["train_data"], cell["attack"]) not in fitted:
            told = "its attacker was not fitted to this detector, and the row does not say that it is a transfer"
            why = "an attacker that learned on another detector is weaker than one that learned on this one"
            yield Finding("error", "transfer", opened.places[number], told, why)


def _learns(registry: Registry, attack: str) -> bool:
    """Whether an attack has parameters of its own that are fitted; False where it is not installed."""
    try:
        target = registry.component("attack", attack).load()
    except DfbenchError:
        return False
    return isinstance(target, type) and issubclass(target, LearnedAttack)
