"""The table of attention under attack."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.labels import in_full
from dfbench.recordcells import difference
from dfbench.tables import Column, Entry, Row, Table
from dfbench_tables.entries import EMPTY, FAILED, number, signed
from dfbench_tables.marking import key, marked, rule
from dfbench_tables.reading import Group, cautions, failed, groups, interval_note, origin, seed_notes

PEARSON, IINC, IOU = "CAM Pearson", "IINC, lower is better", "top-10 IoU"

_LABELS = (Column("scenario", "scenario"), Column("defense", "defense"))

COLUMNS = (
    ("cam_pearson", PEARSON, "clean map", "Pearson"),
    ("cam_pearson_random", PEARSON, "random map", ""),
    ("cam_pearson_shuffled", PEARSON, "other image", "floor"),
    ("cam_pearson_flipped", PEARSON, "flipped", ""),
    ("cam_pearson_unflipped", PEARSON, "unflipped", ""),
    ("iinc", IINC, "clean map", "IINC"),
    ("iinc_random", IINC, "random map", ""),
    ("iinc_shuffled", IINC, "other image", ""),
    ("iinc_consistency", "", "IINC consistency", ""),
    ("cam_top10_iou", IOU, "clean map", ""),
    ("cam_top10_iou_random", IOU, "random map", ""),
    ("cam_top10_iou_shuffled", IOU, "other image", ""),
    ("cam_degenerate", "", "empty maps", ""),
    ("flip_rate", "", "flip rate", "flip rate"),
)
"""Metrics, what several of them are under, what they are called there, and on a narrow terminal."""

_DIFFERENCE = 5
"""The place of the difference from the baseline, after all of Pearson."""

_CAPTION = (
    "Does the detector look where it looked on the clean image? Grad-CAM maps on the network's own grid, always of the "
    "class that the detector predicts on the clean image, also where it predicts another one afterwards. Under 'clean "
    "map' that of the changed image against that of the clean one. The floors are the same against a map that has "
    "nothing to do with the image: a random one, and the clean map of another image of the split. A value that does "
    "not clear both floors shows no consistency."
)

_NOTE = (
    "CAM Pearson: correlation over the cells, of samples none of whose maps is empty or constant; flipped and "
    "unflipped: of those whose predicted class changed, and of the others. IINC: Inverse Intersection Non-Containment, "
    "0 for equal maps. IINC consistency is 1 - IINC, higher is better: what the reference paper tabulates under the "
    'name "IINC". Top-10 IoU: overlap of the ten strongest cells; n/a on grids of no more cells. Empty maps: share of '
    "samples whose map is zero everywhere, before or after; IINC takes two of them for equal. Flip rate: share of "
    "samples whose predicted class is another than on the clean image. Samples are counted, never videos."
)


class Attention(TableTemplate):
    """A row for each attacked or corrupted scenario and defense: how alike the Grad-CAM maps of clean and changed
    images are, by three measures with their floors, and the paired difference from the baseline in CAM Pearson, bold
    where its interval excludes 0.

    One table for each model, training set and evaluated set; over several trainings mean and standard deviation. Empty
    where the run did not measure attention (``--cam``).
    """

    needs = "attention under attack (--cam, in a file: cam = true)"

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        return [_table(group) for group in groups(record) if any(map(_measured, group.entries))]


def _measured(entry: Mapping[str, Any]) -> bool:
    return "flip_rate" in entry["metrics"]


def _changed(entry: Mapping[str, Any]) -> bool:
    """Whether anything happens to the images."""
    return (entry["attack"], entry["corruption"]) != ("none", "none")


def _table(group: Group) -> Table:
    entries = [entry for entry in group.entries if _measured(entry) or (failed(entry) and _changed(entry))]
    over = bool(group.record["over_seeds"])
    suffix = {metric: " ± SD" if over else " [95%]" if metric == "cam_pearson" else "" for metric, *_ in COLUMNS}
    columns = [
        Column(name + suffix[metric], group=above, facts={"metric": metric, "quantity": "value"}, brief=brief)
        for metric, above, name, brief in COLUMNS
    ]
    facts = {"metric": "cam_pearson", "quantity": "difference from baseline"}
    columns.insert(_DIFFERENCE, Column("- baseline [95%]", group=PEARSON, facts=facts, brief="gain"))
    short, clear = group.short, marked(entries, "cam_pearson")
    sections = tuple(
        tuple(_row(entry, short, bold=key(entry) in clear) for entry in rows)
        for _, rows in groupby(entries, lambda entry: entry["scenario"])
    )
    counted = next(entry["n"] for entry in entries if _measured(entry))
    table = Table(
        group.name,
        (*_LABELS, *columns),
        sections,
        (f"{origin(group)}, n = {counted}. {_CAPTION}", *cautions(group)),
        (
            *in_full(short),
            _NOTE,
            interval_note(
                group.record,
                f"differences are paired, and bold where {rule(entries, ['cam_pearson'])}",
            ),
            *seed_notes(group),
        ),
        group.about(),
        part="Attention under attack",
    )
    place = len(_LABELS) + _DIFFERENCE
    compared = any(row[place] != EMPTY for row in table.rows)  # without a defended arm there is nothing to compare
    return table if compared else table.take([i for i in range(len(table.columns)) if i != place])


def _row(entry: Mapping[str, Any], short: Mapping[str, str], *, bold: bool) -> Row:
    named = entry["scenario"] + (f" ({entry['note']})" if entry["note"] else "")
    labels = (Entry(named), Entry(short[entry["defense"]], name=entry["defense"]))
    if failed(entry):
        return (*labels, FAILED, *[EMPTY] * len(COLUMNS))
    numbers = [number(entry, metric, interval=metric == "cam_pearson") for metric, *_ in COLUMNS]
    numbers.insert(_DIFFERENCE, signed(difference(entry, "cam_pearson"), entry["n"], bold=bold) or EMPTY)
    return (*labels, *numbers)
