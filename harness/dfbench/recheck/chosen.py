"""Frozen thresholds: whether they follow from the validation scores, or were chosen on the evaluated ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dfbench.contracts import MetricUndefined
from dfbench.recheck.finding import Finding, Report, shown
from dfbench.recheck.follow import equal
from dfbench.recheck.opened import SCORE, Opened
from dfbench.recheck.rederive import Frozen, arm_key
from dfbench.recheck.terms import arm_of
from dfbench.thresholds import Thresholds, freeze

_WHY = "a threshold that is chosen on the evaluated scores promises what no detector in use can keep"


def check_thresholds(opened: Opened, report: Report) -> Frozen:
    """Freeze the thresholds of every arm again, and compare.

    Returns:
        For each arm that has thresholds those that follow from the validation scores, or where these are not kept the
        recorded ones.
    """
    found: dict[tuple[Any, ...], Thresholds | None] = {}
    for entry in opened.record["training"]:
        told = entry["thresholds"]
        if told is None:
            continue
        arm = (entry["model"], entry["defense"], entry["data"], entry["seed"])
        rows = _validation(opened, entry)
        if rows is None:
            told_why = "a threshold that cannot be derived again may have been chosen on the evaluated scores"
            message = "it has frozen thresholds, but no validation scores (validation.parquet) that they follow from"
            report.add([Finding("error", "threshold", arm_of(entry), message, told_why)])
            found[arm] = told
            continue
        video_level = told["videos"] is not None
        ours = _freeze(rows, video_level)
        found[arm] = ours
        for level in ("samples", "videos"):
            for name, value in (told[level] or {}).items():
                derived = (ours[level] or {}).get(name) if ours else None
                report.count("thresholds", 1)
                if equal(value, derived):
                    continue
                on_test = any(
                    equal(value, (test[level] or {}).get(name))
                    for cell in _clean(opened, arm)
                    if (test := _freeze(cell, video_level)) is not None
                )
                message = f"{name} does not follow from the validation scores"
                message += ": it was chosen on the evaluated split" if on_test else ""
                report.add([Finding("error", "threshold", arm_of(entry), message, _WHY, shown(value), shown(derived))])
    return found


def _validation(opened: Opened, entry: Mapping[str, Any]) -> pd.DataFrame | None:
    if opened.validation is None:
        return None
    rows = opened.validation
    for key in ("model", "defense", "data", "seed"):
        rows = rows[rows[key] == entry[key]]
    return rows if len(rows) else None


def _clean(opened: Opened, arm: tuple[Any, ...]) -> list[pd.DataFrame]:
    """The evaluated scores of an arm on clean images."""
    return [
        frame
        for _, cell, frame in opened.scored()
        if SCORE in frame and arm_key(cell) == arm and cell["attack"] == "none" and cell["corruption"] == "none"
    ]


def _freeze(rows: pd.DataFrame, video_level: bool) -> Thresholds | None:
    try:
        return freeze(rows, video_level=video_level)
    except MetricUndefined:
        return None
