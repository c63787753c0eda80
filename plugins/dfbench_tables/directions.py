"""The table of directions: evasion and framing, thresholds that do not move with the attack, calibration."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.labels import in_full
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables import verdicts
from dfbench_tables.entries import EMPTY, FAILED, number
from dfbench_tables.reading import Group, captions, failed, groups, interval_note, seed_notes

AT_HALF, EER, FPR, WORST = "threshold 0.5", "frozen at EER", "frozen at FPR 1%", "worst case"

COLUMNS = (
    ("accuracy", AT_HALF, "accuracy", True, "accuracy"),
    ("accuracy_fake", AT_HALF, "fakes", True, "fakes"),
    ("accuracy_real", AT_HALF, "reals", True, "reals"),
    ("accuracy_at_frozen_eer", EER, "accuracy", True, ""),
    ("tpr_at_frozen_fpr_1pct", FPR, "TPR", True, ""),
    ("fpr_at_frozen_fpr_1pct", FPR, "FPR", True, ""),
    ("ece", "", "ECE", False, "ECE"),
    ("worst_case_accuracy", WORST, "accuracy", True, ""),
    ("worst_case_accuracy_fake", WORST, "fakes", True, ""),
    ("worst_case_accuracy_real", WORST, "reals", True, ""),
)
"""Metrics, what several of them are under, what they are called there, whether with an interval, and in brief."""

_NOTE = (
    "Fakes: share of fakes called fake; under attack the rest are taken for real (evasion). Reals: share of reals "
    "called real; under attack the rest are taken for fake (framing). Frozen: the threshold was chosen on the clean "
    "validation scores of the arm, where error rates are equal (EER) or at most 1% of the reals are called fake (FPR "
    "1%), and kept. ECE: expected calibration error, 15 bins of the confidence in the predicted class, lower is "
    "better; a calibrated detector has some too in a small sample, and resampling adds to it, so that it has no "
    "interval."
)


class Directions(TableTemplate):
    """A row for each scenario and defense: accuracy at threshold 0.5 split into fakes and reals, what thresholds give
    that were frozen on clean validation data, and the calibration error; the worst case, where there is one.

    One table for each model, training set and evaluated set; where samples are frames, another one by video. Over
    several trainings mean and standard deviation.
    """

    needs = "accuracy by direction: evaluate again with this version"

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        tables = []
        for group in groups(record):
            shown = [(group, f"{group.name}: frames"), (group.by_video(), f"{group.name}: videos")]
            for part, name in shown if group.has_videos else [(group, group.name)]:
                if any("accuracy_fake" in entry["metrics"] for entry in part.entries):
                    tables.append(_table(part, name))
        return tables


def _table(group: Group, name: str) -> Table:
    over, short = bool(group.record["over_seeds"]), group.short
    measured = [column for column in COLUMNS if any(column[0] in entry["metrics"] for entry in group.entries)]
    columns = [Column("scenario", "scenario"), Column("defense", "defense")]
    for metric, above, told, interval, brief in measured:
        suffix = " ± SD" if over else " [95%]" if interval else ""
        columns.append(Column(told + suffix, group=above, facts={"metric": metric, "quantity": "value"}, brief=brief))

    def row(entry: Mapping[str, Any]) -> Row:
        named = f"{entry['scenario']} ({entry['note']})" if entry["note"] else str(entry["scenario"])
        labels = (Entry(named), Entry(short[entry["defense"]], name=entry["defense"]))
        if failed(entry):
            return (*labels, FAILED, *[EMPTY] * len(measured))
        numbers = [number(entry, metric, interval=interval) for metric, _, _, interval, _ in measured]
        return (*labels, *numbers, verdicts.verdict(group.cells_of(entry)))

    sections = tuple(tuple(map(row, rows)) for _, rows in groupby(group.entries, lambda entry: entry["scenario"]))
    table = Table(
        name,
        (*columns, verdicts.COLUMN),
        sections,
        captions(group),
        (
            *in_full(short),
            _NOTE,
            *_thresholds(group),
            *([] if over else [interval_note(group.record)]),
            *seed_notes(group, compared=False),
        ),
        group.about(),
        part="Directions, frozen thresholds and calibration",
        aside="directions of errors, frozen thresholds and calibration",
    )
    checked = any(row[-1] != EMPTY for row in table.rows)
    return table if checked else table.take(range(len(table.columns) - 1))


def _thresholds(group: Group) -> list[str]:
    """Where the thresholds of a single training lie, and why there are none."""
    short, level = group.short, "videos" if group.videos else "samples"
    ours = [one for one in group.record["training"] if (one["model"], one["data"]) == (group.model, group.train_data)]
    if group.record["over_seeds"] or not any("thresholds" in one for one in ours):
        return []
    told = []
    for one in ours:
        frozen = (one["thresholds"] or {}).get(level)
        if one["defense"] in short:
            found = f"{frozen['eer']:.3f} (EER), {frozen['fpr_1pct']:.3f} (FPR 1%)" if frozen else "none"
            why = one.get("thresholds_reason")
            told.append(f"{short[one['defense']]} {found}" + (f" ({why})" if why and not frozen else ""))
    return [f"Frozen thresholds: {'; '.join(told)}."]
