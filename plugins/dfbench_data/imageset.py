"""A data set of image files with labels: what ``folder`` and ``manifest`` have in common."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import SPLITS, Dataset, Progress, Split
from dfbench.errors import DataError
from dfbench.images import ImageError
from dfbench_data import store
from dfbench_data.entries import Entry, check_contents, check_samples, check_splits, few
from dfbench_data.images import decode
from dfbench_data.splits import ArraySplit
from dfbench_data.splitting import complete_splits

VERSION = 1
"""Changes whenever the same files give other pixels, splits or samples."""


class ImageSet(Dataset):
    """Images from files, decoded once to RGB uint8 (size, size, 3) and kept in the cache, keyed by their content.

    Splits that the user does not give are made from whole groups (identities, videos, groups, equal files): all three
    in the shares 70/10/20 % where none is given, else val and test out of train where they are absent.
    """

    def __init__(self, path: str, size: int) -> None:
        self.path, self.size = Path(path), size
        self._fingerprint = ""
        self._notes: list[str] = []
        self._splits: dict[str, Split] = {}

    @abstractmethod
    def entries(self) -> list[Entry]:
        """The images; their ids are unique and do not depend on where the data lie. Raises DataError."""

    def hints(self, entries: Sequence[Entry]) -> list[str]:
        """What a reader must know about these entries, whose splits are assigned."""
        return []

    def prepare(self, cache: str, progress: Progress) -> None:
        """Check and decode every image, or load them where the same content was prepared before.

        Raises:
            DataError: missing, empty, one class only, or unusable images.
            StorageError: the cache cannot be written, or is damaged.
        """
        entries = sorted(self.entries(), key=lambda entry: entry.sample.id)
        check_samples(self.path, entries)
        with ThreadPoolExecutor() as pool, progress.task("read", len(entries)) as advance:
            hashes = []
            for digest in pool.map(_hash, entries):
                hashes.append(digest)
                advance(1)
        check_contents(self.path, entries, hashes)
        entries, notes = complete_splits(self.path, entries, hashes)
        check_splits(self.path, entries)
        rows = [{**vars(entry.sample), "split": entry.split} for entry in entries]
        folder = Path(cache) / f"images-{_digest(VERSION, self.size, rows, hashes)[:16]}"
        loaded = store.load(folder)
        if loaded is None:
            images = self._decode(entries, progress)
            pixels = hashlib.sha256(images.data).hexdigest()
            store.save(folder, {"images": images}, {"fingerprint": _digest(VERSION, rows, pixels)})
            loaded = store.load(folder)
        if loaded is None:
            raise DataError(f"the prepared data in {folder} vanished while in use: run again")
        arrays, meta = loaded
        self._fingerprint = meta["fingerprint"]
        self._notes = notes + self.hints(entries) + _format_hint(entries)
        self._splits = {}
        for split in SPLITS:
            chosen = [index for index, entry in enumerate(entries) if entry.split == split]
            if chosen:
                self._splits[split] = ArraySplit([entries[i].sample for i in chosen], arrays["images"], chosen)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of pixels, labels, splits and everything else known of the samples; the place does not matter."""
        self._check_prepared()
        return self._fingerprint

    def split(self, name: str) -> Split:
        """``train``, ``val`` or ``test``. Raises DataError where the data have no such split."""
        self._check_prepared()
        if name not in self._splits:
            raise DataError(f"{self.path} has no {name} split, only {' and '.join(self._splits)}: add {name} images")
        return self._splits[name]

    def notes(self) -> list[str]:
        """How splits were made, and signs that the data may be easier than they look."""
        return list(self._notes)

    def _check_prepared(self) -> None:
        if not self._splits:
            raise DataError(f"{self.path} is not prepared yet: call prepare(cache, progress) first")

    def _decode(self, entries: Sequence[Entry], progress: Progress) -> NDArray[Any]:
        images = np.empty((len(entries), self.size, self.size, 3), np.uint8)
        bad: list[str] = []

        def one(index: int) -> str:
            try:
                images[index] = decode(entries[index].path.read_bytes(), self.size)
            except ImageError as error:
                return f"{entries[index].path} ({error})"
            return ""

        with ThreadPoolExecutor() as pool, progress.task("images", len(entries)) as advance:
            for reason in pool.map(one, range(len(entries))):
                bad += [reason] if reason else []
                advance(1)
        if bad:
            raise DataError(f"{len(bad)} of {len(entries)} images cannot be used: {few(bad)}: replace or remove them")
        return images


def _hash(entry: Entry) -> str:
    try:
        return hashlib.sha256(entry.path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{entry.path} cannot be read ({error.strerror}): mend or remove it") from None


def _format_hint(entries: Sequence[Entry]) -> list[str]:
    formats = [{e.path.suffix.lower() for e in entries if e.sample.label == label} for label in (0, 1)]
    if formats[0] & formats[1]:
        return []
    real, fake = (" and ".join(sorted(suffixes)) for suffixes in formats)
    return [f"all real images are {real} and all fake ones {fake}: a detector may learn the file format"]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
