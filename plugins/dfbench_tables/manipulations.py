"""The table by manipulation."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from dfbench.contracts import TableTemplate
from dfbench.labels import in_full
from dfbench.tables import Column, Entry, Table
from dfbench_tables.entries import WORST, WORST_NOTE, heading, is_worst_case, number
from dfbench_tables.reading import cautions, groups
from dfbench_tables.results import SCENARIO, scenario

COLUMNS = (("balanced_accuracy", False), ("auc", True))
"""Metrics, and whether their interval is shown."""


class Manipulations(TableTemplate):
    """The fakes of each manipulation against all real samples (by video where samples are frames), a row for each
    scenario and defense; of several trainings, for each of them.

    Empty where the data set has one kind of fakes only.
    """

    needs = "fakes of several manipulations"

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        several = bool(record["over_seeds"])
        worst = any(map(is_worst_case, record["cells"]))
        metrics = (*COLUMNS, (WORST, True)) if worst else COLUMNS
        columns = (
            *SCENARIO,
            *([Column("seed", "seed")] if several else []),
            Column("manipulation", "manipulation"),
            Column("n", facts={"metric": "n", "quantity": "value"}, brief=""),
            *(
                Column(heading(metric) + (" [95%]" if interval else ""), facts={"metric": metric, "quantity": "value"})
                for metric, interval in metrics
            ),
        )
        tables = []
        for group in groups({**record, "over_seeds": []}):
            sections, short = [], group.short
            for _, cells in groupby(group.entries, lambda cell: cell["scenario"]):
                rows = [
                    (
                        *scenario(cell, short),
                        *([Entry(str(cell["seed"]))] if several else []),
                        Entry(name or "unnamed"),
                        Entry(str(part["n"]), value=part["n"]),
                        *(number(part, metric, interval=interval) for metric, interval in metrics),
                    )
                    for cell in cells
                    for name, part in (cell.get("manipulations") or {}).items()
                ]
                sections += [tuple(rows)] if rows else []
            if sections:
                unit = "video" if group.has_videos else "sample"
                captions = (
                    f"The fakes of each manipulation against all real {unit}s; n counts both.",
                    *cautions(group),
                )
                about = {**group.about(), "level": unit}
                tables.append(
                    Table(
                        group.name, columns, tuple(sections), captions,
                        (*in_full(short), *([WORST_NOTE] if worst else [])), about,
                        part="By manipulation", aside="each manipulation by itself",
                    )
                )  # fmt: skip
        return tables
