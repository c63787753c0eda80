"""A run's folder, opened for audit: the record as it was written, its scores cell by cell, validation scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from dfbench.errors import UsageError
from dfbench.recordfile import load_record

BASE = ("id", "video", "identities", "manipulation", "label", "logit_real", "logit_fake", "linf", "l2")
"""Columns that every cell's scores have."""

SCORE = "score"

_NUMBERS = ("label", SCORE, "worst_score", "logit_real", "logit_fake", "linf", "l2")


@dataclass
class Opened:
    """What an audit works on.

    Args:
        path: the folder.
        record: in the newest layout.
        version: the schema that the record was written in.
        frames: by the number of a cell, its scores, a row per sample, without columns that only other cells have.
        validation: clean scores of the validation split, where they are kept.
    """

    path: Path
    record: dict[str, Any]
    version: int
    frames: dict[int, pd.DataFrame]
    validation: pd.DataFrame | None = None
    places: dict[int, str] = field(default_factory=dict)

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The record's cells."""
        return list(self.record["cells"])

    def scored(self) -> Iterator[tuple[int, dict[str, Any], pd.DataFrame]]:
        """The cells that have scores: number, entry, scores."""
        for number, cell in enumerate(self.cells):
            if number in self.frames:
                yield number, cell, self.frames[number]

    def evaluated(self, name: str) -> dict[str, Any]:
        """What the record tells of an evaluated data set."""
        return next((dict(one) for one in self.record["eval_data"] if one["name"] == name), {})


def open_run(path: Path) -> Opened:
    """Open a run's folder, or the folder of the ``record.json`` that is given.

    Raises:
        UsageError: there is no record or no scores beside it, or they cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    record = load_record(path)
    version = int(json.loads((path / "record.json" if path.is_dir() else path).read_text("utf-8"))["schema_version"])
    validation = folder / "validation.parquet"
    opened = Opened(
        folder,
        record,
        version,
        _frames(_table(folder / "scores.parquet", ("cell", *BASE))),
        _table(validation, ("id", "label", "score")) if validation.is_file() else None,
    )
    opened.places = _places(opened.cells)
    return opened


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        found = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise UsageError(
            f"no scores at {path}: an audit derives the numbers of a record from the scores beside it; give the output "
            "folder of a run as it was written"
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as Parquet ({error}): restore it, or run again") from error
    if missing := [name for name in columns if name not in found.columns]:
        raise UsageError(f"{path} lacks the column {missing[0]!r}: it is not what a run wrote")
    if texts := [name for name in _NUMBERS if name in found.columns and not is_numeric_dtype(found[name])]:
        raise UsageError(f"{path}: the column {texts[0]!r} holds no numbers: it is not what a run wrote")
    return found


def _frames(scores: pd.DataFrame) -> dict[int, pd.DataFrame]:
    frames = {}
    for number, rows in scores.groupby("cell", sort=True):
        rows = rows.reset_index(drop=True)
        # A column that only other cells have is empty here; where all scores are NaN, that is a finding.
        kept = rows.columns[rows.notna().any()].union([*BASE, *_scores(rows)])
        frames[int(str(number))] = rows[[name for name in rows.columns if name in kept]].infer_objects()
    return frames


def _scores(rows: pd.DataFrame) -> list[str]:
    """``score``, where no other column tells what the samples were taken for: then it belongs here, and is damaged."""
    return [] if "worst_score" in rows and rows["worst_score"].notna().any() else [SCORE]


def _places(cells: list[dict[str, Any]]) -> dict[int, str]:
    """What findings call each cell: no more than tells cells apart."""
    told = [key for key in ("model", "train_data", "data", "seed") if len({cell[key] for cell in cells}) > 1]
    return {
        number: " | ".join(
            [cell["scenario"], cell["defense"], *(f"seed {cell[k]}" if k == "seed" else str(cell[k]) for k in told)]
        )
        for number, cell in enumerate(cells)
    }
