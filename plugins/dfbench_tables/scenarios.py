"""The table of scenarios: defenses side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.errors import UsageError
from dfbench.labels import in_full, title
from dfbench.recordcells import difference, excludes_0, value
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables.asked import check_measured, metrics_of, upwards
from dfbench_tables.entries import EMPTY, FAILED, NONE, number, signed
from dfbench_tables.reading import Group, captions, failed, groups, interval_note, seed_notes

_BOLD = (
    "Bold: the best of its row and metric, where its difference from the baseline excludes 0 (for the baseline: where "
    "the differences of all others do); otherwise nothing is."
)


class Scenarios(TableTemplate):
    """A row for each scenario, by its name; under each metric the defenses side by side, then the paired difference of
    each defended one from the baseline with its interval.

    The best of a row and metric is bold, equal ones together, but only where the paired interval excludes 0. One table
    for each model, training set and evaluated set. Over several trainings mean and standard deviation.
    """

    def __init__(self, metrics: str = "accuracy,auc,tpr_at_fpr_1pct", level: str = "auto") -> None:
        self.metrics = metrics_of(metrics, "the table of scenarios", "scenarios(metrics=auc)")
        self.level = level

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        check_measured(record, self.metrics)
        tables = []
        for group in groups(record):
            if self.level == "videos" and not group.has_videos:
                raise UsageError(f"{group.data} is not made of videos: use scenarios(level=auto) or level=samples")
            shown = group.by_video() if self.level != "samples" and group.has_videos else group
            tables.append(self._table(shown))
        return tables

    def _table(self, group: Group) -> Table:
        compared = [d for d in group.defenses if any(difference(e, m) for e in _of(group, d) for m in self.metrics)]
        short = group.short
        columns = [Column("scenario", "scenario")]
        for metric in self.metrics:
            heading = title(metric) + (" ± SD" if group.record["over_seeds"] else "")
            columns += [Column(short[d], group=heading, facts=_facts(metric, "value", d)) for d in group.defenses]
            columns += [
                Column(
                    f"{short[d]} - {short[_baseline(group, d)]} [95%]" if len(compared) > 1 else "difference [95%]",
                    group=heading,
                    facts=_facts(metric, "difference from baseline", d),
                    brief=f"{short[d]} gain" if len(compared) > 1 else "gain",
                )
                for d in compared
            ]
        rows: dict[str, dict[str, Mapping[str, Any]]] = {}
        for entry in group.entries:
            rows.setdefault(entry["scenario"], {})[entry["defense"]] = entry
        section = tuple(self._row(name, entries, group.defenses, compared) for name, entries in rows.items())
        bold = [_BOLD] if compared else []
        note = interval_note(group.record, "differences are paired")
        return Table(
            f"{group.name}: {group.unit}" if group.unit else group.name,
            tuple(columns),
            (section,),
            captions(group),
            (*in_full(short), note, *bold, *seed_notes(group)),
            group.about(),
        )

    def _row(
        self, name: str, entries: Mapping[str, Mapping[str, Any]], defenses: Sequence[str], compared: Sequence[str]
    ) -> Row:
        note = next((entry["note"] for entry in entries.values() if entry["note"]), "")
        row = [Entry(f"{name} ({note})" if note else name)]
        for metric in self.metrics:
            best = _best(metric, [entry for entry in entries.values() if not failed(entry)])
            for defense in defenses:
                entry = entries.get(defense)
                if entry is None:
                    row.append(EMPTY)
                elif failed(entry):
                    row.append(FAILED)
                else:
                    row.append(number(entry, metric, bold=defense in best))
            for defense in compared:
                entry = entries.get(defense)
                if entry is None or failed(entry):
                    row.append(EMPTY)
                else:
                    row.append(signed(difference(entry, metric), entry["n"]) or NONE)
        return tuple(row)


def _facts(metric: str, quantity: str, defense: str) -> dict[str, str]:
    return {"metric": metric, "quantity": quantity, "defense": defense}


def _of(group: Group, defense: str) -> list[Mapping[str, Any]]:
    return [entry for entry in group.entries if entry["defense"] == defense and not failed(entry)]


def _baseline(group: Group, defense: str) -> str:
    """What a defense is compared with."""
    return next(str(e["versus_baseline"]["defense"]) for e in _of(group, defense) if e["versus_baseline"])


def _best(metric: str, entries: Sequence[Mapping[str, Any]]) -> set[str]:
    """The defenses that are bold: those with the best value as it is printed, if their differences exclude 0."""
    values = {entry["defense"]: value(entry, metric) for entry in entries}
    finite = [number for number in values.values() if number is not None]
    better = upwards(metric)
    if better is None or not finite:
        return set()
    top = round(max(finite) if better else min(finite), 3)
    best = {name for name, found in values.items() if found is not None and round(found, 3) == top}
    clear = {e["defense"] for e in entries if excludes_0(difference(e, metric).get("interval"))}
    compared = {e["defense"] for e in entries if e["versus_baseline"]}
    baselines = {str(e["versus_baseline"]["defense"]) for e in entries if e["versus_baseline"]}
    if best <= compared:
        return best & clear
    return best if best <= baselines and set(values) - best <= clear else set()
