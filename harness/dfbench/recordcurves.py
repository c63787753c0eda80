"""Curves over eps as a record holds them: the trainings over which they are compared, and what is missing of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfbench.labels import title

Curve = Mapping[str, Any]
Cell = Mapping[str, Any]

_PLACE = ("model", "train_data", "data")


def shared_seeds(curves: Sequence[Curve], metric: str) -> list[int]:
    """The seeds of which every defense that has a metric's curve has it: means over these can be compared.

    Args:
        curves: those of one attack over one grid of eps, on one data set.
        metric: its name.
    """
    seeds: dict[str, dict[int, None]] = {}
    for curve in curves:
        if metric in curve["nauc"]:
            seeds.setdefault(curve["defense"], {})[curve["seed"]] = None
    return [seed for seed in next(iter(seeds.values()), ()) if all(seed in others for others in seeds.values())]


def without_curve(cells: Sequence[Cell], curves: Sequence[Curve]) -> dict[str, list[int]]:
    """The defenses, with their seeds, that met an attack but have no curve of it: a point of it failed.

    Args:
        cells: of the record.
        curves: those of one attack over one grid of eps, on one data set.
    """
    have = {(curve["defense"], curve["seed"]) for curve in curves}
    found: dict[str, list[int]] = {}
    for defense, seeds in _trained(cells, curves[0]).items():
        if missing := [seed for seed in seeds if (defense, seed) not in have]:
            found[defense] = missing
    return found


def gaps(
    cells: Sequence[Cell], curves: Sequence[Curve], metrics: Sequence[str], short: Mapping[str, str]
) -> Iterator[str]:
    """A sentence on each thing that is missing: defenses without a curve or without a metric of it, and the seeds that
    are left to compare.

    Args:
        cells: of the record.
        curves: those of one attack over one grid of eps, on one data set.
        metrics: what is shown of them.
        short: what defenses are called.
    """
    first, trained = curves[0], _trained(cells, curves[0])
    every = list(dict.fromkeys(seed for seeds in trained.values() for seed in seeds))
    named = first["name"] + (f", then {first['corruption_column']}" if first["corruption"] != "none" else "")

    def arms(lacking: Mapping[str, Sequence[int]]) -> str:
        return ", ".join(
            short[defense] + ("" if len(seeds) == len(trained[defense]) else f" ({_seeds(seeds)})")
            for defense, seeds in lacking.items()
        )

    if missing := without_curve(cells, curves):
        yield f"{named}: no curve of {arms(missing)}, of which a point failed."
    for metric in metrics:
        lacking: dict[str, list[int]] = {}
        for curve in curves:
            if metric not in curve["nauc"]:
                lacking.setdefault(curve["defense"], []).append(curve["seed"])
        if lacking:
            yield f"{named}: no {title(metric)} of {arms(lacking)}: it has no value at some eps."
    left: dict[tuple[int, ...], list[str]] = {}
    for metric in metrics:
        if any(metric in curve["nauc"] for curve in curves):
            left.setdefault(tuple(shared_seeds(curves, metric)), []).append(title(metric))
    for seeds, titles in left.items():
        if len(seeds) < len(every):
            yield f"{named}: {', '.join(titles)} {_over(seeds)}."


def vanished(record: Mapping[str, Any], cells: Sequence[Cell], curves: Sequence[Curve]) -> list[str]:
    """The attacks at two eps or more, by the names of their scenarios, that have no curve at all although cells failed.

    Args:
        record: whose configuration tells the scenarios.
        cells, curves: those to look among.
    """
    families: dict[str, list[str]] = {}
    for scenario in record["config"]["scenarios"]:
        attack = scenario["attack"]
        if attack and attack["params"].get("eps"):
            rest = {key: value for key, value in sorted(attack["params"].items()) if key != "eps"}
            families.setdefault(repr((attack["name"], rest, scenario["corruption"])), []).append(scenario["name"])
    drawn = {name for curve in curves for name in curve["scenarios"]}
    failed = {cell["corruption"] for cell in cells if cell["status"] == "failed"}
    after = {cell["scenario"]: cell["corruption"] for cell in cells}
    return [
        ", ".join(names)
        for names in families.values()
        if len(names) > 1 and not drawn & set(names) and after.get(names[0]) in failed
    ]


def _trained(cells: Sequence[Cell], curve: Curve) -> dict[str, list[int]]:
    """The seeds of each defense that met the attack of a curve, whatever came of it."""
    found: dict[str, list[int]] = {}
    for cell in cells:
        if cell["scenario"] == curve["scenarios"][-1] and all(cell[key] == curve[key] for key in _PLACE):
            found.setdefault(cell["defense"], []).append(cell["seed"])
    return found


def _seeds(seeds: Sequence[int]) -> str:
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _over(seeds: Sequence[int]) -> str:
    if not seeds:
        return "cannot be compared, because the defenses share no seed"
    alone = ", a single training, without SD and without interval" if len(seeds) == 1 else ""
    return f"over {_seeds(seeds)} alone, which all defenses with a curve share{alone}"
