"""What of a run stands beside a published number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfbench.grammar import parse
from dfbench_tables.published_number import Number
from dfbench_tables.reading import Group

Found = Mapping[str, Any]
"""An entry of the record's cells (or ``over_seeds``)."""


def matching(group: Group, number: Number) -> dict[str, dict[str, Found]]:
    """The run's entries of the published number's scenario: by the attack as the run writes it, then by defense.

    Attacks match by name and eps, to a thousandth of it, whatever their other parameters; corruptions by name and the
    parameters that are published.
    """
    found: dict[str, dict[str, Found]] = {}
    for entry in group.entries:
        scenario = _scenario(group, str(entry["scenario"]))
        if _same_attack(scenario["attack"], number) and _same_corruption(scenario["corruption"], number.corruption):
            found.setdefault(str(entry["attack"]), {})[str(entry["defense"])] = entry
    return found


def matching_curves(group: Group, number: Number) -> dict[str, dict[str, list[Found]]]:
    """The run's curves over the grid of a published area: by attack, then by defense, one for each training."""
    found: dict[str, dict[str, list[Found]]] = {}
    for curve in group.curves:
        if parse(curve["attack"]).name == number.attack and _same_grid(curve["eps"][1:], number.eps):
            corruption = _scenario(group, curve["scenarios"][-1])["corruption"]
            if _same_corruption(corruption, number.corruption):
                found.setdefault(str(curve["attack"]), {}).setdefault(str(curve["defense"]), []).append(curve)
    return found


def attacks_of(group: Group, name: str) -> Iterator[str]:
    """The attacks of a group by the component's name, as the run writes them."""
    labels = dict.fromkeys(
        str(entry["attack"])
        for entry in group.entries
        if (_scenario(group, str(entry["scenario"]))["attack"] or {}).get("name") == name
    )
    yield from labels


def _scenario(group: Group, name: str) -> Mapping[str, Any]:
    return next(one for one in group.record["config"]["scenarios"] if one["name"] == name)


def _same_attack(attack: Mapping[str, Any] | None, number: Number) -> bool:
    if attack is None:
        return number.attack == "none"
    eps = attack["params"].get("eps")
    return attack["name"] == number.attack and _same_grid(() if eps is None else (eps,), number.eps)


def _same_grid(ours: Sequence[float], published: Sequence[float]) -> bool:
    near = [math.isclose(one, other, rel_tol=1e-3) for one, other in zip(ours, published, strict=False)]
    return len(ours) == len(published) and all(near)


def _same_corruption(corruption: Mapping[str, Any] | None, published: str) -> bool:
    wanted = parse(published)
    if corruption is None:
        return published == "none"
    return bool(corruption["name"] == wanted.name and wanted.params.items() <= corruption["params"].items())
