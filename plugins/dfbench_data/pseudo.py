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
from dfbench_data.grouping import SHARES
from dfbench_data.images import SUFFIXES
from dfbench_data.portraits import image_files, people_in, united

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

    A person is known by the sub-folder that an image lies in, else by the image's name without the numbers at its end
    (``Ann_Lee_0001.jpg`` shows ``Ann_Lee``; :func:`~dfbench_data.portraits.people_in`); two names with one picture are
    one person. People are put into train, val and test (70, 10 and 20 %) by a hash of their name. Images that show no
    usable face, cannot be decoded, or show what another one shows, are left out; the notes count and name them. A
    preparation that was interrupted goes on where it stopped.

    Args:
        path: the folder; sub-folders and links are followed, hidden files passed over.
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
            DataError: no folder, no images, too few people, or a file that cannot be opened.
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
        paths, others = self._paths()
        files, left_out, same = self._hashes(paths, progress)
        cropped = parts.crop_all({content: paths[name] for name, content in files.items()}, self.size,
                                 Path(cache), NAME, progress)  # fmt: skip
        for name, content in files.items():
            if reason := cropped[content].reason:
                kind, _, detail = reason.partition(": ")
                left_out[kind].append(f"{name} ({detail})" if detail else name)
        names = [name for name, content in files.items() if not cropped[content].reason]
        found = [cropped[files[name]] for name in names]
        doubles = twins([one.phash for one in found], lambda number: found[number].crops[0], progress) if found else {}
        for double, first in doubles.items():
            left_out["shows the same picture as another one"].append(f"{names[double]} ({names[first]})")
            same[names[double]] = names[first]
        kept = [number for number in range(len(names)) if number not in doubles]
        guessed, nameless = people_in(list(paths))
        one_by = united(guessed, same)
        who = {names[number]: one_by[names[number]] for number in kept}
        notes = [f"{len(some)} images left out: {reason}: {few(some)}" for reason, some in left_out.items()]
        splits = self._assign(sorted(set(who.values())), notes)
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
        count = len(self._splits["train"].samples)
        landmarks = hashlib.sha256(np.stack([found[number].landmarks for number in kept]).tobytes()).hexdigest()
        self._fingerprint = _digest(VERSION, fakes.VERSION, faces.VERSION, self.size, count, rows, landmarks)
        counts = ", ".join(f"{list(splits.values()).count(split)} {split}" for split in SPLITS)
        if others:
            notes.append(f"{len(others)} files passed over, as their names are not those of images: {few(others)}")
        if unknown := [name for name in nameless if name in who]:
            notes.append(f"{len(unknown)} photographs tell no name and count as a person each: {few(unknown)}")
        self._notes = [*notes, f"people: {counts}; made of {len(kept)} photographs"]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of crops, landmarks, names, people, number of training samples and version of the fake generator."""
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

    def _paths(self) -> tuple[dict[str, Path], list[str]]:
        """The images by their path within the folder, and other files."""
        if not self.path.is_dir():
            raise DataError(f"{self.path} is not a folder: give a folder of photographs of real faces")
        paths, others = image_files(self.path)
        if not paths:
            raise DataError(
                f"{self.path} holds no images ({', '.join(sorted(SUFFIXES))}): put photographs of faces there"
            )
        return paths, others

    def _hashes(
        self, paths: Mapping[str, Path], progress: Progress
    ) -> tuple[dict[str, str], dict[str, list[str]], dict[str, str]]:
        """The hash of each image, one of each content; those left out, by reason; and which other one they equal."""
        files: dict[str, str] = {}
        first: dict[str, str] = {}
        same: dict[str, str] = {}
        left_out: dict[str, list[str]] = defaultdict(list)
        with ThreadPoolExecutor() as pool, progress.task("read", len(paths)) as advance:
            for name, content in zip(paths, pool.map(_hash, paths.values()), strict=True):
                if twin := first.get(content):
                    left_out["the same file as another one"].append(f"{name} ({twin})")
                    same[name] = twin
                else:
                    files[name], first[content] = content, name
                advance(1)
        return files, left_out, same

    def _assign(self, people: Sequence[str], notes: Sequence[str]) -> Mapping[str, str]:
        """The split of each person."""
        if len(people) < MIN_PEOPLE:
            shown = f" ({few(people)})" if people else ""
            raise DataError(
                f"{self.path} shows {len(people)} people{shown}, too few for three splits: give at least {MIN_PEOPLE}, "
                "each in a sub-folder, or known by the file name without the numbers at its end, or by a number alone"
                + "".join(f"; {note}" for note in notes)
            )
        order = sorted(people, key=lambda person: derive_seed(NAME, "split", person))
        test, val = (max(2, round(len(order) * SHARES[split])) for split in ("test", "val"))
        return {p: "test" if i < test else "val" if i < test + val else "train" for i, p in enumerate(order)}


def _hash(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): mend or remove it") from None


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
