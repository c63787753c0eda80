"""The long table: every scenario with every defense, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.labels import in_full, title
from dfbench.recordcells import difference
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables.entries import EMPTY, number, signed
from dfbench_tables.reading import Group, captions, failed, groups, interval_note, seed_notes

SCENARIO = (Column("attack", "attack"), Column("corruption", "corruption"), Column("defense", "defense"))

COLUMNS = (
    ("accuracy", True),
    ("balanced_accuracy", False),
    ("f1_macro", False),
    ("auc", True),
    ("tpr_at_fpr_1pct", False),
)
"""Metrics, and whether their interval is shown."""

BRIEF = ("accuracy", "auc")
"""Metrics that fit a terminal of 80 characters."""


class Results(TableTemplate):
    """Every scenario with every defense: five metrics, and the paired difference in AUC from the baseline, bold where
    its interval excludes 0.

    One table for each model and evaluated data set; where samples are frames, another one by video. On a narrow
    terminal accuracy, AUC and its gain. Over several trainings mean and standard deviation.
    """

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        tables = []
        for group in groups(record):
            if not group.has_videos:
                tables.append(_table(group, group.name))
                continue
            videos = group.by_video()
            count = next(entry["n"] for entry in videos.entries if entry["metrics"])
            tables += [_table(group, f"{group.name}: frames"), _table(videos, f"{group.name}: {count} videos")]
        return tables


def scenario(entry: Mapping[str, Any], short: Mapping[str, str]) -> list[Entry]:
    """The labels of a row: attack (with what a reader must know of it), corruption and defense."""
    attack = entry["attack"] + (f" ({entry['note']})" if entry["note"] else "")
    defense = entry["defense"]
    return [Entry(attack), Entry(entry["corruption_column"]), Entry(short[defense], name=defense)]


def _table(group: Group, name: str) -> Table:
    over = bool(group.record["over_seeds"])
    suffix = {metric: " ± SD" if over else " [95%]" if interval else "" for metric, interval in COLUMNS}
    columns = [
        Column(
            title(metric) + suffix[metric],
            facts={"metric": metric, "quantity": "value"},
            brief=title(metric) if metric in BRIEF else "",
        )
        for metric, _ in COLUMNS
    ]
    gain = Column(
        "AUC - baseline [95%]", facts={"metric": "auc", "quantity": "difference from baseline"}, brief="AUC gain"
    )
    short = group.short
    sections = [
        tuple(_row(row, short) for row in rows) for _, rows in groupby(group.entries, lambda entry: entry["scenario"])
    ]
    note = interval_note(group.record, "differences are paired, and bold where the interval excludes 0")
    table = Table(
        name,
        (*SCENARIO, *columns, gain),
        tuple(sections),
        captions(group),
        (*in_full(short), note, *seed_notes(group)),
        group.about(),
    )
    compared = any(row[-1] != EMPTY for row in table.rows)  # without a defended arm there is nothing to compare
    return table if compared else table.take(range(len(table.columns) - 1))


def _row(entry: Mapping[str, Any], short: Mapping[str, str]) -> Row:
    if failed(entry):
        return (*scenario(entry, short), Entry("failed"), *[EMPTY] * len(COLUMNS))
    numbers = [number(entry, metric, interval=interval) for metric, interval in COLUMNS]
    return (*scenario(entry, short), *numbers, signed(difference(entry, "auc"), entry["n"], mark=True) or EMPTY)
