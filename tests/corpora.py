"""Miniature forgery data sets in their official layouts: tiny real videos, encoded here.

Persons are photographs of the data set ``mini``; a fake is its target with the middle of its source's face put in. With
``faces=False`` every clip is the same drawn one, which costs next to nothing where only names matter.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dfbench.errors import MissingDependency
from dfbench_data import photos

SIDE = 160
FFPP_PAIRS = {"train": [("000", "001"), ("002", "003")], "val": [("004", "005")], "test": [("006", "007")]}
FFPP_MANIPULATIONS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
CELEB_PAIRS = [(0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4)]
CELEB_TEST = {"Celeb-real/id5_0000": 1, "YouTube-real/00003": 1, "Celeb-synthesis/id4_id5_0000": 0}

Frames = Sequence[NDArray[np.uint8]]


# --- pictures and clips -----------------------------------------------------------------------------------------------


@cache
def _photographs() -> dict[str, bytes]:
    try:
        return photos.photographs()
    except MissingDependency as error:
        pytest.skip(str(error))


@cache
def _photograph(index: int, size: int) -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(list(_photographs().values())[index])).convert("RGB")
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


def photographs(n: int, size: int = SIDE) -> list[NDArray[np.uint8]]:
    """Faces of ``n`` people (148 at most), RGB uint8 (size, size, 3); skips the test where they are not installed."""
    return [_photograph(index, size) for index in range(n)]


def drawn(seed: int = 0, size: int = SIDE) -> NDArray[np.uint8]:
    """A smooth random picture without a face, RGB uint8 (size, size, 3)."""
    small = np.random.default_rng(seed).integers(40, 216, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def swapped(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``target`` with an ellipse of ``source`` in its middle, softly blended."""
    height, width = target.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    mask = np.clip(4 * (1 - np.hypot(x / 0.45, y / 0.55)), 0, 1)[..., None]
    return np.round(mask * source + (1 - mask) * target).astype(np.uint8)


def moving(picture: NDArray[np.uint8], count: int = 8) -> list[NDArray[np.uint8]]:
    """``count`` frames of the picture's size, in which it moves to the right by a pixel each."""
    return [np.roll(np.pad(picture, ((0, 0), (count, count), (0, 0)), "edge"), step, 1)[:, count:-count]
            for step in range(count)]  # fmt: skip


def encode(path: Path, frames: Iterable[NDArray[np.uint8]], rate: int = 25) -> Path:
    """Write RGB uint8 frames (H, W, 3), H and W even, as an H.264 video; makes the folder. Any length: lazily read."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = None
        for frame in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "ultrafast"})
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.thread_count = 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return path


class _Cast:
    """Clips and images of numbered persons; the same picture for each person throughout a tree."""

    def __init__(self, root: Path, faces: bool, frames: int) -> None:
        self._root, self._faces, self._frames = root, faces, frames
        self._common: Path | None = None

    def picture(self, person: int, source: int | None = None) -> NDArray[np.uint8]:
        """The person, or a fake in which ``source``'s face was put into theirs."""
        if not self._faces:
            return drawn()
        people = photographs(max(person, source or 0) + 1)
        return people[person] if source is None else swapped(people[person], people[source])

    def clip(self, name: str, person: int, source: int | None = None) -> None:
        """A video ``<root>/<name>``."""
        path = self._root / name
        if self._faces or self._common is None:
            self._common = encode(path, moving(self.picture(person, source), self._frames))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._common, path)

    def image(self, name: str, person: int, source: int | None = None) -> None:
        """An image ``<root>/<name>``."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.picture(person, source)).save(path)


# --- the layouts ------------------------------------------------------------------------------------------------------


def ffpp_tree(
    root: Path,
    pairs: Mapping[str, Sequence[tuple[str, str]]] = FFPP_PAIRS,
    manipulations: Sequence[str] = ("Deepfakes", "FaceSwap"),
    compression: str = "c23",
    *,
    flat: bool = False,
    splits: str = ".",
    faces: bool = False,
    frames: int = 8,
) -> Path:
    """FaceForensics++: both directions of each pair, and ``train.json`` etc. in the folder ``splits``.

    Args:
        pairs: (target, source) ids by split. Person ``n`` of the photographs is the n-th id in sorted order.
        flat: ``original/``, ``Deepfakes/``, ... instead of the official folders.
    """
    cast = _Cast(root, faces, frames)
    people = sorted({name for listed in pairs.values() for pair in listed for name in pair})
    official = "original_sequences/youtube/{c}/videos", "manipulated_sequences/{m}/{c}/videos"
    originals, fakes = ("original", "{m}") if flat else official
    for name in people:
        cast.clip(f"{originals.format(c=compression)}/{name}.mp4", people.index(name))
    for manipulation in manipulations:
        folder = fakes.format(m=manipulation, c=compression)
        for target, source in sorted({p for listed in pairs.values() for a, b in listed for p in ((a, b), (b, a))}):
            cast.clip(f"{folder}/{target}_{source}.mp4", people.index(target), people.index(source))
    (root / splits).mkdir(exist_ok=True)
    for split, listed in pairs.items():
        (root / splits / f"{split}.json").write_text(json.dumps(listed))
    return root


def dfd_tree(root: Path, actors: int = 3, *, flat: bool = False, faces: bool = False, frames: int = 8) -> Path:
    """DeepFakeDetection: one original of each actor, and each with the next one's face."""
    cast = _Cast(root, faces, frames)
    official = "original_sequences/actors/c23/videos", "manipulated_sequences/DeepFakeDetection/c23/videos"
    originals, fakes = ("actors", "DeepFakeDetection") if flat else official
    for actor in range(actors):
        other = (actor + 1) % actors
        cast.clip(f"{originals}/{actor + 1:02d}__walking_outside.mp4", actor)
        cast.clip(f"{fakes}/{actor + 1:02d}_{other + 1:02d}__walking_outside__A1B2C3D{actor}.mp4", actor, other)
    return root


def celebdf2_tree(
    root: Path,
    pairs: Sequence[tuple[int, int]] = CELEB_PAIRS,
    test: Mapping[str, int] = CELEB_TEST,
    youtube: int = 4,
    *,
    faces: bool = False,
    frames: int = 8,
) -> Path:
    """Celeb-DF v2: two originals of each celebrity, a fake of each (target, source), YouTube clips, the test list.

    Args:
        test: label in the list (1 is real) by name without suffix.
    """
    cast = _Cast(root, faces, frames)
    celebrities = sorted({person for pair in pairs for person in pair})
    for person in celebrities:
        for take in range(2):
            cast.clip(f"Celeb-real/id{person}_{take:04d}.mp4", celebrities.index(person))
    for target, source in pairs:
        name = f"Celeb-synthesis/id{target}_id{source}_0000.mp4"
        cast.clip(name, celebrities.index(target), celebrities.index(source))
    for number in range(youtube):
        cast.clip(f"YouTube-real/{number:05d}.mp4", len(celebrities) + number)
    listed = "".join(f"{label} {name}.mp4\n" for name, label in test.items())
    (root / "List_of_testing_videos.txt").write_text(listed)
    return root


def dffd_tree(
    root: Path,
    sources: Sequence[str] = ("ffhq", "stylegan_ffhq", "faceapp"),
    per_split: int = 3,
    validation: str = "validation",
    suffix: str = ".png",
    *,
    faces: bool = False,
) -> Path:
    """DFFD: ``per_split`` images of each source in each split; persons differ between splits."""
    cast = _Cast(root, faces, frames=1)
    for source in sources:
        for place, split in enumerate(("train", validation, "test")):
            for number in range(per_split):
                person = place * per_split + number
                other = place * per_split + (number + 1) % per_split
                name = f"{source}/{split}/{source}_{person:05d}{suffix}"
                cast.image(name, person, None if source in ("ffhq", "youtube", "celeba") else other)
    return root


def dfdc_tree(
    root: Path,
    parts: Iterable[int] = range(3),
    originals: int = 2,
    test: str = "",
    *,
    faces: bool = False,
    frames: int = 8,
) -> Path:
    """DFDC: in each part some originals, each with one fake, and ``metadata.json``.

    Args:
        test: also the official test folder of this name (``test``, ``test_videos``), with ``labels.csv`` in it.
    """
    cast = _Cast(root, faces, frames)
    parts = list(parts)
    for place, part in enumerate(parts):
        folder, metadata = f"dfdc_train_part_{part}", dict[str, Any]()
        for number in range(originals):
            person, other = place * originals + number, place * originals + (number + 1) % originals
            real, fake = f"real{part}{chr(97 + number)}.mp4", f"fake{part}{chr(97 + number)}.mp4"
            cast.clip(f"{folder}/{real}", person)
            cast.clip(f"{folder}/{fake}", person, other)
            metadata[real] = {"label": "REAL", "split": "train", "original": None}
            metadata[fake] = {"label": "FAKE", "split": "train", "original": real}
        (root / folder / "metadata.json").write_text(json.dumps(metadata))
    if test:
        first = len(parts) * originals
        rows = ["filename,label"]
        for number in range(originals):
            cast.clip(f"{test}/testreal{number}.mp4", first + number)
            cast.clip(f"{test}/testfake{number}.mp4", first + number, first + (number + 1) % originals)
            rows += [f"testreal{number}.mp4,0", f"testfake{number}.mp4,1"]
        (root / test / "labels.csv").write_text("\n".join(rows) + "\n")
    return root
