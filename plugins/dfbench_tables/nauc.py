"""The table of normalised areas under the curves over eps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.grammar import format_value
from dfbench.labels import in_full, short_labels, title, values_of
from dfbench.nauc import AREAS
from dfbench.recordcurves import gaps, shared_seeds, vanished, without_curve
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables import entries
from dfbench_tables.asked import check_measured, metrics_of
from dfbench_tables.reading import Group, captions, groups, interval_note, spread_notes

_NOTE = (
    "nAUC: area under the metric over eps (trapezoidal rule, the point without attack included), over the largest eps: "
    "1 is a metric that stays at 1. Attacked points only: the area as it was first published, from the smallest "
    "attacked eps on, yet over the largest eps; the most that it can reach is told beside it. Either belongs to its "
    "grid of eps: never compare areas of different grids."
)

_DIFFERENCES = (
    "Differences of areas are means over trainings of the same seeds; their SD is the spread between trainings. They "
    "have no interval, and none is bold."
)

Curve = Mapping[str, Any]


class Nauc(TableTemplate):
    """A row for each attack that was swept over eps, corruption and metric; under each of both areas the defenses side
    by side, then the paired difference of each defended one from the baseline, bold where its interval excludes 0.

    One table for each model, training set and evaluated set. Over several trainings mean and standard deviation of
    the areas of their curves, of those seeds that all defenses of a row have. Samples are counted, never videos. Empty
    where no attack was swept.
    """

    needs = 'an attack at two eps above 0 (--attack "fgsm(eps=[0.001, 0.005])"), in a record of schema 3'

    def __init__(self, metrics: str = "accuracy,f1_macro") -> None:
        self.metrics = metrics_of(metrics, "the table of areas", "nauc(metrics=accuracy)")

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        check_measured(record, self.metrics)
        found = [(group, group.curves) for group in groups(record)]
        return [self._table(group, curves) for group, curves in found if curves]

    def _table(self, group: Group, curves: Sequence[Curve]) -> Table:
        defenses = list(dict.fromkeys(str(curve["defense"]) for curve in curves))
        compared = [d for d in defenses if any(c["versus_baseline"] for c in curves if c["defense"] == d)]
        rows: dict[tuple[Any, ...], list[Curve]] = {}
        for curve in curves:
            key = (curve["name"], curve["attack"], curve["corruption"], tuple(curve["eps"]))
            rows.setdefault(key, []).append(curve)
        cells = group.record["cells"]
        absent = [defense for members in rows.values() for defense in without_curve(cells, members)]
        short = short_labels(dict.fromkeys([*defenses, *absent]), values_of(group.record))
        over = bool(group.record["over_seeds"])
        columns = [Column(name, name) for name in ("attack", "corruption", "eps", "metric")]
        for area in AREAS:
            for defense in defenses:
                columns.append(_column(short[defense] + (" ± SD" if over else " [95%]"), area, "value", defense))
            for defense in compared:
                told = f"{short[defense]} - {short[_baseline(curves, defense)]}" if len(compared) > 1 else "difference"
                told += " ± SD" if over else " [95%]"
                columns.append(_column(told, area, "difference from baseline", defense))
            if area == "nauc_seed":
                facts = {"metric": area, "quantity": "at most"}
                columns.append(Column("at most", group=title(area), facts=facts, brief=""))
        sections = tuple(
            tuple(_row(metric, members, defenses, compared, over=over) for metric in self.metrics)
            for members in rows.values()
        )
        named = {str(c["attack"]): str(c["name"]) for c in curves if c["name"] != c["attack"]}
        differences = "differences are paired, and bold where the interval excludes 0"
        notes = (
            *in_full(short | named),
            _NOTE,
            *([] if over else [interval_note(group.record, differences)]),
            *spread_notes(group.record),
            *([_DIFFERENCES] if over and compared else []),
            *(told for members in rows.values() for told in gaps(cells, members, self.metrics, short)),
            *_vanished(group, curves),
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


def _vanished(group: Group, curves: Sequence[Curve]) -> list[str]:
    key = (group.model, group.train_data, group.data)
    cells = [cell for cell in group.record["cells"] if (cell["model"], cell["train_data"], cell["data"]) == key]
    return [f"No curve of any defense over {names}: cells failed." for names in vanished(group.record, cells, curves)]


def _column(told: str, area: str, quantity: str, defense: str) -> Column:
    facts = {"area": area, "quantity": quantity, "defense": defense}
    brief = told.removesuffix(" [95%]").replace("difference", "gain") if area == "nauc" else ""
    return Column(told, group=title(area), facts=facts, brief=brief)


def _baseline(curves: Sequence[Curve], defense: str) -> str:
    ours = [curve["versus_baseline"] for curve in curves if curve["defense"] == defense]
    return next(str(versus["defense"]) for versus in ours if versus)


def _row(metric: str, curves: Sequence[Curve], defenses: Sequence[str], compared: Sequence[str], *, over: bool) -> Row:
    first, row, seeds = curves[0], [], shared_seeds(curves, metric)
    eps = ["0" if bound == 0 else format_value(bound) for bound in first["eps"]]
    row += [Entry(str(first["name"]), name=str(first["attack"])), Entry(first["corruption_column"])]
    row += [Entry(", ".join(eps), brief=f"0 to {eps[-1]}"), Entry(title(metric), name=metric)]
    for area in AREAS:
        for defense in defenses:
            ours = [curve for curve in curves if curve["defense"] == defense]
            row.append(entries.area(ours, area, metric, seeds, over=over))
        for defense in compared:
            gains = [
                {**curve["versus_baseline"], "n": curve["n"], "seed": curve["seed"]}
                for curve in curves
                if curve["defense"] == defense and curve["versus_baseline"]
            ]
            row.append(entries.area(gains, area, metric, seeds, over=over, versus=True))
    most = 1 - first["eps"][1] / first["eps"][-1]
    return (*row, Entry(f"{most:.4f}", value=most))
