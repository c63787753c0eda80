"""``mini``: a small, complete data set of real photographs and two kinds of fakes, made from an installed package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from dfbench.contracts import FAKE, REAL, SPLITS, Dataset, Progress, Sample, Split
from dfbench.errors import DataError, MissingDependency, UsageError
from dfbench.rng import derive_seed
from dfbench_data import faces, fakes, store
from dfbench_data.landmarks import Array
from dfbench_data.photos import photographs

TEST_PEOPLE, VAL_PEOPLE = 40, 20
VERSION = 1
KINDS = ("swap", "sbi")


class Mini(Dataset):
    """Face crops of about 145 people, real and faked; 85/20/40 people in train/val/test, nobody in two of them.

    Every face is cropped in two slightly different ways (``faces.VIEWS``). In val and test each person gives four fixed
    samples: both crops as real images, one crop face-swapped with another person of the split, the other self-blended:
    real and fake images have the same people and the same framing. In train, sample ``2k`` is a real crop and
    ``2k + 1`` a fake of the same crop, whose donor and parameters are drawn anew for each seed, epoch and index.

    A sample's ``video`` is its photograph; a training swap lists only its target, since its donor changes.

    Args:
        size: side of the crops, in pixels, 96 to 256.
        train_size: training samples per epoch, an even number.

    Raises:
        MissingDependency: by ``prepare``, where the photographs, MTCNN, imagehash or OpenCV are not installed.
    """

    def __init__(self, size: int = 128, train_size: int = 800) -> None:
        if train_size % 2:
            raise UsageError(f"mini(train_size={train_size}): must be even, half real and half fake")
        self.size, self.train_size = size, train_size
        self._fingerprint = ""
        self._notes: list[str] = []
        self._splits: dict[str, Split] = {}

    def prepare(self, cache: str, progress: Progress) -> None:
        """Find, crop and keep the faces and the fixed fakes (seconds), or load them (milliseconds)."""
        files = photographs()
        folder = Path(cache) / f"mini-{self._key(files)}"
        loaded = store.load(folder)
        if loaded is None:
            store.save(folder, *self._make(files, progress))
            loaded = store.load(folder)
        assert loaded is not None
        arrays, meta = loaded
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self._notes = meta["notes"]
        self._fingerprint = _digest(meta["content"], self.train_size)
        self._splits = {"train": TrainSplit(meta["people"]["train"], arrays, self.train_size)}
        for name in ("val", "test"):
            self._splits[name] = FixedSplit([Sample(**row) for row in meta[name]], arrays[name])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the crops, landmarks, split assignment, fixed fakes, and version of the fake generator."""
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
            raise DataError("the data set 'mini' is not prepared: call prepare(cache, progress) first")

    def _key(self, files: dict[str, bytes]) -> str:
        try:
            detector = metadata.version("facenet-pytorch")
        except metadata.PackageNotFoundError:
            detector = ""  # prepared crops can be used without it
        return _digest(VERSION, fakes.VERSION, self.size, detector, *(hashlib.sha256(f).hexdigest() for f in files.values()))[:16]

    def _make(self, files: dict[str, bytes], progress: Progress) -> tuple[dict[str, Array], dict[str, Any]]:
        images = faces.open_photographs(files)
        kept, notes = faces.drop_duplicates(images)
        found = faces.detect({name: images[name] for name in kept}, progress)
        notes += [f"{name}: no face found" for name in kept if name not in found]
        people = assign(list(found))
        notes.append("people in " + ", ".join(f"{split} {len(names)}" for split, names in people.items()))
        arrays: dict[str, Array] = {}
        meta: dict[str, Any] = {"people": people, "notes": notes}
        for split, names in people.items():
            cropped = [[faces.crop(images[n], found[n], self.size, view) for view in faces.VIEWS] for n in names]
            crops = np.stack([[pixels for pixels, _ in views] for views in cropped])
            landmarks = np.stack([[points for _, points in views] for views in cropped])
            if split == "train":
                arrays["crops"], arrays["landmarks"] = crops, landmarks
            else:
                samples, arrays[split] = fixed_samples(split, names, crops, landmarks)
                meta[split] = [vars(sample) for sample in samples]
        meta["content"] = _digest(
            VERSION, fakes.VERSION, people, meta["val"], meta["test"], *(_array_digest(a) for a in arrays.values())
        )
        return arrays, meta
