"""Accuracy and macro-F1 over the bound of each attack that was swept, from the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dfbench.explain.curves_figure import draw
from dfbench.labels import in_full, short_labels, title, values_of
from dfbench.names import file_name
from dfbench.nauc import AREAS
from dfbench.recordcurves import gaps, vanished, without_curve
from dfbench.store import write_text

METRICS = ("accuracy", "f1_macro")
MOST_ARMS = 7
"""Detectors in one figure: more lines than colours cannot be told apart."""

_PLACE = ("model", "train_data", "data", "split", "attack", "name", "corruption")

Curve = Mapping[str, Any]


def explain(record: Mapping[str, Any], out: Path, notes: list[str]) -> list[Path]:
    """Write a figure ``curves--<attack>.png`` for each attack that was swept, ``curves.csv`` and ``curves-areas.csv``.

    ``curves.csv`` has a row per detector, eps and metric, ``curves-areas.csv`` one per detector and metric: the two
    normalised areas (see :mod:`dfbench.nauc`) and their paired differences from the baseline, with intervals.

    Args:
        record: in the layout of the newest schema.
        out: folder that figures and tables are written to.
        notes: sentences for the user; what was left out is added.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    curves, cells = record["curves"], record["cells"]
    failed = vanished(record, cells, curves)
    notes += [f"curves: none of any defense over {names}, where cells failed" for names in failed]
    if failed and not curves:
        return []
    if not curves:
        notes.append(
            'no curves: they need an attack at two eps or more (--attack "fgsm(eps=[0.001, 0.005])"), in a record of '
            "schema 3: run an older one again"
        )
        return []
    groups: dict[tuple[Any, ...], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((*(curve[key] for key in _PLACE), tuple(curve["eps"])), []).append(curve)
    if len({curve["defense"] for curve in curves}) > MOST_ARMS:
        notes.append(f"curves: the figures show the first {MOST_ARMS} defenses only, curves.csv all of them")
    written = []
    for name, members in zip(_names(list(groups)), groups.values(), strict=True):
        arms = dict.fromkeys(curve["defense"] for curve in members)
        absent = [defense for defense in without_curve(cells, members) if defense not in arms]
        short = short_labels([*arms, *absent], values_of(record))
        missing = list(gaps(cells, members, METRICS, short))
        notes += [f"curves: {told}" for told in missing]
        metrics = [metric for metric in METRICS if any(metric in curve["nauc"] for curve in members)]
        if not metrics:
            notes.append(f"curves: no figure of {name}: no defense has {' or '.join(map(title, METRICS))} at every eps")
            continue
        written.append(out / f"curves--{file_name(name)}.png")
        drawn = {arm: short[arm] for arm in list(arms)[:MOST_ARMS]}
        told = [*missing, *in_full(drawn | {arm: short[arm] for arm in absent})]
        several = bool(record["over_seeds"])
        draw(written[-1], members, drawn, metrics, floors(record, members[0]), told, several=several)
    for file, rows in (("curves.csv", _points(curves)), ("curves-areas.csv", _areas(curves))):
        written.append(out / file)
        write_text(written[-1], pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    return written


def _names(groups: Sequence[tuple[Any, ...]]) -> list[str]:
    """What tells the figures apart: the attack, and of the rest whatever differs."""
    vary = [number for number in range(4) if len({group[number] for group in groups}) > 1]
    names = [
        " ".join([group[5], *([group[6]] if group[6] != "none" else []), *(group[number] for number in vary)])
        for group in groups
    ]
    again = {name for name in names if names.count(name) > 1}
    return [f"{name} {number}" if name in again else name for number, name in enumerate(names, 1)]


def floors(record: Mapping[str, Any], curve: Curve) -> dict[str, dict[str, float]]:
    """By metric, what the two detectors score that always give the same answer, on the samples of a curve.

    Always answering fake, where a share p of the samples is fake, F1 of fake is 2p/(1+p) and F1 of real 0; macro-F1,
    their mean, is p/(1+p).
    """
    keys = ("model", "defense", "train_data", "data", "seed")
    cell = next(
        cell
        for cell in record["cells"]
        if cell["scenario"] == curve["scenarios"][0] and all(cell[key] == curve[key] for key in keys)
    )
    shares = {answer: float(cell["metrics"][f"always_{answer}_accuracy"]) for answer in ("fake", "real")}
    return {
        "accuracy": shares,
        "f1_macro": {answer: share / (1 + share) for answer, share in shares.items()},
    }


def _points(curves: Sequence[Curve]) -> Iterator[dict[str, Any]]:
    for curve in curves:
        for metric in curve["metrics"]:
            points = zip(
                curve["eps"], curve["scenarios"], curve["metrics"][metric], curve["intervals"][metric], strict=True
            )
            for eps, scenario, value, interval in points:
                low, high = interval or (None, None)
                numbers = {"metric": metric, "value": value, "low": low, "high": high}
                yield {**_told(curve), "eps": eps, "scenario": scenario, **numbers}


def _areas(curves: Sequence[Curve]) -> Iterator[dict[str, Any]]:
    for curve in curves:
        for metric in curve["nauc"]:
            row = {**_told(curve), "grid": " ".join(f"{eps:.6g}" for eps in curve["eps"]), "metric": metric}
            for area in AREAS:
                row |= _numbers(area, curve[area].get(metric))
                versus = curve["versus_baseline"]
                row |= _numbers(f"{area}_difference", versus[area].get(metric) if versus else None)
            yield row


def _told(curve: Curve) -> dict[str, Any]:
    return {key: curve[key] for key in (*_PLACE, "defense", "seed", "n")}


def _numbers(name: str, found: Mapping[str, Any] | None) -> dict[str, float | None]:
    low, high = (found["interval"] if found else None) or (None, None)
    return {name: found["value"] if found else None, f"{name}_low": low, f"{name}_high": high}
