"""The table of confusion counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.labels import in_full
from dfbench.recordcells import value
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables.entries import EMPTY, FAILED, NONE, is_worst_case, mean, number
from dfbench_tables.reading import Group, captions, failed, groups, interval_note, seed_notes

COUNTS = ("tp", "fn", "fp", "tn")
"""Fakes called fake, fakes called real, reals called fake, reals called real."""

RATES = {"tpr": ("tp", "fn"), "fpr": ("fp", "tn")}
"""The share of the first among both."""

_NOTE = (
    "Positive is fake, at threshold 0.5. TP: fakes called fake; FN: fakes called real; FP: reals called fake; TN: "
    "reals called real; TPR = TP / (TP + FN), FPR = FP / (FP + TN)."
)


class Confusion(TableTemplate):
    """True and false positives and negatives of each defense in each scenario, as counts and as rates.

    What is counted are samples (never batches), and in a table of its own videos. Over several trainings, which all
    saw the same samples, means and standard deviations of the counts: their sum would count every sample many times.
    """

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        tables = []
        for whole in groups(record):
            # The worst case has no counts: it is of many attacks.
            group = replace(whole, entries=tuple(entry for entry in whole.entries if not is_worst_case(entry)))
            if not group.entries:
                continue
            tables.append(_table(group, f"{group.name}: frames" if group.has_videos else group.name))
            if group.has_videos:
                tables.append(_table(group.by_video(), f"{group.name}: videos"))
        return tables


def _table(group: Group, name: str) -> Table:
    over = bool(group.record["over_seeds"])
    short = group.short
    suffix = " ± SD" if over else ""
    columns = (
        Column("scenario", "scenario"),
        Column("defense", "defense"),
        *(Column(count.upper() + suffix, facts=_facts(count), brief=count.upper()) for count in COUNTS),
        Column("n", facts=_facts("n")),
        *(Column(rate.upper() + suffix, facts=_facts(rate), brief=rate.upper()) for rate in RATES),
        Column("accuracy" + (suffix or " [95%]"), facts=_facts("accuracy"), brief="accuracy"),
    )
    sections = tuple(
        tuple(_row(entry, short) for entry in rows) for _, rows in groupby(group.entries, lambda e: e["scenario"])
    )
    notes = (
        *in_full(short),
        _NOTE,
        *([] if over else [interval_note(group.record)]),
        *seed_notes(group, compared=False),
    )
    return Table(name, columns, sections, captions(group), notes, group.about(), part="Confusion counts")


def _facts(metric: str) -> dict[str, str]:
    return {"metric": metric, "quantity": "value"}


def _row(entry: Mapping[str, Any], short: Mapping[str, str]) -> Row:
    name = f"{entry['scenario']} ({entry['note']})" if entry["note"] else str(entry["scenario"])
    labels = (Entry(name), Entry(short[entry["defense"]], name=entry["defense"]))
    if failed(entry):
        return (*labels, FAILED, *[EMPTY] * (len(COUNTS) + len(RATES) + 1))
    numbers = [_count(entry, count) for count in COUNTS]
    counted = Entry(str(entry["n"]), value=entry["n"])
    rates = [_rate(entry, *counts) for counts in RATES.values()]
    return (*labels, *numbers, counted, *rates, number(entry, "accuracy", interval=True))


def _count(entry: Mapping[str, Any], count: str) -> Entry:
    found = entry["metrics"].get(count)
    if isinstance(found, Mapping):
        return mean(found, entry["n"], form=".1f")
    return NONE if found is None else Entry(f"{found:.0f}", value=found, n=entry["n"])


def _rate(entry: Mapping[str, Any], part: str, other: str) -> Entry:
    """A share of the samples of a class: there are as many of them in every training."""
    one, rest = value(entry, part), value(entry, other)
    if one is None or rest is None or one + rest == 0:
        return NONE
    found = entry["metrics"][part]
    spread = found["sd"] if isinstance(found, Mapping) else None
    share = {"mean": one / (one + rest), "sd": None if spread is None else spread / (one + rest)}
    return mean(share, round(one + rest))
