"""``manifest``: images listed in a table."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dfbench.contracts import FAKE, REAL, SPLITS, Sample
from dfbench.errors import DataError
from dfbench_data.entries import Entry, few
from dfbench_data.imageset import ImageSet

LABELS = {"0": REAL, "real": REAL, "0.0": REAL, "1": FAKE, "fake": FAKE, "1.0": FAKE}
NEEDED = ("path", "label")
OPTIONAL = ("split", "id", "video", "source_identity", "target_identity", "manipulation")


class Manifest(ImageSet):
    """A CSV or Parquet table with one row for each image.

    Columns: ``path``, relative to the table's folder or absolute; ``label``, 0 or real, 1 or fake; and, where known,
    ``split`` (train, val, test), ``id`` (default: the path), ``video`` (default: the id), ``source_identity``,
    ``target_identity`` (who is in the image; for a real one either), ``manipulation`` (default for fakes: ``fake``).
    Empty cells are unknown; all rows have a split, or none has. Other columns are ignored, which ``notes()`` tells; but
    a name close to one of these is an error, lest a misspelt identity let people leak from one split to another.
    Scores are averaged over videos, too, where ``video`` is given for more than one image of some video.

    Args:
        path: the ``.csv`` or ``.parquet`` file.
        size: side in pixels that images are cropped and resized to.
    """

    def __init__(self, path: str, size: int = 128) -> None:
        super().__init__(path, size)
        self._ignored: list[str] = []

    def entries(self) -> list[Entry]:
        """One entry for each row."""
        rows = self._rows()
        files = [Path(os.path.normpath(self.path.parent.absolute() / row["path"])) for row in rows]
        absent = [str(file) for file in files if not file.is_file()]
        if absent:
            raise DataError(f"{self.path} lists {len(absent)} files that do not exist: {few(absent)}: mend the paths")
        unset = [row["path"] for row in rows if not row.get("split")]
        if 0 < len(unset) < len(rows):
            raise DataError(
                f"{self.path}: {len(unset)} rows have no split: {few(unset)}: give it to all rows or to none"
            )
        videos = [row["video"] for row in rows if row.get("video")]
        self.video_level = len(set(videos)) < len(videos)
        names = _relative(files, self.path.parent.absolute())
        return [self._entry(row, file, name) for row, file, name in zip(rows, files, names, strict=True)]

    def hints(self, entries: Sequence[Entry]) -> list[str]:
        """The columns that were ignored."""
        return [f"ignored columns: {', '.join(self._ignored)}"] if self._ignored else []

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            raise DataError(f"{self.path} is not a file: give a .csv or .parquet file")
        if self.path.suffix.lower() not in (".csv", ".parquet"):
            raise DataError(f"{self.path} is neither .csv nor .parquet: save the table as one of these")
        try:
            if self.path.suffix.lower() == ".csv":
                table = pd.read_csv(self.path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            else:
                table = pd.read_parquet(self.path)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} cannot be read as a table ({error}): save it again") from None
        lacking = [name for name in NEEDED if name not in table.columns]
        if lacking:
            raise DataError(f"{self.path} has no column {' and '.join(lacking)}: add it")
        self._ignored = [str(name) for name in table.columns if name not in NEEDED + OPTIONAL]
        for name in self._ignored:
            meant = difflib.get_close_matches(name, NEEDED + OPTIONAL, n=1, cutoff=0.8)
            if meant:
                raise DataError(f"{self.path} has a column {name!r}: did you mean {meant[0]!r}? Rename or remove it")
        table = table.astype(object).where(table.notna(), "")
        return [{str(k): str(v).strip() for k, v in row.items()} for row in table.to_dict("records")]

    def _entry(self, row: Mapping[str, str], file: Path, name: str) -> Entry:
        if row["label"].lower() not in LABELS:
            raise DataError(f"{self.path}: {row['path']} has label {row['label']!r}: use 0 or real, 1 or fake")
        if row.get("split", "") not in ("", *SPLITS):
            raise DataError(f"{self.path}: {row['path']} has split {row['split']!r}: use {', '.join(SPLITS)}")
        label = LABELS[row["label"].lower()]
        identity = row.get("id") or name
        people = dict.fromkeys(row.get(column, "") for column in ("target_identity", "source_identity"))
        sample = Sample(
            id=identity,
            label=label,
            video=row.get("video") or identity,
            identities=tuple(person for person in people if person),
            manipulation=(row.get("manipulation") or "fake") if label == FAKE else "",
        )
        return Entry(file, sample, row.get("split", ""))


def _relative(files: list[Path], folder: Path) -> list[str]:
    """Paths that stay the same when the data move: from the manifest's folder, or from all files' common folder."""
    if not all(file.is_relative_to(folder) for file in files):
        folder = Path(os.path.commonpath([file.parent for file in files]))
    return [file.relative_to(folder).as_posix() for file in files]
