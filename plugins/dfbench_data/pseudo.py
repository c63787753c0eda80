"""``pseudo-fakes``: a forgery task made of any folder of real faces."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dfbench.contracts import SPLITS, Dataset, Progress, Split
from dfbench.errors import DataError, MissingDependency, UsageError
from dfbench.rng import derive_seed
from dfbench_data import faces
from dfbench_data.entries import few
from dfbench_data.folder import guess_video
from dfbench_data.grouping import SHARES
from dfbench_data.images import SUFFIXES

NAME = "pseudo-fakes"
MIN_PEOPLE = 10
VERSION = 1
"""Changes whenever the same photographs give other splits or samples."""


class PseudoFakes(Dataset):
    """Face crops of the people in a folder, real and faked, nobody in two splits.

    Faces are found and cropped, and fakes made of them, as in ``mini``: landmark-aligned swaps with another person of
    the same split, and self-blended images (Shiohara and Yamasaki, CVPR 2022). Each face gives four fixed samples in
    val and test, both crops as real images, one of them swapped, the other self-blended, and in training pairs of a
    real crop and a fake that is drawn anew for each seed and epoch. Outside of its mask a fake equals its photograph
    bit for bit, so that no trace of a file format or of a resampling tells the classes apart.

    A person is known by the sub-folder that an image lies in, else by the image's name without its last number
    (``Ann_Lee_0001.jpg`` shows ``Ann_Lee``). People are put into train, val and test (70, 10 and 20 %) by a hash of
    their name. Images that show no usable face, cannot be read, or show what another one shows, are left out; the
    notes count and name them. A preparation that was interrupted goes on where it stopped.

    Args:
        path: the folder; sub-folders are searched, hidden files passed over.
        size: side of the crops, in pixels, 96 to 256.
        train_size: training samples per epoch, an even number; 0 for four of each training face: both of its crops,
            each beside a fake of it.
    """

    def __init__(self, path: str, size: int = 128, train_size: int = 0) -> None:
        if train_size % 2:
            raise UsageError(f"{NAME}(train_size={train_size}): must be even, half of it real and half fake")
        self.path, self.size, self.train_size = Path(path), size, train_size
        self._fingerprint = ""
        self._notes: list[str] = []
        self._splits: dict[str, Split] = {}

    def prepare(self, cache: str, progress: Progress) -> None:
        """Find and crop the faces (about a tenth of a second each), or take them from the cache.

        Raises:
            DataError: no folder, no images, or too few people.
            MissingDependency: MTCNN or OpenCV is not installed.
            StorageError: the cache cannot be written, or the disk is full.
        """
        try:
            from dfbench_data import fakes, parts, people
            from dfbench_data.duplicates import twins
        except ModuleNotFoundError as error:
            if error.name != "cv2":
                raise
            raise MissingDependency(
                f"the data set {NAME!r} needs OpenCV, which is not installed: pip install opencv-python-headless"
            ) from None
        files, left_out = self._files(progress)
        cropped = parts.crop_all({content: self.path / name for name, content in files.items()}, self.size,
                                 Path(cache), NAME, progress)  # fmt: skip
        for name, content in files.items():
            if reason := cropped[content].reason:
                left_out[reason].append(name)
        names = [name for name, content in files.items() if not cropped[content].reason]
        found = [cropped[files[name]] for name in names]
        doubles = twins([one.phash for one in found], [one.crops[0] for one in found], progress) if found else {}
        for double, first in doubles.items():
            left_out["shows the same picture as another one"].append(f"{names[double]} ({names[first]})")
        kept = [number for number in range(len(names)) if number not in doubles]
        who = {names[number]: person_of(names[number]) for number in kept}
        splits = self._assign(sorted(set(who.values())))
        self._splits = {}
        for split in SPLITS:
            chosen = [number for number in kept if splits[who[names[number]]] == split]
            one = people.Faces(
                [names[number] for number in chosen],
                [found[number].crops for number in chosen],
                np.stack([found[number].landmarks for number in chosen]),
                [who[names[number]] for number in chosen],
            )
            size = self.train_size or 4 * len(chosen)
            self._splits[split] = (
                people.TrainSplit(NAME, one, size) if split == "train" else people.FixedSplit(NAME, split, one)
            )
        rows = [(names[number], who[names[number]], found[number].pixels) for number in kept]
        landmarks = hashlib.sha256(np.stack([found[number].landmarks for number in kept]).tobytes()).hexdigest()
        self._fingerprint = _digest(VERSION, fakes.VERSION, faces.VERSION, self.size, self.train_size, rows, landmarks)
        counts = ", ".join(f"{list(splits.values()).count(split)} {split}" for split in SPLITS)
        self._notes = [f"{len(some)} images left out: {reason}: {few(some)}" for reason, some in left_out.items()]
        self._notes.append(f"people: {counts}; made of {len(kept)} photographs")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of crops, landmarks, names, people, ``train_size`` and the version of the fake generator."""
        self._check_prepared()
        return self._fingerprint

    def split(self, name: str) -> Split:
        """``train``, ``val`` or ``test``."""
        self._check_prepared()
        return self._splits[name]

    def notes(self) -> list[str]:
        """Photographs left out and why, and the number of people in each split."""
        return list(self._notes)

    def _check_prepared(self) -> None:
        if not self._splits:
            raise DataError(f"{self.path} is not prepared yet: call prepare(cache, progress) first")

    def _files(self, progress: Progress) -> tuple[dict[str, str], dict[str, list[str]]]:
        """The hash of each image by its path within the folder, one of each content; and those left out, by reason."""
        if not self.path.is_dir():
            raise DataError(f"{self.path} is not a folder: give a folder of photographs of real faces")
        within = [file.relative_to(self.path) for file in sorted(self.path.rglob("*")) if file.is_file()]
        within = [f for f in within if f.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in f.parts)]
        if not within:
            raise DataError(
                f"{self.path} holds no images ({', '.join(sorted(SUFFIXES))}): put photographs of faces there"
            )
        files: dict[str, str] = {}
        first: dict[str, str] = {}
        left_out: dict[str, list[str]] = defaultdict(list)
        with ThreadPoolExecutor() as pool, progress.task("read", len(within)) as advance:
            for name, content in zip(within, pool.map(self._hash, within), strict=True):
                if twin := first.get(content):
                    left_out["the same file as another one"].append(f"{name.as_posix()} ({twin})")
                else:
                    files[name.as_posix()], first[content] = content, name.as_posix()
                advance(1)
        return files, left_out

    def _hash(self, name: Path) -> str:
        try:
            return hashlib.sha256((self.path / name).read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{self.path / name} cannot be read ({error.strerror}): mend or remove it") from None

    def _assign(self, people: Sequence[str]) -> Mapping[str, str]:
        """The split of each person."""
        if len(people) < MIN_PEOPLE:
            raise DataError(
                f"{self.path} shows {len(people)} people ({few(people)}), too few for three splits: give at least "
                f"{MIN_PEOPLE}; a person is known by the sub-folder, else by the file name without its last number"
            )
        order = sorted(people, key=lambda person: derive_seed(NAME, "split", person))
        test, val = (max(2, round(len(order) * SHARES[split])) for split in ("test", "val"))
        return {p: "test" if i < test else "val" if i < test + val else "train" for i, p in enumerate(order)}


def person_of(name: str) -> str:
    """Who an image shows, by its path within the folder."""
    path = Path(name)
    return path.parts[0] if len(path.parts) > 1 else guess_video(path.stem, ())[0]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
