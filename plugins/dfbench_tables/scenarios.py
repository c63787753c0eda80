"""The table of scenarios: defenses side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.errors import UsageError
from dfbench.labels import in_full
from dfbench.recordcells import difference, value
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables import verdicts
from dfbench_tables.asked import check_measured, metrics_of, upwards
from dfbench_tables.entries import EMPTY, FAILED, NONE, WORST, WORST_NOTE, asked, heading, number, signed
from dfbench_tables.marking import BY_INTERVAL, key, marked, rule
from dfbench_tables.reading import Group, captions, failed, groups, interval_note, seed_notes

_BOLD = (
    "Bold: the best of its row and metric, where its difference from the baseline excludes 0 (for the baseline: where "
    "the differences of all others do); otherwise nothing is."
)

_TESTED = (
    "Bold: the best of its row and metric, where its difference from the baseline is significant (for the baseline: "
    "where those of all others are), that is, where {}; otherwise nothing is."
)


class Scenarios(TableTemplate):
    """A row for each scenario, by its name; under each metric the defenses side by side, then the paired difference of
    each defended one from the baseline with its interval.

    The best of a row and metric is bold, equal ones together, but only where the paired difference is significant. The
    worst case has columns of its own, where there is one, and verdicts too, where cells were checked. One table for
    each model, training set and evaluated set. Over several trainings mean and standard deviation.
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
        metrics = self.metrics + ([WORST] if group.worst_case and WORST not in self.metrics else [])
        compared = [d for d in group.defenses if any(difference(e, m) for e in _of(group, d) for m in metrics)]
        short = group.short
        columns = [Column("scenario", "scenario")]
        for metric in metrics:
            above = heading(metric) + (" ± SD" if group.record["over_seeds"] else "")
            columns += [Column(short[d], group=above, facts=_facts(metric, "value", d)) for d in group.defenses]
            columns += [
                Column(
                    f"{short[d]} - {short[_baseline(group, d)]} [95%]" if len(compared) > 1 else "difference [95%]",
                    group=above,
                    facts=_facts(metric, "difference from baseline", d),
                    brief=f"{short[d]} gain" if len(compared) > 1 else "gain",
                )
                for d in compared
            ]
        clear = {metric: marked(group.entries, metric) for metric in metrics}
        rows: dict[str, dict[str, Mapping[str, Any]]] = {}
        for entry in group.entries:
            rows.setdefault(entry["scenario"], {})[entry["defense"]] = entry
        section = [_row(name, entries, group.defenses, compared, clear) for name, entries in rows.items()]
        checked = [_verdict(group, list(entries.values())) for entries in rows.values()]
        if any(entry != EMPTY for entry in checked):
            columns.append(verdicts.COLUMN)
            section = [(*row, entry) for row, entry in zip(section, checked, strict=True)]
        notes = [interval_note(group.record, "differences are paired")]
        if compared:
            told = rule(group.entries, metrics)
            notes.append(_BOLD if told == BY_INTERVAL else _TESTED.format(told))
        notes += [WORST_NOTE] if group.worst_case else []
        notes += [verdicts.NOTE] if columns[-1] == verdicts.COLUMN else []
        return Table(
            f"{group.name}: {group.unit}" if group.unit else group.name,
            tuple(columns),
            (tuple(section),),
            captions(group),
            (*in_full(short), *notes, *seed_notes(group)),
            group.about(),
        )


def _row(
    name: str,
    entries: Mapping[str, Mapping[str, Any]],
    defenses: Sequence[str],
    compared: Sequence[str],
    clear: Mapping[str, set[tuple[str, str]]],
) -> Row:
    """A scenario.

    Args:
        name: what it is called.
        entries: by defense.
        defenses, compared: the columns under each metric: values, and differences.
        clear: by metric in their order, the entries whose difference is significant.
    """
    note = next((entry["note"] for entry in entries.values() if entry["note"]), "")
    row = [Entry(f"{name} ({note})" if note else name)]
    for metric, significant in clear.items():
        best = _best(metric, [entry for entry in entries.values() if not failed(entry)], significant)
        for defense in defenses:
            entry = entries.get(defense)
            if entry is None:
                row.append(EMPTY)
            elif failed(entry):
                row.append(EMPTY if metric == WORST else FAILED)
            else:
                row.append(number(entry, metric, bold=defense in best))
        for defense in compared:
            entry = entries.get(defense)
            if entry is None or failed(entry) or not asked(entry, metric):
                row.append(EMPTY)
            else:
                row.append(signed(difference(entry, metric), entry["n"]) or NONE)
    return tuple(row)


def _verdict(group: Group, entries: Sequence[Mapping[str, Any]]) -> Entry:
    """The verdict of a scenario: that of all its cells, or the defenses whose cells are suspect."""
    found = {str(entry["defense"]): verdicts.suspect(group.cells_of(entry)) for entry in entries}
    if all(found[defense] in (None, False) for defense in found):
        return verdicts.verdict([cell for entry in entries for cell in group.cells_of(entry)])
    told = [group.short[defense] for defense, suspect in found.items() if suspect]
    return Entry("SUSPECT" if len(told) == len(found) else f"SUSPECT: {', '.join(told)}", brief="SUSPECT")


def _facts(metric: str, quantity: str, defense: str) -> dict[str, str]:
    return {"metric": metric, "quantity": quantity, "defense": defense}


def _of(group: Group, defense: str) -> list[Mapping[str, Any]]:
    return [entry for entry in group.entries if entry["defense"] == defense and not failed(entry)]


def _baseline(group: Group, defense: str) -> str:
    """What a defense is compared with."""
    return next(str(e["versus_baseline"]["defense"]) for e in _of(group, defense) if e["versus_baseline"])


def _best(metric: str, entries: Sequence[Mapping[str, Any]], significant: set[tuple[str, str]]) -> set[str]:
    """The defenses that are bold: those with the best value as it is printed, if their differences are significant."""
    values = {entry["defense"]: value(entry, metric) for entry in entries}
    finite = [number for number in values.values() if number is not None]
    better = upwards(metric)
    if better is None or not finite:
        return set()
    top = round(max(finite) if better else min(finite), 3)
    best = {name for name, found in values.items() if found is not None and round(found, 3) == top}
    clear = {e["defense"] for e in entries if key(e) in significant}
    compared = {e["defense"] for e in entries if e["versus_baseline"]}
    baselines = {str(e["versus_baseline"]["defense"]) for e in entries if e["versus_baseline"]}
    if best <= compared:
        return best & clear
    return best if best <= baselines and set(values) - best <= clear else set()
