"""The table of an ablation: a metric over two parameters of a defense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfbench.ablation import Grid, grids
from dfbench.contracts import TableTemplate
from dfbench.errors import UsageError, did_you_mean
from dfbench.grammar import format_expr, format_value
from dfbench.labels import title
from dfbench.recordcells import best, difference
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables.asked import check_measured, metrics_of, upwards
from dfbench_tables.entries import EMPTY, FAILED, NONE, asked, number, signed
from dfbench_tables.marking import BY_INTERVAL, marked, rule
from dfbench_tables.reading import Group, captions, failed, groups, interval_note, seed_notes

_BOLD = "Bold: the best of the grid, where it is better than the baseline by a difference whose interval excludes 0{}."


class Ablation(TableTemplate):
    """A metric over two parameters of a defense: rows are the values of one, columns those of the other; each value
    has its paired difference from the baseline beside it.

    The best is bold only where it beats the baseline by a significant difference. A table for each scenario, model,
    training set and evaluated set, and for each set of arms that differ in these parameters alone; by video where
    samples are frames. Empty where the run has no such arms.

    Args:
        x, y: the parameters, e.g. ``r`` and ``alpha``; both empty: those in which alone the arms of a defense differ.
        metric: its name.
        scenario: its name; empty: a table for each.
        defense: the objectives' names, e.g. ``dual+pim``; empty: of every defense that has both parameters.
    """

    needs = "arms of a defense with two parameters varied, as pim(alpha=[0.5, 1], r=[0.1, 0.2])"

    def __init__(self, x: str = "", y: str = "", metric: str = "auc", scenario: str = "", defense: str = "") -> None:
        if "," in metric:
            raise UsageError(f"the grid shows one metric, not {metric!r}: ask for a grid for each")
        (self.metric,) = metrics_of(metric, "the grid", "grid(metric=auc)")
        self.x, self.y, self.scenario, self.defense = x, y, scenario, defense
        if bool(x) != bool(y) or (x and x == y):
            raise UsageError("the grid needs two parameters: grid(x=r, y=alpha)")

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        check_measured(record, [self.metric])
        known = dict.fromkeys(str(cell["scenario"]) for cell in record["cells"])
        if self.scenario and self.scenario not in known:
            raise UsageError(f"the record has no scenario {self.scenario!r}: {did_you_mean(self.scenario, known)}")
        found = grids(record, self.x, self.y, self.defense)
        tables = []
        for group in groups(record):
            by_video = group.has_videos and not self.metric.startswith("worst_case_")
            shown = group.by_video() if by_video else group
            told = dict.fromkeys(str(e["scenario"]) for e in shown.entries if asked(e, self.metric))
            for grid in found:
                tables += [self._table(shown, grid, name) for name in told if self.scenario in ("", name)]
        return tables

    def _table(self, group: Group, grid: Grid, scenario: str) -> Table:
        ours = {str(entry["defense"]): entry for entry in group.entries if entry["scenario"] == scenario}
        heading = title(self.metric) + (" ± SD" if group.record["over_seeds"] else "")
        columns = [Column(grid.y, grid.y)]
        for x in grid.xs:
            told = {"metric": self.metric, grid.x: format_value(x)}
            over = f"{grid.x} = {format_value(x)}"
            columns.append(Column(heading, group=over, facts={**told, "quantity": "value"}, brief=title(self.metric)))
            facts = {**told, "quantity": "difference from baseline"}
            columns.append(Column("difference [95%]", group=over, facts=facts, brief=""))
        higher = upwards(self.metric)
        arms = [ours[label] for label in grid.arms.values() if label in ours and not failed(ours[label])]
        top = "" if higher is None else best(arms, self.metric, higher=higher)
        clear = rule(arms, [self.metric])
        if (scenario, top) not in marked(arms, self.metric):
            top = ""
        section = tuple(self._row(grid, y, ours, top) for y in grid.ys)
        of = format_expr(grid.defense, dict(grid.shared)) if "+" not in grid.defense else grid.defense
        return Table(
            f"{group.name}: {grid.defense}, {scenario}",
            tuple(columns),
            (section,),
            (*captions(group), self._baseline(group, ours), *_choice(group)),
            (
                f"All arms: {of}.",
                interval_note(group.record, "differences are paired"),
                _BOLD.format("" if clear == BY_INTERVAL else f", and where {clear}"),
                *seed_notes(group),
            ),
            {**group.about(), "defense": grid.defense, "scenario": scenario},
            part=f"{title(self.metric)} over {grid.y} and {grid.x}",
        )

    def _row(self, grid: Grid, y: Any, ours: Mapping[str, Mapping[str, Any]], top: str) -> Row:
        row = [Entry(format_value(y))]
        for x in grid.xs:
            entry = ours.get(grid.arms.get((x, y), ""))
            if entry is None or failed(entry):
                row += [EMPTY if entry is None else FAILED, EMPTY]
            else:
                gain = signed(difference(entry, self.metric), entry["n"])
                row += [number(entry, self.metric, bold=entry["defense"] == top), gain or NONE]
        return tuple(row)

    def _baseline(self, group: Group, ours: Mapping[str, Mapping[str, Any]]) -> str:
        name = next((e["versus_baseline"]["defense"] for e in ours.values() if e["versus_baseline"]), "")
        if not name:
            return "There is no baseline to compare with."
        return f"The baseline {name}: {title(self.metric)} {number(ours[name], self.metric).text}."


def _choice(group: Group) -> tuple[str, ...]:
    split = group.entries[0]["split"]
    if split == "val":
        return ("Measured on the validation split: an arm may be chosen here, and must then be measured on test data.",)
    return (
        f"CAUTION: measured on the {split} split. An arm chosen here is better than it is elsewhere: choose on "
        "validation data (--split val).",
    )
