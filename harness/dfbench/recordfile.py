"""Reading records: refused where they are newer than this version, brought up to date where they are older."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dfbench.config import scenario_name
from dfbench.errors import UsageError

SCHEMA_VERSION = 4


def load_record(path: Path) -> dict[str, Any]:
    """Read a record, given its file or its folder; always in the layout of ``SCHEMA_VERSION``.

    Raises:
        UsageError: missing, not a record, or of a newer schema than this version reads.
    """
    path = path / "record.json" if path.is_dir() else path
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"no record at {path} ({error.strerror}): give the output folder of a run") from error
    except ValueError as error:
        raise UsageError(f"{path} is damaged, it is no JSON ({error}): run again to make it anew") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int):
        raise UsageError(f"{path} is not a record of dfbench: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise UsageError(f"{path} has schema {version}, newer than {SCHEMA_VERSION}: upgrade dfbench-harness")
    try:
        for older, newer in ((1, _to_2), (2, _to_3), (3, _to_4)):
            record = newer(record) if version <= older else record
        _check(record)
        return record
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{path} is damaged ({type(error).__name__}: {error}): run again to make it anew") from error


def _check(record: dict[str, Any]) -> None:
    """Raises KeyError or TypeError where something is missing that every reader relies on."""
    for part in ("data", "eval_data", "training", "attackers", "warnings", "cells", "curves", "over_seeds"):
        if not isinstance(record[part], list):
            raise TypeError(f"{part!r} is no list")
    for cell in record["cells"]:
        for key in ("scenario", "model", "defense", "train_data", "seed", "attack", "corruption", "data", "metrics"):
            cell[key]
        if not isinstance(cell["metrics"], dict) or not isinstance(cell["verdict"], dict | None):
            raise TypeError(f"the metrics or the verdict of {cell['scenario']!r} are no table")
    for entry in record["training"]:
        entry["thresholds"]
    for key in ("scenarios", "tables", "split"):
        record["config"][key]


def _log(checkpoint: str) -> str:
    return checkpoint.removesuffix(".safetensors") + ".jsonl"


def _to_2(record: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew one training set and one seed; its scenarios had no names, its attackers no entries."""
    config, trained = record["config"], record["data"]["name"]
    seed = config["seed"]
    rows = dict.fromkeys((cell["attack"], cell["corruption"]) for cell in record["cells"])
    named = [{**row, "name": scenario_name(*labels)} for row, labels in zip(config["scenarios"], rows, strict=True)]
    changed = {
        "scenarios": named,
        "data": [config["data"]],
        "eval_data": config.get("eval_data", [config["data"]]),
        "seeds": [seed],
        "tables": [],
    }
    cells = [
        {
            **cell,
            "scenario": scenario_name(cell["attack"], cell["corruption"]),
            "train_data": trained,
            "seed": seed,
            "attack_success": None,
        }
        for cell in record["cells"]
    ]
    training = [
        {**entry, "data": trained, "seed": seed, "skipped_steps": 0, "log": _log(entry["checkpoint"])}
        for entry in record["training"]
    ]
    return {
        **record,
        "config": {**{name: value for name, value in config.items() if name != "seed"}, **changed},
        "data": [record["data"]],
        "eval_data": record.get("eval_data", [record["data"]]),
        "training": training,
        "attackers": [],
        "cells": cells,
        "over_seeds": [],
    }


def _to_3(record: dict[str, Any]) -> dict[str, Any]:
    """Version 2 knew no curves and no attention; in what arms were trained unlike each other follows from it."""
    plans = {plan["label"]: plan for plan in record["config"]["defenses"]}
    training = record["training"]
    return {
        **record,
        "config": {**record["config"], "cam": False},
        "training": [{**entry, "differences": _differences(entry, training, plans)} for entry in training],
        "curves": [],
    }


def _to_4(record: dict[str, Any]) -> dict[str, Any]:
    """Version 3 knew no verdicts, no frozen thresholds and no p-values."""
    old = {"thresholds": None, "thresholds_reason": "not measured by the version that made this record"}
    return {
        **record,
        "schema_version": SCHEMA_VERSION,
        "config": {**record["config"], "checks": "none"},
        "training": [{**entry, **old} for entry in record["training"]],
        "cells": [{**cell, "verdict": None, "broken_by": None} for cell in record["cells"]],
    }


def _differences(
    entry: dict[str, Any], training: list[dict[str, Any]], plans: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """In what an arm was trained unlike the first baseline of the same model, data and seed."""

    def plain(one: dict[str, Any]) -> bool:
        return [objective["name"] for objective in plans[one["defense"]]["objectives"]] == ["none"]

    def terms(one: dict[str, Any]) -> dict[str, Any]:
        return {**one["recipe"], "start": plans[one["defense"]].get("start") or ""}

    same = [one for one in training if all(one[key] == entry[key] for key in ("model", "data", "seed"))]
    base = next(filter(plain, same), None)
    if base is None or plain(entry):
        return []
    here, there = terms(entry), terms(base)
    return [
        {"what": what, "here": here[what], "baseline": there.get(what)}
        for what in here
        if here[what] != there.get(what)
    ]
