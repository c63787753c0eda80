"""Face crops in the cache, kept by the content of their photographs: what was cropped once is not cropped again."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from dfbench.contracts import Progress
from dfbench.errors import DataError
from dfbench.images import ImageError, open_rgb
from dfbench.phash import phash
from dfbench.store import write_atomic, write_text
from dfbench_data import faces
from dfbench_data.images import MIN_SIDE
from dfbench_data.landmarks import Array, usable

PHOTOGRAPHS = 64
"""A part holds about half to all of so many; a stop loses at most one unfinished part for each core."""


_HEADER = 128
"""Bytes before the pixels in a file of ``np.save``, for any uint8 array (n, views, S, S, 3)."""


@dataclass(frozen=True)
class Views:
    """The crops of one face, read when they are asked for.

    Nothing is kept open or in memory: a mapped file would hold a descriptor, and 50,000 photographs make 1,024 parts.
    """

    file: Path
    row: int
    size: int

    def __len__(self) -> int:
        """How many views there are of a face."""
        return len(faces.VIEWS)

    def __getitem__(self, view: int) -> Array:
        """One crop, RGB uint8 (S, S, 3). Raises DataError where the cache was damaged meanwhile."""
        if view >= len(self):
            raise IndexError(view)
        shape = (self.size, self.size, 3)
        try:
            offset = _HEADER + (self.row * len(self) + view) * math.prod(shape)
            return np.fromfile(self.file, np.uint8, math.prod(shape), offset=offset).reshape(shape)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.file} cannot be read ({error}): run again, which makes it anew") from None


@dataclass(frozen=True)
class Cropped:
    """What a photograph gave.

    Args:
        reason: why it gave no crops; empty where it did.
        crops: the views of its face, where there is one.
        landmarks: (views, 5, 2), in pixels of the crops.
        phash: of the first view.
        pixels: SHA-256 (hex) of the crops.
    """

    reason: str
    crops: Views
    landmarks: Array
    phash: str
    pixels: str


def crop_all(files: Mapping[str, Path], size: int, cache: Path, used_by: str, progress: Progress) -> dict[str, Cropped]:
    """The face crops of photographs, made in threads where the cache does not hold them yet.

    Photographs are shared out over parts by the first bits of their hashes, so that another photograph in the folder
    usually touches one part alone (all of them where the number of parts doubles). A part is a file of crops and one of
    JSON, which comes last: where it is, the part is done.

    Args:
        files: photographs by the SHA-256 (hex) of their content.
        size: side of the crops, in pixels.
        cache: the folder of all prepared data.
        used_by: the data set, for messages.
        progress: where progress is shown.

    Raises:
        DataError: a photograph changed while it was read.
        MissingDependency: MTCNN is not installed.
        StorageError: the cache cannot be written, or the disk is full.
    """
    bits = max(0, (len(files) - 1) // PHOTOGRAPHS).bit_length()
    shared_out: dict[int, list[str]] = defaultdict(list)
    for content in sorted(files):
        shared_out[int(content[:16], 16) >> (64 - bits)].append(content)
    folder = cache / f"faces-{faces.VERSION}-{size}"
    paths = {folder / hashlib.sha256("".join(part).encode()).hexdigest()[:20]: part for part in shared_out.values()}
    loaded = {path: _load(path, part, size) for path, part in paths.items()}
    missing = [path for path, part in loaded.items() if part is None]
    if missing:
        _make(missing, paths, files, size, used_by, progress)
    cropped: dict[str, Cropped] = {}
    for path, part in loaded.items():
        done = part or _load(path, paths[path], size)
        if done is None:
            raise DataError(f"{path} vanished while in use: run again")
        cropped |= done
    return cropped


def _load(path: Path, contents: list[str], size: int) -> dict[str, Cropped] | None:
    """A part that is done; None where it is not there, or is damaged: to be made."""
    file = path.with_suffix(".npy")
    try:
        rows = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        whole = file.stat().st_size == _HEADER + _found(rows) * len(faces.VIEWS) * size * size * 3
        if len(rows) != len(contents) or not whole:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    place = count()
    return {
        content: Cropped(
            row["reason"],
            Views(file, -1 if row["reason"] else next(place), size),
            np.array(row["landmarks"]),
            row["phash"],
            row["pixels"],
        )
        for content, row in zip(contents, rows, strict=True)
    }


def _found(rows: list[dict[str, Any]]) -> int:
    return sum(not row["reason"] for row in rows)


def _make(
    missing: list[Path],
    paths: Mapping[Path, list[str]],
    files: Mapping[str, Path],
    size: int,
    used_by: str,
    progress: Progress,
) -> None:
    mtcnn = faces.network(used_by)

    def work(path: Path) -> list[dict[str, Any]]:
        outcomes = [_crop(mtcnn, content, files[content], size) for content in paths[path]]
        stack = np.array([crops for _, crops in outcomes if crops is not None], np.uint8)
        rows = [row for row, _ in outcomes]
        stack = stack.reshape(_found(rows), len(faces.VIEWS), size, size, 3)
        write_atomic(path.with_suffix(".npy"), lambda temporary: _save(temporary, stack))
        write_text(path.with_suffix(".json"), json.dumps(rows))
        return rows

    total = sum(map(len, paths.values()))
    without = 0
    with faces.one_thread(), progress.task("find faces", total) as advance:
        before = total - sum(len(paths[path]) for path in missing)
        advance(before, f"{before:,} done before" if before else "")
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            for task in as_completed([pool.submit(work, path) for path in missing]):
                rows = task.result()
                without += len(rows) - _found(rows)
                advance(len(rows), f"{without:,} without" if without else "")
        finally:
            pool.shutdown(cancel_futures=True)


def _save(path: Path, array: Array) -> None:
    with path.open("wb") as file:  # np.save() appends a suffix to a name that has none of its own
        np.save(file, array)


def _crop(mtcnn: Any, content: str, file: Path, size: int) -> tuple[dict[str, Any], Array | None]:
    """What is kept of a photograph as plain data, and its crops (views, size, size, 3), or None with a reason."""
    encoded = file.read_bytes()
    if hashlib.sha256(encoded).hexdigest() != content:
        raise DataError(f"{file} changed while it was read: run again when nothing writes there")
    try:
        image = open_rgb(encoded)
    except ImageError as error:
        return _row(str(error)), None
    if min(image.size) < MIN_SIDE:
        return _row(f"smaller than {MIN_SIDE} pixels: {image.width}x{image.height}"), None
    face = faces.detect(mtcnn, image)
    if face is None:
        return _row("no face found"), None
    if not usable(face.landmarks):
        return _row("eyes, nose and mouth cannot be told apart"), None
    views = [faces.crop(image, face, size, view) for view in faces.VIEWS]
    crops = np.stack([pixels for pixels, _ in views])
    kept = {
        "reason": "",
        "landmarks": [points.tolist() for _, points in views],
        "phash": phash(crops[0]),
        "pixels": hashlib.sha256(crops.data).hexdigest(),
    }
    return kept, crops


def _row(reason: str) -> dict[str, Any]:
    return {"reason": reason, "landmarks": [], "phash": "", "pixels": ""}
