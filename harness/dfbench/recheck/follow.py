"""Whether each recorded number is the one that follows from the scores; where not, what it is instead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfbench.recheck.finding import Finding, Report, few, shown
from dfbench.recheck.opened import Opened

Entry = Mapping[str, Any]
Path = tuple[str, ...]

REL, ABS = 1e-6, 1e-9
"""Numbers that differ by less are equal: sums of doubles in another order, quantiles of another numpy."""

_WHY = "a number that does not follow from the scores beside it says nothing of this detector"
_LATER = ("p", "test")
"""What older records do not tell of a difference."""


def check_numbers(opened: Opened, derived: Mapping[str, Sequence[Entry]], report: Report) -> None:
    """Compare every number of ``cells``, ``curves`` and ``over_seeds`` with its derivation."""
    for number, (cell, ours) in enumerate(zip(opened.cells, derived["cells"], strict=True)):
        if number not in opened.frames:
            if cell["status"] == "ok":
                report.add([_absent(opened.places[number])])
            continue
        place = opened.places[number]
        for level, recorded, found in _levels(cell, ours):
            others = {opened.places[i]: one for i, one in enumerate(derived["cells"]) if i != number}
            _compare(report, opened.version, f"{place}{level}", recorded, found, others if not level else {})
    _listed(opened, "curves", _curve_key, derived["curves"], report)
    _listed(opened, "over_seeds", _seeds_key, derived["over_seeds"], report)


def _absent(place: str) -> Finding:
    return Finding("error", "scores", place, "its scores are missing", _WHY)


def _levels(cell: Entry, ours: Entry) -> Iterator[tuple[str, Entry, Entry]]:
    """What a cell says at each level, beside what was derived."""
    top = ("n", "metrics", "intervals", "versus_baseline", "attack_success", "perturbation", "broken_by")
    yield "", {key: cell[key] for key in top if key in cell}, ours
    if cell.get("video"):
        yield " (videos)", cell["video"], ours["video"] or {}
    for name, part in (cell.get("manipulations") or {}).items():
        yield f" ({name})", part, ours["manipulations"].get(name, {})


def _curve_key(entry: Entry) -> tuple[Any, ...]:
    told = ("model", "defense", "train_data", "seed", "data", "corruption")
    return (*(entry[key] for key in told), *entry["scenarios"])


def _seeds_key(entry: Entry) -> tuple[Any, ...]:
    return tuple(entry[key] for key in ("model", "defense", "train_data", "data", "scenario"))


def _listed(opened: Opened, part: str, key: Any, derived: Sequence[Entry], report: Report) -> None:
    """The entries of a list, matched by what they are of."""
    known = {key(entry): entry for entry in derived}
    told = {"curves": "curve of {name}", "over_seeds": "{scenario} over seeds"}[part]
    for entry in opened.record[part]:
        place = f"{told.format(**entry)} | {entry['defense']}"
        ours = known.get(key(entry))
        if ours is None:
            said = "the scores give no such entry: its points or trainings are not those of the record's cells"
            report.add([Finding("error", part.replace("_", " "), place, said, _WHY)])
            continue
        parts = ("n", "eps", "seeds", "metrics", "intervals", "nauc", "nauc_seed", "versus_baseline", "attack_success")
        levels = [("", entry, ours)] + ([(" (videos)", entry["video"], ours["video"])] if entry.get("video") else [])
        for level, recorded, found in levels:
            _compare(report, opened.version, place + level, {k: recorded[k] for k in parts if k in recorded}, found, {})


def _compare(
    report: Report, version: int, place: str, recorded: Entry, derived: Entry, others: Mapping[str, Entry]
) -> None:
    """One finding for each part of an entry of which a number differs."""
    ours = dict(_leaves(derived))
    wrong: dict[str, list[Path]] = {}
    theirs = dict(_leaves(recorded))
    for path, value in theirs.items():
        if path[-1] in _LATER and version < 4:
            continue
        if path not in ours:
            if value is not None and any(path[:length] in ours for length in range(1, len(path))):
                wrong.setdefault(path[0], []).append(path)  # there is nothing where the record has something
            elif value is not None:
                sentence = f"{path[0].replace('_', ' ')} of {_metric(path)}: no installed metric gives them"
                report.unchecked += [sentence] if sentence not in report.unchecked else []
            continue
        report.count("numbers", 1)
        if not equal(value, ours[path]):
            wrong.setdefault(path[0], []).append(path)
    for part, paths in wrong.items():
        first = paths[0]
        name = " ".join(first[1:]) or part
        told = _instead(first, theirs[first], ours, others) if part == "metrics" else ""
        more = f"; nor do {few(' '.join(path[1:]) for path in paths[1:])}" if len(paths) > 1 else ""
        report.add(
            [
                Finding(
                    "error",
                    part.replace("_", " "),
                    place,
                    f"{name} does not follow from the scores{told}{more}",
                    _WHY,
                    shown(theirs[first]),
                    shown(ours.get(first)),
                )
            ]
        )


def _metric(path: Path) -> str:
    """The metric that a number is of."""
    return path[2] if path[0] == "versus_baseline" and len(path) > 2 else path[min(1, len(path) - 1)]


def _leaves(part: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values of nested tables by their paths; a list is one value."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from _leaves(value, (*path, str(key)))
    else:
        yield path, part


def equal(a: Any, b: Any) -> bool:
    """Whether two recorded values are the same, up to the rounding of doubles."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=REL, abs_tol=ABS)
    return bool(a == b)


def _instead(path: Path, value: Any, ours: Mapping[Path, Any], others: Mapping[str, Entry]) -> str:
    """What a wrong number is: another metric of the same cell, or this metric of another cell."""
    if value is None or value in (0, 1):
        return ""
    for (part, *rest), number in ours.items():
        if part == "metrics" and rest != [path[-1]] and number is not None and equal(value, number):
            return f", it is {rest[0]}"
    for place, other in others.items():
        if (number := other["metrics"].get(path[-1])) is not None and equal(value, number):
            return f", it is that of {place}"
    return ""
