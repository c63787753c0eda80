"""What differs in protocol between a run and published numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfbench.grammar import format_expr, format_value
from dfbench.tables import Column, Entry, Table
from dfbench_tables.published_file import Published
from dfbench_tables.published_match import attacks_of
from dfbench_tables.reading import Group

UNKNOWN = "not recorded"


def protocol(group: Group, published: Published, roles: Mapping[str, Sequence[str]], data: str) -> Table:
    """Published protocol beside the run's, without what is the same in both.

    Args:
        group: the run's results.
        published: the numbers.
        roles: the run's baselines and defended arms.
        data: the published data set that the group stands beside; empty: the only one.
    """
    rows = [
        (Entry(what), Entry(theirs or UNKNOWN), Entry(ours or UNKNOWN))
        for what, theirs, ours in _facts(group, published, roles, data)
        if theirs != ours
    ]
    columns = (Column("protocol", "protocol"), Column("published", "published"), Column("this run", "run"))
    part = f"Beside {published.title}"
    title = f"{group.name}{f' beside {data}' if data else ''}: differences in protocol"
    return Table(title, columns, (tuple(rows),), about=group.about(), part=part)


def _facts(
    group: Group, published: Published, roles: Mapping[str, Sequence[str]], data: str
) -> Iterator[tuple[str, str, str]]:
    """What, as published, in this run."""
    told, record = published.protocol, group.record
    shown = published.protocol.get("train_data", data or told.get("data", ""))
    yield "training data", str(shown), _known(group.train_data, str(shown))
    shown = data or str(told.get("data", ""))
    yield "evaluated data", shown, _known(group.data, shown)
    yield "split", str(told.get("split", "")), str(group.entries[0]["split"])
    counted = group.measured
    yield "samples", str(told.get("n", "")), str(counted["n"]) if counted else ""
    yield "model", str(told.get("model", "")), group.model
    weights = record["weights"].get(group.model) or {}
    yield "weights", str(told.get("weights", "")), str(weights.get("name", ""))
    for name, value in told.get("recipe", {}).items():
        yield name, format_value(value) if not isinstance(value, str) else value, _recipe(group, name)
    for name, text in told.get("attacks", {}).items():
        yield name, str(text), ", ".join(attacks_of(group, name)) or "not in this run"
    for name, text in told.get("defense", {}).items():
        arms = [_resolved(group, label) for label in roles["defended"]]
        yield f"defended ({name})", str(text), ", ".join(arms) or "not in this run"


def _known(label: str, published: str) -> str:
    """A data set's label; the published name where it is that data set as it comes."""
    return published if label == published else label


def _recipe(group: Group, name: str) -> str:
    """A value of the training recipe, by arm where they differ."""
    found: dict[str, list[str]] = {}
    short = group.short
    for entry in group.record["training"]:
        ours = (entry["model"], entry["data"]) == (group.model, group.train_data) and entry["defense"] in short
        if ours and name in entry["recipe"]:
            value: Any = entry["recipe"][name]
            arms = found.setdefault(value if isinstance(value, str) else format_value(value), [])
            arms += [] if short[entry["defense"]] in arms else [short[entry["defense"]]]
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{value} ({', '.join(arms)})" for value, arms in found.items())


def _resolved(group: Group, label: str) -> str:
    """A defense with all parameters of its objectives."""
    arm = next(one for one in group.record["config"]["defenses"] if one["label"] == label)
    return "+".join(format_expr(part["name"], part["params"]) for part in arm["objectives"])
