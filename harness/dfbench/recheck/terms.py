"""On what terms arms were trained, and whether the record tells all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfbench.caveats import MAX_SKIPPED_SHARE
from dfbench.grammar import format_value
from dfbench.recheck.finding import Finding, shown
from dfbench.recheck.opened import Opened
from dfbench.recheck.rows import eps_of
from dfbench.trust.result import concluded

Entry = Mapping[str, Any]

_TERMS = "a difference between arms that were trained on unequal terms is not that of the defense alone"
_NAMES = "a label must say what was run"


def arm_of(entry: Entry) -> str:
    """What findings call a training."""
    return f"{entry['model']} | {entry['defense']} | {entry['data']} | seed {entry['seed']}"


def check_terms(opened: Opened) -> Iterator[Finding]:
    """Recipes and declared differences, skipped steps, suspect verdicts."""
    training = opened.record["training"]
    plans = {plan["label"]: plan for plan in opened.record["config"]["defenses"]}
    for entry in training:
        plan = plans.get(entry["defense"])
        if plan is None:
            told = "the configuration knows no such defense"
            yield Finding("error", "label", arm_of(entry), told, _NAMES)
            continue
        if "recipe" in plan and _unlike(entry["recipe"], plan["recipe"]):
            told = f"it was trained with another recipe than configured: {_unlike(entry['recipe'], plan['recipe'])}"
            yield Finding("error", "recipe", arm_of(entry), told, _NAMES)
        yield from _differences(entry, training, plans)
        yield from _skipped(opened, entry)
    yield from _verdicts(opened)


def _verdicts(opened: Opened) -> Iterator[Finding]:
    """Suspect verdicts, and those that are missing or do not follow from their checks."""
    why = "the attack may be weaker than it looks"
    checked = opened.record["config"]["checks"] != "none"
    for number, cell in enumerate(opened.cells):
        place, verdict = opened.places[number], cell["verdict"]
        if verdict is None:
            attacked = cell["attack"] != "none" and eps_of(opened, cell) != 0
            if checked and cell["status"] == "ok" and attacked:
                yield Finding("error", "verdict", place, "it has no verdict, although attacked cells were checked", why)
            continue
        name, reasons = concluded(verdict["checks"])
        if (name, reasons) != (verdict["verdict"], verdict["reasons"]):
            said = "; ".join(reasons) or "none of them found anything"
            told = f"its verdict is {verdict['verdict']}, which does not follow from its checks: {said}"
            yield Finding("error", "verdict", place, told, why)
        elif reasons:
            yield Finding("note", "verdict", place, f"its verdict is {name}: {'; '.join(reasons)}", why)


def _unlike(a: Entry, b: Entry) -> str:
    return ", ".join(f"{key} {format_value(a[key])} and {format_value(b.get(key))}" for key in a
                     if key in b and a[key] != b[key])  # fmt: skip


def _differences(entry: Entry, training: Sequence[Entry], plans: Mapping[str, Entry]) -> Iterator[Finding]:
    """In what an arm was trained unlike its baseline, against what the record declares of it."""

    def plain(one: Entry) -> bool:
        return [part["name"] for part in plans[one["defense"]]["objectives"]] == ["none"]

    same = [one for one in training if all(one[key] == entry[key] for key in ("model", "data", "seed"))]
    base = next((one for one in same if one["defense"] in plans and plain(one)), None)
    declared = {one["what"]: (one["here"], one["baseline"]) for one in entry["differences"]}
    found: dict[str, tuple[Any, Any]] = {}
    if base is not None and not plain(entry):
        ours, theirs = ({**one["recipe"], "start": plans[one["defense"]].get("start") or ""} for one in (entry, base))
        found = {what: (ours[what], theirs.get(what)) for what in ours if ours[what] != theirs.get(what)}
        if "epochs" not in found and "epochs_trained" in entry and entry["epochs_trained"] != base["epochs_trained"]:
            found["epochs trained"] = entry["epochs_trained"], base["epochs_trained"]
    hidden = {what: pair for what, pair in found.items() if declared.get(what) != pair}
    if hidden:
        told = f"trained unlike its baseline, which the record does not declare: {_told(hidden)}"
        yield Finding("error", "unequal terms", arm_of(entry), told, _TERMS)
    elif found:
        yield Finding("note", "unequal terms", arm_of(entry), f"trained unlike its baseline in {_told(found)}", _TERMS)


def _told(pairs: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{what} ({_value(here)} against {_value(there)})" for what, (here, there) in pairs.items())


def _value(value: Any) -> str:
    return "unset" if value in ("", None) else format_value(value)


def _skipped(opened: Opened, entry: Entry) -> Iterator[Finding]:
    skipped, steps = entry.get("skipped_steps") or 0, entry.get("steps") or 0
    if skipped > MAX_SKIPPED_SHARE * steps:
        warned = any(str(skipped) in warning and "skipped" in warning for warning in opened.record["warnings"])
        told = f"{skipped} of {steps} training steps were skipped" + ("" if warned else ", and no warning says so")
        why = "a step that is skipped trains nothing: where most are, the detector is not what its label says"
        yield Finding("note" if warned else "error", "skipped steps", arm_of(entry), told, why, shown(skipped))
