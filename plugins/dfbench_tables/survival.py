"""How the success of attacks survives what happens to an image on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.errors import UsageError
from dfbench.grammar import format_value, parse
from dfbench.labels import in_full
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables.entries import EMPTY, FAILED, NONE, mean, single
from dfbench_tables.reading import Group, cautions, failed, groups, interval_note, origin, seed_notes

NO = "none"
"""No attack, or no corruption."""

_NOTE = (
    "Success: of the samples that the detector gets right without the attack, but with the same corruption, the share "
    "that the attack turns wrong. Retained: success with the corruption over success without any; it says little where "
    "the latter is near 0, and can exceed 1. n/a: the record lacks the row without the attack, or no sample was right "
    "there. An empty entry was not part of the run."
)


class Survival(TableTemplate):
    """For each attack and defense, the attack's success before and after each corruption, and the share retained.

    Attacks of equal eps are beside each other, so that a learned one can be compared with PGD at the same bound.
    Samples are counted, never videos. Empty where the run has no attack.
    """

    needs = "an attack that is followed by a corruption"

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        return [_table(group) for group in groups(record) if any(entry["attack"] != NO for entry in group.entries)]


def _table(group: Group) -> Table:
    attacked = [entry for entry in group.entries if entry["attack"] != NO]
    # By the corruption as written: a failed cell does not know the name of its column.
    headings = {entry["corruption"]: entry["corruption_column"] for entry in sorted(attacked, key=failed, reverse=True)}
    corruptions = list(dict.fromkeys(entry["corruption"] for entry in attacked if entry["corruption"] != NO))
    columns = [Column("eps", "eps"), Column("attack", "attack"), Column("defense", "defense")]
    over = bool(group.record["over_seeds"])
    heading = "success ± SD" if over else "success [95%]"
    columns.append(Column(heading, group="no corruption", facts=_facts("attack success", NO), brief="success"))
    for name in corruptions:
        columns.append(Column(heading, group=headings[name], facts=_facts("attack success", name), brief="success"))
        columns.append(Column("retained", group=headings[name], facts=_facts("share retained", name)))
    short = group.short
    cells: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for entry in attacked:
        cells.setdefault((entry["attack"], entry["note"], entry["defense"]), {})[entry["corruption"]] = entry
    ordered = sorted(cells.items(), key=lambda item: _eps(item[0][0])[0])  # stable: within one eps, the record's order
    sections = tuple(
        tuple(_row(*key, found, corruptions, short) for key, found in members)
        for _, members in groupby(ordered, lambda item: _eps(item[0][0]))
    )
    notes = (*in_full(short), _NOTE, *([] if over else [interval_note(group.record)]), *seed_notes(group))
    return Table(
        group.name,
        tuple(columns),
        sections,
        (f"{origin(group)}.", *cautions(group)),
        notes,
        group.about(),
        part="Survival of attacks",
    )


def _facts(quantity: str, corruption: str) -> dict[str, str]:
    return {"metric": "attack_success", "quantity": quantity, "corruption": corruption}


def _eps(attack: str) -> tuple[float, str]:
    """The bound of an attack as its label tells it, for sorting and as written; those that tell none come last."""
    try:
        eps = parse(attack).params.get("eps")
    except UsageError:
        eps = None
    return (float(eps), format_value(float(eps))) if isinstance(eps, (int, float)) else (float("inf"), "")


def _row(
    attack: str,
    note: str,
    defense: str,
    cells: Mapping[str, Mapping[str, Any]],
    corruptions: Sequence[str],
    short: Mapping[str, str],
) -> Row:
    before = cells.get(NO)
    named = f"{attack} ({note})" if note else attack
    row = [Entry(_eps(attack)[1]), Entry(named), Entry(short[defense], name=defense), _success(before)]
    for name in corruptions:
        after = cells.get(name)
        row += [_success(after), _retained(before, after)]
    return tuple(row)


def _success(cell: Mapping[str, Any] | None) -> Entry:
    if cell is None or failed(cell):
        return EMPTY if cell is None else FAILED
    found = cell["attack_success"]
    if found is None:
        return NONE
    if "mean" in found:
        return mean(found, None)
    low, high = found["interval"] or (None, None)
    return single(found["value"], low, high, found["n"])


def _retained(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Entry:
    if after is None:
        return EMPTY
    shares = [_share(cell) for cell in (before, after)]
    if shares[0] is None or shares[1] is None or shares[0] == 0:
        return NONE
    kept = shares[1] / shares[0]
    return Entry(f"{kept:.2f}", value=kept)


def _share(cell: Mapping[str, Any] | None) -> float | None:
    found = cell["attack_success"] if cell is not None and not failed(cell) else None
    if found is None:
        return None
    share = found["mean"] if "mean" in found else found["value"]
    return None if share is None else float(share)
