"""``mini``: a small, complete data set of real photographs and two kinds of fakes, made from an installed package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from dfbench.contracts import Dataset, Progress, Sample, Split
from dfbench.errors import DataError, MissingDependency, UsageError
from dfbench_data import faces, store
from dfbench_data.landmarks import Array
from dfbench_data.photos import drop_duplicates, open_photographs, photographs
from dfbench_data.splits import ArraySplit

VERSION = 1
"""Changes whenever the same photographs give other crops, splits or samples."""


class Mini(Dataset):
    """Face crops of 145 people, real and faked: 85, 20 and 40 people in train, val and test, nobody in two of them.

    Every face is cropped in two slightly different ways (``faces.VIEWS``). In val and test each person gives four
    fixed samples: both crops as real images, one crop face-swapped with another person of the split, the other
    self-blended. So real and fake images show the same people in the same framing, and half of the samples are fake.
    In train, sample ``2k`` is a real crop and sample ``2k + 1`` a fake of that crop, whose donor and parameters are
    drawn anew for each seed, epoch and index; the split lists only the target of such a swap.

    A sample's ``video`` is its photograph; a person is known by it, since each has one.

    Args:
        size: side of the crops, in pixels, 96 to 256.
        train_size: training samples per epoch, an even number.
    """

    def __init__(self, size: int = 128, train_size: int = 800) -> None:
        if train_size % 2:
            raise UsageError(f"mini(train_size={train_size}): must be even, half of it real and half fake")
        self.size, self.train_size = size, train_size
        self._fingerprint = ""
        self._notes: list[str] = []
        self._splits: dict[str, Split] = {}

    def prepare(self, cache: str, progress: Progress) -> None:
        """Find and crop the faces, make the fixed fakes and keep both (seconds), or load them (milliseconds).

        Raises:
            MissingDependency: the photographs, MTCNN, imagehash or OpenCV are not installed.
            StorageError: the cache cannot be written, or is damaged.
        """
        try:
            from dfbench_data import fakes, people
        except ModuleNotFoundError as error:
            if error.name != "cv2":
                raise
            command = "pip install opencv-python-headless"
            raise MissingDependency(f"the data set 'mini' needs OpenCV, which is not installed: {command}") from None
        files = photographs()
        contents = [hashlib.sha256(content).hexdigest() for content in files.values()]
        folder = (
            Path(cache) / f"mini-{_digest(VERSION, fakes.VERSION, faces.VERSION, self.size, *files, *contents)[:16]}"
        )
        loaded = store.load(folder)
        if loaded is None:
            store.save(folder, *self._make(files, progress))
            loaded = store.load(folder)
        if loaded is None:
            raise DataError(f"the prepared data in {folder} vanished while in use: run again")
        arrays, meta = loaded
        train = people.Faces(meta["people"], np.array(arrays["crops"]), np.array(arrays["landmarks"]))
        self._splits = {"train": people.TrainSplit("mini", train, self.train_size)}
        for split in ("val", "test"):
            samples = [Sample(**{**row, "identities": tuple(row["identities"])}) for row in meta[split]]
            self._splits[split] = ArraySplit(samples, np.array(arrays[split]), range(len(samples)))
        self._notes = meta["notes"]
        self._fingerprint = _digest(meta["content"], self.train_size)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of crops, landmarks, splits, fixed fakes, version of the fake generator, and ``train_size``."""
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
            raise DataError("the data set 'mini' is not prepared yet: call prepare(cache, progress) first")

    def _make(self, files: dict[str, bytes], progress: Progress) -> tuple[dict[str, Array], dict[str, Any]]:
        from dfbench_data import fakes, people

        images = open_photographs(files)
        kept, notes = drop_duplicates(images)
        mtcnn, found = faces.network("mini"), {}
        with faces.one_thread(), progress.task("faces", len(kept)) as advance:
            for name in kept:
                face = faces.detect(mtcnn, images[name])
                if face is not None:
                    found[name] = face
                advance(1)
        notes += [f"{name}: no face found" for name in kept if name not in found]
        splits = people.assign(list(found))
        notes.append("people: " + ", ".join(f"{len(names)} {split}" for split, names in splits.items()))
        arrays: dict[str, Array] = {}
        meta: dict[str, Any] = {"people": splits["train"], "notes": notes}
        for split, names in splits.items():
            cropped = [[faces.crop(images[n], found[n], self.size, view) for view in faces.VIEWS] for n in names]
            crops = np.array([[pixels for pixels, _ in views] for views in cropped])
            landmarks = np.array([[points for _, points in views] for views in cropped])
            if split == "train":
                arrays |= {"crops": crops, "landmarks": landmarks}
            else:
                fixed = people.FixedSplit("mini", split, people.Faces(names, crops, landmarks))
                arrays[split] = np.stack([fixed.pixels(index) for index in range(len(fixed.samples))])
                meta[split] = [vars(sample) for sample in fixed.samples]
        pixels = [hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() for array in arrays.values()]
        meta["content"] = _digest(VERSION, fakes.VERSION, json.dumps(meta), *pixels)
        return arrays, meta


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
