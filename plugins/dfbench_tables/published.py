"""The table that puts a run beside published numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.grammar import format_value, parse
from dfbench.labels import in_full, title
from dfbench.recordcurves import gaps, shared_seeds
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables.entries import EMPTY, FAILED, area, number
from dfbench_tables.published_file import read_published
from dfbench_tables.published_match import matching, matching_curves
from dfbench_tables.published_number import ARMS, Number
from dfbench_tables.published_protocol import protocol
from dfbench_tables.reading import Group, captions, failed, groups, interval_note, seed_notes


class PublishedNumbers(TableTemplate):
    """A row for each published scenario and metric, with the numbers of the baseline and of the defended detector,
    every one marked as reported or measured; then what differs in protocol. What the run did not measure is empty.

    Published and measured scenarios are matched by attack, eps, corruption and role; where the run has several such
    attacks each has a row. Areas are put beside each other on equal grids of eps alone. Samples are counted, never
    videos. A run on one of the published data sets stands beside that one, any other beside each of them.

    Args:
        file: published numbers, as those in ``results/published``.
    """

    def __init__(self, file: str) -> None:
        self.published = read_published(Path(file))

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        known = list(dict.fromkeys(number.data for number in self.published.numbers))
        tables = []
        for group in groups(record):
            ours = [data for data in known if data and data == _name(group.data)] or known
            for data in ours:
                tables += [self._numbers(group, data), protocol(group, self.published, _roles(group), data)]
        return tables

    def _numbers(self, group: Group, data: str) -> Table:
        roles, short = _roles(group), group.short
        columns = [
            Column("scenario", "published"),
            Column("metric", "metric"),
            Column("in this run", "attack", brief=""),
        ]
        for role in ARMS:
            columns.append(Column("reported", group=role, facts={"role": role, "quantity": "reported"}))
            for defense in roles[role]:
                facts = {"role": role, "defense": defense, "quantity": "measured"}
                columns.append(Column(f"measured: {short[defense]}", group=role, facts=facts))
        places: dict[tuple[Any, ...], dict[str, Number]] = {}
        for one in self.published.numbers:
            if one.data == data:
                places.setdefault(one.place, {})[one.arm] = one
        sections: dict[str, list[Row]] = {}
        for numbers in places.values():
            sections.setdefault(_scenario(next(iter(numbers.values()))), []).extend(_rows(group, numbers, roles))
        source = "; ".join(f"{name}: {text}" for name, text in self.published.source.items())
        told = (
            f"Reported numbers are of {self.published.title} ({source}), measured ones of this run. They were not "
            "measured alike: the differences in protocol and the known problems are below."
        )
        arms = "; ".join(f"{role}: {text}" for role, text in self.published.arms.items())
        problems = [f"Known problem of the reported numbers ({n}): {t}" for n, t in self.published.problems.items()]
        spread = seed_notes(group, compared=False) or (interval_note(group.record),)
        missing = dict.fromkeys(told for numbers in places.values() for told in _gaps(group, numbers, short))
        return Table(
            _title(group, data, len({one.data for one in self.published.numbers})),
            tuple(columns),
            tuple(map(tuple, sections.values())),
            (told, *captions(group)),
            (f"Reported arms are {arms}.", *in_full(short), *spread, *missing, *problems),
            group.about(),
            part=f"Beside {self.published.title}",
        )


def _roles(group: Group) -> dict[str, list[str]]:
    """The defenses of a group by role; an arm trained by nothing but ``none`` is a baseline."""
    plain = {
        arm["label"]
        for arm in group.record["config"]["defenses"]
        if [part["name"] for part in arm["objectives"]] == ["none"]
    }
    return {
        "baseline": [label for label in group.defenses if label in plain],
        "defended": [label for label in group.defenses if label not in plain],
    }


def _name(data: str) -> str:
    return parse(data).name


def _title(group: Group, data: str, sets: int) -> str:
    return f"{group.name} beside {data}" if sets > 1 else group.name


def _scenario(one: Number) -> str:
    parts = [one.attack] if one.attack != "none" else []
    if one.eps:
        parts.append(f"eps {', '.join(map(format_value, one.eps))}")
    parts += [f"{one.steps} steps"] if one.steps is not None else []
    parts += [f"then {one.corruption}" if parts else one.corruption] if one.corruption != "none" else []
    return ", ".join(parts) or "clean"


def _rows(group: Group, arms: Mapping[str, Number], roles: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows of one published scenario and metric: one for each attack of the run that matches."""
    one = next(iter(arms.values()))
    named = title(one.metric) + (f" (called {one.called})" if one.called else "")
    if one.area:
        named += ", nAUC of the attacked points" if one.area == "nauc_seed" else ", nAUC"
    found: dict[str, dict[str, Entry]]  # by the attack as the run writes it, then by defense
    if one.area:
        over = bool(group.record["over_seeds"])
        found = {}
        for attack, by_defense in matching_curves(group, one).items():
            seeds = shared_seeds(_all(by_defense), one.metric)
            found[attack] = {
                defense: area(ours, one.area, one.metric, seeds, over=over) for defense, ours in by_defense.items()
            }
    else:
        found = {
            attack: {
                defense: FAILED if failed(entry) else number(entry, one.metric, interval=True)
                for defense, entry in by_defense.items()
            }
            for attack, by_defense in matching(group, one).items()
        }
    metric = f"{one.area}({one.metric})" if one.area else one.metric
    rows = []
    for attack, measured in (found or {"": {}}).items():
        row = [Entry(_scenario(one)), Entry(named, name=metric), Entry(attack if attack != "none" else "no attack")]
        for role in ARMS:
            row.append(_reported(arms.get(role)))
            row += [measured.get(defense, EMPTY) for defense in roles[role]]
        rows.append(tuple(row))
    return rows


def _gaps(group: Group, arms: Mapping[str, Number], short: Mapping[str, str]) -> Iterator[str]:
    """What is missing of the curves beside a published area."""
    one = next(iter(arms.values()))
    if one.area:
        for by_defense in matching_curves(group, one).values():
            yield from gaps(group.record["cells"], _all(by_defense), [one.metric], short)


def _all(by_defense: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [curve for ours in by_defense.values() for curve in ours]


def _reported(one: Number | None) -> Entry:
    """A published number, with three decimals; areas, and what has more of them, with four."""
    if one is None:
        return EMPTY
    brief = not one.area and round(one.value, 3) == one.value
    return Entry(f"{one.value:.3f}" if brief else f"{one.value:.4f}", value=one.value)
