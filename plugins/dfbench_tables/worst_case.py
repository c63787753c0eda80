"""The worst case beside fixed attacks: how much of a robustness is left when the attack may choose its means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.grammar import format_value
from dfbench.labels import in_full
from dfbench.recordcells import value
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables import verdicts
from dfbench_tables.entries import EMPTY, FAILED, WORST, WORST_NOTE, heading, is_worst_case, mean, number
from dfbench_tables.reading import Group, captions, cautions, failed, groups, interval_note, origin, seed_notes

Cell = Mapping[str, Any]

_ABOVE = (
    "Above worst case: by how much the accuracy under an attack of fixed steps exceeds the worst case of the same "
    "defense, eps and corruption: robustness that a stronger attack does not confirm. A difference of two numbers of "
    "this table, without interval."
)

_BROKEN = (
    "Wrong unattacked: samples that were wrong before the attack. Under each member of the attack the samples that it "
    "was the first to turn wrong: later members meet only what withstood the earlier ones. Withstood: those that no "
    "member turned."
)


class WorstCase(TableTemplate):
    """For each eps and defense the accuracy under every attack of fixed steps beside the worst case of an attack that
    combines several, with their verdicts; and which member of it turned how many samples wrong.

    One pair of tables for each model, training set and evaluated set. Samples are counted, never videos. Over several
    trainings mean and standard deviation. Empty where no attack stops at its first success.
    """

    needs = "an attack that stops at the first success (--attack strong)"

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        found = [group for group in groups(record) if group.worst_case]
        tables = []
        for group in found:
            tables += [_compared(group), *_broken(group)]
        return tables


def _compared(group: Group) -> Table:
    bounds = _bounds(group)
    places = list(dict.fromkeys(_place(entry, bounds) for entry in group.entries if is_worst_case(entry)))
    places.sort(key=lambda place: float("inf") if place[0] is None else place[0])
    sections, short = [], group.short
    for place in places:
        here = [
            e
            for e in group.entries
            if _place(e, bounds) == place or (e["attack"], e["corruption"]) == ("none", place[1])
        ]
        here.sort(
            key=lambda entry: (group.defenses.index(entry["defense"]), entry["attack"] != "none", is_worst_case(entry))
        )
        sections.append(tuple(_row(entry, here, place, short, group) for entry in here))
    suffix = " ± SD" if group.record["over_seeds"] else " [95%]"
    columns = (
        *(Column(name, name) for name in ("eps", "corruption", "defense", "attack")),
        Column("accuracy" + suffix, facts=_facts("accuracy", "value"), brief="accuracy"),
        Column(heading(WORST) + suffix, facts=_facts(WORST, "value"), brief="worst case"),
        Column("above worst case", facts=_facts("accuracy", "difference from worst case"), brief="above"),
        verdicts.COLUMN,
    )
    over = bool(group.record["over_seeds"])
    table = Table(
        group.name,
        columns,
        tuple(sections),
        captions(group),
        (*in_full(short), WORST_NOTE, _ABOVE, verdicts.NOTE, *([] if over else [interval_note(group.record)]),
         *seed_notes(group, compared=False)),
        group.about(),
        part="Worst case",
    )  # fmt: skip
    checked = any(row[-1] != EMPTY for row in table.rows)
    return table if checked else table.take(range(len(columns) - 1))


def _facts(metric: str, quantity: str) -> dict[str, str]:
    return {"metric": metric, "quantity": quantity}


def _bounds(group: Group) -> dict[str, float | None]:
    """The eps of each scenario's attack, with what it is where the label does not tell it."""
    attacks = {one["name"]: one["attack"] for one in group.record["config"]["scenarios"]}
    return {name: attack["params"].get("eps") if attack else None for name, attack in attacks.items()}


def _place(entry: Cell, bounds: Mapping[str, float | None]) -> tuple[float | None, str]:
    """What attacks must share to be compared."""
    return bounds[entry["scenario"]], entry["corruption"]


def _row(
    entry: Cell, here: Sequence[Cell], place: tuple[float | None, str], short: Mapping[str, str], group: Group
) -> Row:
    eps = "" if place[0] is None else format_value(place[0])
    attack = entry["attack"] + (f" ({entry['note']})" if entry["note"] else "")
    defense = Entry(short[entry["defense"]], name=entry["defense"])
    labels = (Entry(eps), Entry(entry["corruption_column"]), defense, Entry(attack))
    verdict = verdicts.verdict(group.cells_of(entry))
    if failed(entry):
        return (*labels, FAILED, EMPTY, EMPTY, verdict)
    worst = [value(e, WORST) for e in here if e["defense"] == entry["defense"] and is_worst_case(e)]
    least = min((found for found in worst if found is not None), default=None)
    ours = value(entry, "accuracy")
    above = EMPTY
    if entry["attack"] != "none" and ours is not None and least is not None:
        above = Entry(f"{ours - least:+.3f}", value=ours - least, n=entry["n"])
    numbers = [number(entry, metric, interval=True) for metric in ("accuracy", WORST)]
    return (*labels, *numbers, above, verdict)


def _broken(group: Group) -> list[Table]:
    """Which member turned how many samples wrong, where the record tells."""
    entries = [entry for entry in group.entries if is_worst_case(entry)]
    counts = [[cell["broken_by"] for cell in group.cells_of(entry) if cell.get("broken_by")] for entry in entries]
    members = list(dict.fromkeys(name for many in counts for one in many for name in one if name not in ("", "clean")))
    if not any(counts):
        return []
    titles = {"clean": "wrong unattacked", **{name: name for name in members}, "": "withstood"}
    columns = (
        *(Column(name, name) for name in ("scenario", "defense")),
        *(Column(told, facts={"metric": "broken_by", "member": told, "quantity": "count"}) for told in titles.values()),
        Column("n", facts={"metric": "n", "quantity": "value"}),
    )
    rows = []
    for entry, many in zip(entries, counts, strict=True):
        labels = (Entry(entry["scenario"]), Entry(group.short[entry["defense"]], name=entry["defense"]))
        found = [_count([one.get(name, 0) for one in many]) for name in titles]
        rows.append((*labels, *found, Entry(str(entry["n"]), value=entry["n"])))
    told = (f"{origin(group)}.", *cautions(group))
    over = ["Over several trainings: means."] if group.record["over_seeds"] else []
    notes = (*in_full(group.short), _BROKEN, *over)
    name = f"{group.name}: what turned the samples wrong"
    return [Table(name, columns, (tuple(rows),), told, notes, group.about(), part="Worst case")]


def _count(counts: Sequence[int]) -> Entry:
    """Samples, or their mean over several trainings."""
    if not counts:
        return EMPTY
    if len(counts) == 1:
        return Entry(str(counts[0]), value=counts[0])
    return mean({"mean": sum(counts) / len(counts), "sd": None}, None, form=".1f")
