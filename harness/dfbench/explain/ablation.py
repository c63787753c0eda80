"""What two parameters of a defense buy: a heat map for each grid of arms, from the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from dfbench.ablation import Grid, grids
from dfbench.explain.ablation_figure import draw
from dfbench.names import file_name
from dfbench.recordcells import by_video, difference, value
from dfbench.store import write_text

METRICS = ("accuracy", "auc")

_PLACE = ("model", "train_data", "data", "split")


def explain(record: Mapping[str, Any], out: Path, notes: list[str]) -> list[Path]:
    """Write ``ablation--<defense>-<metric>.png`` for each grid of two parameters, and ``ablation.csv``.

    Over several trainings the values are means; where samples are frames of videos, those of the videos. A metric that
    no arm has is left out. ``ablation.csv`` has a row per arm, scenario and metric.

    Args:
        record: in the layout of the newest schema.
        out: folder that figures and tables are written to.
        notes: sentences for the user; what was left out is added.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    found = grids(record)
    if not found:
        notes.append("no ablation: the run has no arms that form a grid of two parameters of a defense")
        return []
    entries = [by_video(entry) for entry in record["over_seeds"] or record["cells"] if entry["metrics"]]
    groups = list(dict.fromkeys(tuple(entry[key] for key in _PLACE) for entry in entries))
    vary = [number for number in range(3) if len({group[number] for group in groups}) > 1]
    written, rows = [], []
    for grid, group in product(found, groups):
        ours = [entry for entry in entries if tuple(entry[key] for key in _PLACE) == group]
        for metric in METRICS:
            name = " ".join([grid.defense, *(group[number] for number in vary), metric])
            if all(value(entry, metric) is None for entry in ours if entry["defense"] in grid.arms.values()):
                notes.append(f"ablation: no {name}: no arm of the grid has a value")
                continue
            written.append(out / f"ablation--{file_name(name)}.png")
            draw(written[-1], grid, ours, metric)
            rows += list(_rows(grid, ours, metric))
    if rows:
        written.append(out / "ablation.csv")
        write_text(written[-1], pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    return written


def _rows(grid: Grid, entries: Sequence[Mapping[str, Any]], metric: str) -> Iterator[dict[str, Any]]:
    place = {label: pair for pair, label in grid.arms.items()}
    for entry in entries:
        if entry["defense"] in place:
            x, y = place[entry["defense"]]
            found = entry["metrics"].get(metric)
            gain = difference(entry, metric)
            low, high = gain.get("interval") or (None, None)
            yield {
                **{key: entry[key] for key in (*_PLACE, "scenario", "defense")},
                grid.y: y,
                grid.x: x,
                "metric": metric,
                "level": "video" if entry.get("video") else "sample",
                "n": entry["n"],
                "value": value(entry, metric),
                "sd": found["sd"] if isinstance(found, Mapping) else None,
                "difference": gain.get("value"),
                "difference_low": low,
                "difference_high": high,
            }
