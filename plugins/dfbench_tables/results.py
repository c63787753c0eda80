"""The long table: every scenario with every defense, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.labels import in_full, title
from dfbench.recordcells import difference
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables import verdicts
from dfbench_tables.entries import EMPTY, WORST, WORST_NOTE, heading, number, signed
from dfbench_tables.marking import key, marked, rule
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
    it is significant; the worst case, where there is one, and verdicts, where cells were checked.

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
            count = videos.measured["n"] if videos.measured else 0
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
    metrics = [*COLUMNS, (WORST, True)] if group.worst_case else list(COLUMNS)
    if group.worst_case:
        told = heading(WORST) + (" ± SD" if over else " [95%]")
        columns.append(Column(told, facts={"metric": WORST, "quantity": "value"}, brief="worst case"))
    facts = {"metric": "auc", "quantity": "difference from baseline"}
    columns += [Column("AUC - baseline [95%]", facts=facts, brief="AUC gain"), verdicts.COLUMN]
    short, clear = group.short, marked(group.entries, "auc")

    def row(entry: Mapping[str, Any]) -> Row:
        verdict = verdicts.verdict(group.cells_of(entry))
        if failed(entry):
            return (*scenario(entry, short), Entry("failed"), *[EMPTY] * len(metrics), verdict)
        numbers = [number(entry, metric, interval=interval) for metric, interval in metrics]
        gain = signed(difference(entry, "auc"), entry["n"], bold=key(entry) in clear) or EMPTY
        return (*scenario(entry, short), *numbers, gain, verdict)

    sections = [tuple(map(row, rows)) for _, rows in groupby(group.entries, lambda entry: entry["scenario"])]
    checked = any(row[-1] != EMPTY for section in sections for row in section)
    bold = f"differences are paired, and bold where {rule(group.entries, ['auc'])}"
    table = Table(
        name,
        (*SCENARIO, *columns),
        tuple(sections),
        captions(group),
        (
            *in_full(short),
            *([WORST_NOTE] if group.worst_case else []),
            *([verdicts.NOTE] if checked else []),
            interval_note(group.record, bold),
            *seed_notes(group),
        ),
        group.about(),
    )
    # Without a defended arm there is nothing to compare, and without checks there is no verdict.
    last = len(table.columns) - 2
    return table.take([i for i in range(last + 2) if i < last or any(row[i] != EMPTY for row in table.rows)])
