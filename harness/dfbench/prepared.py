"""A prepared data set: face crops in shards beside a manifest, as ``dfbench data prepare`` leaves them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfbench.contracts import SPLITS, Dataset, Progress, Sample, Split
from dfbench.errors import DataError
from dfbench.keys import digest

FORMAT = 1
"""Of the folder; a newer one is refused."""

_IDENTITY = ["id", "label", "video", "manipulation", "source_identity", "target_identity", "split", "sha256"]
_COLUMNS = [*_IDENTITY, "phash", "shard", "row"]
_AGAIN = (
    "run the same `dfbench data prepare --root` command again, which makes what is missing, or copy the folder anew"
)
_HEADER = 128
"""Bytes before the pixels in a file of ``np.save``, for any uint8 array (n, S, S, 3)."""


def fingerprint(preparation: Mapping[str, Any], manifest: pd.DataFrame) -> str:
    """SHA-256 (hex) of what decides a prepared set: how it was made, and the id, label, video, manipulation, people,
    split and pixels of every crop. Where the folder lies and which shard holds what do not count.
    """
    rows = sorted(manifest[_IDENTITY].to_numpy(dtype=object).tolist())
    return digest({"format": FORMAT, "preparation": dict(preparation), "columns": _IDENTITY, "rows": rows})


def shard_bytes(crops: int, side: int) -> int:
    """The size of a shard's file."""
    return _HEADER + crops * side * side * 3


def default_path(name: str) -> Path:
    """Where a prepared data set lies if nothing else is said: ``$DFBENCH_DATA/<name>``, or else ``data/<name>``."""
    return Path(os.environ.get("DFBENCH_DATA") or "data") / name


class PreparedSplit(Split):
    """Crops read from shards on demand: nothing is kept open or in memory.

    A crop's checksum is compared when it is read for the first time, so that no number is ever computed from pixels
    other than those that the fingerprint stands for.

    Args:
        samples: the samples.
        files: for each its shard.
        rows: for each its row there.
        sha256: for each the checksum of its pixels.
        side: of the crops, in pixels.
    """

    def __init__(
        self, samples: Sequence[Sample], files: Sequence[str], rows: Sequence[int], sha256: Sequence[str], side: int
    ) -> None:
        self.samples, self._files, self._rows, self._sha256, self._side = samples, files, rows, sha256, side
        self._compared = bytearray(len(samples))

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> NDArray[Any]:
        """RGB uint8 (S, S, 3); the same for every epoch and seed. Raises DataError where they are damaged."""
        crop = np.empty((self._side, self._side, 3), np.uint8)
        file = self._files[index]
        try:
            with open(file, "rb", buffering=0) as shard:  # noqa: PTH123 - half the time of Path.open()
                shard.seek(_HEADER + self._rows[index] * crop.nbytes)
                complete = shard.readinto(crop.data.cast("B")) == crop.nbytes
        except OSError as error:
            raise DataError(f"{file} cannot be read ({error.strerror}): {_AGAIN}") from None
        if not complete:
            raise DataError(f"{file} is cut short: {_AGAIN}")
        if not self._compared[index]:
            if hashlib.sha256(crop.data).hexdigest() != self._sha256[index]:
                name = self.samples[index].id
                raise DataError(f"{file}: the pixels of {name} are not those that were prepared: delete it; {_AGAIN}")
            self._compared[index] = 1
        return crop


class PreparedSet(Dataset):
    """Base of the data sets that ``dfbench data prepare`` makes; a subclass sets ``name``.

    Args:
        path: the prepared folder; without it ``$DFBENCH_DATA/<name>``, or else ``data/<name>`` where dfbench runs.
    """

    name: ClassVar[str]

    def __init__(self, path: str | None = None) -> None:
        self.path = Path(path) if path else default_path(self.name)
        self._about: dict[str, Any] = {}
        self._manifest = pd.DataFrame()
        self._splits: dict[str, PreparedSplit] = {}

    def prepare(self, cache: str, progress: Progress) -> None:
        """Read the manifest, and check that it is whole and belongs to the shards, by their sizes.

        Raises:
            DataError: nothing is prepared here, or the preparation is unfinished, of another data set, of a newer
                format, or damaged.
        """
        self._about = self._read_about()
        try:
            manifest = pd.read_parquet(self.path / "manifest.parquet", columns=_COLUMNS)
            actual = fingerprint(self._about["preparation"], manifest)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{self.path / 'manifest.parquet'} cannot be read ({error}): {_AGAIN}") from None
        if actual != self._about["fingerprint"]:
            raise DataError(f"the manifest of {self.path} is not the one of its prepared.json: {_AGAIN}")
        self._check_shards(manifest)
        self.video_level = bool(manifest["video"].duplicated().any())
        self._manifest = manifest
        self._splits = {split: self._split(rows) for split in SPLITS if len(rows := manifest[manifest.split == split])}

    @property
    def fingerprint(self) -> str:
        """See :func:`fingerprint`."""
        self._check_prepared()
        return str(self._about["fingerprint"])

    def split(self, name: str) -> Split:
        """``train``, ``val`` or ``test``. Raises DataError where the data set has no such split."""
        self._check_prepared()
        if name not in self._splits:
            cure = ": train on another with --data, and evaluate on this with --eval-data" if name == "train" else ""
            raise DataError(
                f"the data set {self.name!r} in {self.path} has no {name} split, only {', '.join(self._splits)}{cure}"
            )
        return self._splits[name]

    def notes(self) -> list[str]:
        """What its preparation noted: clips and frames that gave no crop, and how splits were made."""
        self._check_prepared()
        return list(self._about["notes"])

    def preparation(self) -> dict[str, Any]:
        """How the crops were made."""
        self._check_prepared()
        return dict(self._about["preparation"])

    def verify(self, progress: Progress) -> list[str]:
        """Read every crop, and name those whose pixels no longer have their checksum."""
        self._check_prepared()
        shards = [rows for _, rows in self._manifest.groupby("shard")]
        damaged: list[str] = []
        with ThreadPoolExecutor() as pool, progress.task("verify", len(self._manifest)) as advance:
            for rows, found in zip(shards, pool.map(self._damaged, shards), strict=True):
                damaged += found
                advance(len(rows))
        return damaged

    def _damaged(self, rows: pd.DataFrame) -> list[str]:
        """Of one shard."""
        split, damaged = self._split(rows), []
        for index in range(len(rows)):
            try:
                split.pixels(index)
            except DataError as error:
                damaged.append(str(error))
        return damaged

    def _split(self, rows: pd.DataFrame) -> PreparedSplit:
        names = ["id", "label", "video", "manipulation", "target_identity", "source_identity", "phash"]
        samples = [
            Sample(name, label, video, tuple(dict.fromkeys(p for p in (target, source) if p)), manipulation, phash)
            for name, label, video, manipulation, target, source, phash in zip(
                *(rows[column].tolist() for column in names), strict=True
            )
        ]
        places = {shard: str(self.path / shard) for shard in rows["shard"].unique()}
        files = [places[shard] for shard in rows["shard"]]
        return PreparedSplit(samples, files, rows["row"].tolist(), rows["sha256"].tolist(), self._about["size"])

    def _read_about(self) -> dict[str, Any]:
        file = self.path / "prepared.json"
        if not file.is_file():
            if (self.path / "shards").is_dir():
                raise DataError(
                    f"the preparation of {self.path} is not finished: run the same `dfbench data prepare` command "
                    "again to finish"
                )
            raise DataError(
                f"the data set {self.name!r} is not prepared in {self.path}: run `dfbench data prepare {self.name} "
                f"--root DOWNLOAD --out {self.path}`, or name the folder that holds it: {self.name}(path=...)"
            )
        try:
            about: dict[str, Any] = dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{file} cannot be read ({error}): {_AGAIN}") from None
        if about.get("format", 0) > FORMAT:
            raise DataError(
                f"{self.path} has format {about['format']}, newer than {FORMAT}, which this dfbench reads: upgrade it"
            )
        if lacking := {"format", "dataset", "size", "preparation", "fingerprint", "notes"} - set(about):
            raise DataError(f"{file} lacks {', '.join(sorted(lacking))}: {_AGAIN}")
        if about["dataset"] != self.name:
            held = about["dataset"]
            raise DataError(f"{self.path} holds the data set {held!r}, not {self.name!r}: use {held}(path={self.path})")
        return about

    def _check_shards(self, manifest: pd.DataFrame) -> None:
        size = self._about["size"]
        wrong = []
        for shard, last in manifest.groupby("shard")["row"].max().items():
            file = self.path / str(shard)
            if not file.is_file():
                wrong.append(f"{shard} is missing")
            elif file.stat().st_size != shard_bytes(int(last) + 1, size):
                wrong.append(f"{shard} has a wrong size")
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise DataError(f"{self.path} is damaged: {', '.join(wrong[:3])}{more}: {_AGAIN}")

    def _check_prepared(self) -> None:
        if not self._splits:
            raise DataError(f"{self.path} is not read yet: call prepare(cache, progress) first")
