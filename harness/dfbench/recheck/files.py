"""Files beside a record: checkpoints, attackers and training logs, where they are there, agree with it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dfbench import checkpoint
from dfbench.errors import CheckpointError
from dfbench.keys import digest
from dfbench.recheck.finding import Finding, Report, shown
from dfbench.recheck.opened import Opened
from dfbench.recheck.terms import arm_of

Entry = Mapping[str, Any]

_WHY = "the numbers belong to the detector that was trained as the record says, and to no other"


def check_files(opened: Opened, report: Report) -> None:
    """Compare checkpoints, attackers and logs with the record; what is not there is counted, and no finding."""
    plans = {plan["label"]: plan for plan in opened.record["config"]["defenses"]}
    trained: dict[tuple[Any, ...], str] = {}
    absent = 0
    for entry in opened.record["training"]:
        file, log = opened.path / entry["checkpoint"], opened.path / entry["log"]
        absent += (not file.is_file()) + (not log.is_file())
        if file.is_file():
            about = _metadata(file)
            report.add(_checkpoint(opened, entry, plans.get(entry["defense"], {}), about))
            trained[_arm(entry)] = digest({k: v for k, v in about.items() if k not in _OUTCOME})
            report.count("checkpoints", 1)
        if log.is_file():
            report.add(_log(entry, log))
            report.count("training logs", 1)
    for entry in opened.record["attackers"]:
        file = opened.path / entry["file"]
        if not file.is_file() or _arm(entry) not in trained:
            absent += 1
            continue
        report.count("attackers", 1)
        if _metadata(file).get("checkpoint") != trained[_arm(entry)]:
            told = f"{entry['file']} was fitted to another detector"
            why = "an attacker that learned on another detector is weaker than one that learned on this one"
            report.add([Finding("error", "transfer", arm_of(entry), told, why)])
    if absent:
        report.unchecked.append(f"{absent} checkpoints, logs and attackers do not lie beside the record")


_OUTCOME = ("epoch", "precision_used", "stopped_early", "chosen")
"""What a checkpoint's metadata tells beside the pre-image of its key."""


def _arm(entry: Entry) -> tuple[Any, ...]:
    return tuple(entry[key] for key in ("model", "defense", "data", "seed"))


def _metadata(file: Path) -> dict[str, Any]:
    try:
        return checkpoint.load_metadata(file)
    except CheckpointError as error:
        return {"unreadable": str(error)}


def _checkpoint(opened: Opened, entry: Entry, plan: Entry, about: Entry) -> Iterator[Finding]:
    if "unreadable" in about:
        yield Finding("error", "checkpoint", arm_of(entry), about["unreadable"], _WHY)
        return
    told = {
        "epoch_kept": (entry["epoch_kept"], about.get("epoch")),
        "seed": (entry["seed"], about.get("seed")),
        "weights": (opened.record["weights"].get(entry["model"]), about.get("weights")),
        "recipe": (entry["recipe"], (about.get("defense") or {}).get("recipe")),
    }
    ours = {part["name"]: part["params"] for part in plan.get("objectives", ())}
    theirs = {part["name"]: part["params"] for part in (about.get("defense") or {}).get("objectives", ())}
    for name in {**ours, **theirs}:
        mine, other = ours.get(name, {}), theirs.get(name, {})
        told |= {f"{name}: {key}": (mine.get(key), other.get(key)) for key in {**mine, **other}}
    for what, (said, was) in told.items():
        if said != was:
            message = f"{what} of the checkpoint is another than the record says"
            yield Finding("error", "checkpoint", arm_of(entry), message, _WHY, shown(said), shown(was))


def _log(entry: Entry, file: Path) -> Iterator[Finding]:
    place = arm_of(entry)
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        last, kept = rows[-1], rows[entry["epoch_kept"]]
        told = {
            "steps": (entry.get("steps"), last["steps"]),
            "skipped_steps": (entry.get("skipped_steps"), last["skipped_steps"]),
            "epochs_trained": (entry.get("epochs_trained", len(rows)), len(rows)),
            "validation": (entry["validation"], kept["validation"]),
        }
        scores = [_score(row["validation"]) for row in rows]
        losses = {name: value for row in rows for name, value in row["loss"].items() if not math.isfinite(value or 0)}
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        yield Finding("error", "training log", place, f"{file.name} cannot be read: {error}", _WHY)
        return
    for what, (said, was) in told.items():
        if said != was:
            message = f"{what} of the training log is another than the record says"
            yield Finding("error", "training log", place, message, _WHY, shown(said), shown(was))
    if losses:
        message = f"the loss {', '.join(losses)} was not finite: it trained nothing"
        yield Finding("error", "training log", place, message, _WHY)
    best = max(scores)
    if scores[entry["epoch_kept"]] < best:
        message = "the kept epoch is not the one that validation chose"
        yield Finding("error", "training log", place, message, "a checkpoint may be chosen on validation data alone",
                      shown(entry["epoch_kept"]), shown(scores.index(best)))  # fmt: skip


def _score(validation: Mapping[str, float]) -> float:
    """What epochs are compared by: the mean AUC over clean and attacked validation images."""
    values = [value for name, value in validation.items() if name.startswith("auc")]
    return sum(values) / len(values) if values else 0.0
