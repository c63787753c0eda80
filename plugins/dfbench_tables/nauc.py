"""The table of normalised areas under the curves over eps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.grammar import format_value
from dfbench.labels import in_full, short_labels
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables import entries
from dfbench_tables.asked import check_measured, metrics_of
from dfbench_tables.reading import Group, captions, groups, interval_note, spread_notes

AREAS = {"nauc": "nAUC", "nauc_seed": "nAUC, attacked points only"}
"""The two areas of a curve, and what they are called."""

_NOTE = (
    "nAUC: area under the metric over eps (trapezoidal rule, the point without attack included), over the largest eps: "
    "1 is a metric that stays at 1. Attacked points only: the area as it was first published, from the smallest "
    "attacked eps on, yet over the largest eps; the most that it can reach is told beside it. Either belongs to its "
    "grid of eps: never compare areas of different grids."
)

Curve = Mapping[str, Any]


class Nauc(TableTemplate):
    """A row for each attack that was swept over eps, corruption and metric; under each of both areas the defenses side
    by side, then the paired difference of each defended one from the baseline, bold where its interval excludes 0.

    One table for each model, training set and evaluated set. Over several trainings mean and standard deviation of
    the areas of their curves. Samples are counted, never videos. Empty where no attack was swept.
    """

    def __init__(self, metrics: str = "accuracy,f1_macro") -> None:
        self.metrics = metrics_of(metrics, "the table of areas", "nauc(metrics=accuracy)")

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        check_measured(record, self.metrics)
        found = [(group, _curves(group)) for group in groups(record)]
        return [self._table(group, curves) for group, curves in found if curves]

    def _table(self, group: Group, curves: Sequence[Curve]) -> Table:
        defenses = list(dict.fromkeys(str(curve["defense"]) for curve in curves))
        compared = [d for d in defenses if any(c["versus_baseline"] for c in curves if c["defense"] == d)]
        short = short_labels(defenses)
        over = bool(group.record["over_seeds"])
        columns = [Column(name, name) for name in ("attack", "corruption", "eps", "metric")]
        for area, heading in AREAS.items():
            for defense in defenses:
                columns.append(_column(short[defense] + (" ± SD" if over else " [95%]"), area, "value", defense))
            for defense in compared:
                told = f"{short[defense]} - {short[_baseline(curves, defense)]}" if len(compared) > 1 else "difference"
                told += " ± SD" if over else " [95%]"
                columns.append(_column(told, area, "difference from baseline", defense))
            if area == "nauc_seed":
                columns.append(
                    Column("at most", group=heading, facts={"metric": area, "quantity": "at most"}, brief="")
                )
        rows: dict[tuple[Any, ...], list[Curve]] = {}
        for curve in curves:
            rows.setdefault((curve["name"], curve["attack"], curve["corruption"], tuple(curve["eps"])), []).append(
                curve
            )
        sections = tuple(
            tuple(_row(metric, members, defenses, compared) for metric in self.metrics) for members in rows.values()
        )
        named = {str(c["attack"]): str(c["name"]) for c in curves if c["name"] != c["attack"]}
        differences = "differences are paired, and bold where the interval excludes 0"
        notes = (
            *in_full(short | named),
            _NOTE,
            *([] if over else [interval_note(group.record, differences)]),
            *spread_notes(group.record),
        )
        return Table(
            group.name,
            tuple(columns),
            sections,
            captions(group),
            notes,
            group.about(),
            part="Area under curves over eps",
        )


def _curves(group: Group) -> list[Curve]:
    """The curves of a group of whose attacked scenarios one is among those to be shown."""
    shown = {scenario["name"] for scenario in group.record["config"]["scenarios"]}
    return [
        curve
        for curve in group.record["curves"]
        if (curve["model"], curve["train_data"], curve["data"]) == (group.model, group.train_data, group.data)
        and shown & set(curve["scenarios"][1:])
    ]


def _column(title: str, area: str, quantity: str, defense: str) -> Column:
    facts = {**_facts(area, quantity), "defense": defense}
    brief = title.removesuffix(" [95%]").replace("difference", "gain") if area == "nauc" else ""
    return Column(title, group=AREAS[area], facts=facts, brief=brief)


def _facts(area: str, quantity: str) -> dict[str, str]:
    return {"area": area, "quantity": quantity}


def _baseline(curves: Sequence[Curve], defense: str) -> str:
    ours = [curve["versus_baseline"] for curve in curves if curve["defense"] == defense]
    return next(str(versus["defense"]) for versus in ours if versus)


def _row(metric: str, curves: Sequence[Curve], defenses: Sequence[str], compared: Sequence[str]) -> Row:
    first, row = curves[0], []
    eps = ["0" if bound == 0 else format_value(bound) for bound in first["eps"]]
    row += [Entry(str(first["name"]), name=str(first["attack"])), Entry(first["corruption_column"])]
    row += [Entry(", ".join(eps), brief=f"0 to {eps[-1]}"), Entry(entries.title(metric), name=metric)]
    for area in AREAS:
        for defense in defenses:
            ours = [curve for curve in curves if curve["defense"] == defense]
            row.append(entries.area(ours, area, metric))
        for defense in compared:
            ours = [curve for curve in curves if curve["defense"] == defense and curve["versus_baseline"]]
            row.append(entries.area([{**c["versus_baseline"], "n": c["n"]} for c in ours], area, metric, versus=True))
    most = 1 - first["eps"][1] / first["eps"][-1]
    return (*row, Entry(f"{most:.4f}", value=most))
