"""One job: a video, or some images, to a shard of face crops and a row for each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import Corruption
from dfbench.corpus import Clip
from dfbench.device import resolve
from dfbench.errors import DataError, DfbenchError, MissingDependency
from dfbench.faces import Face, FaceDetector
from dfbench.images import open_rgb
from dfbench.phash import phash
from dfbench.preparation.crop import crop
from dfbench.preparation.track import main_face
from dfbench.preparation.video import sample
from dfbench.registry import Component
from dfbench.store import write_atomic, write_text

TOGETHER = 8
"""Frames held and detected at a time; with the largest faces' crops, all that is kept of a clip in memory."""

MOST_FACES = 4
"""Faces followed in a frame, largest first."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides a crop, and the device, which does not."""

    frames: int
    size: int
    margin: float
    align: str
    detector: Component
    codec: Component | None
    device: str


@dataclass(frozen=True)
class Job:
    """One video, or images, that make one shard. ``key`` changes with the files and with everything in the settings."""

    name: str
    clips: tuple[Clip, ...]
    key: str


@dataclass(frozen=True)
class _Seen:
    """A frame, its faces, and their crops."""

    index: int
    faces: list[Face]
    crops: list[NDArray[Any]]


_Found = tuple[int, list[tuple[int, Face, NDArray[Any]]], str]
"""Of a clip: how many frames were looked at; index, face and crop where the main face is; why it could not be used."""


class Worker:
    """Carries out jobs, with one detector for all of them."""

    def __init__(self, settings: Settings, shards: Path) -> None:
        self.settings, self.shards = settings, shards
        self.detector: FaceDetector = settings.detector.build()
        self.detector.to(str(resolve(settings.device)))
        self.codec: Corruption | None = settings.codec.build() if settings.codec else None

    def run(self, job: Job) -> dict[str, Any]:
        """Crop the faces of a job; write its shard, then its ``.json``, which is there when the job is done.

        A clip that cannot be used is told of with its reason, and the others go on.

        Raises:
            StorageError: the output cannot be written.
        """
        found = self._images(job.clips) if job.clips[0].is_image else [self._video(clip) for clip in job.clips]
        about, rows = [], []
        crops: list[NDArray[Any]] = []
        for clip, (sampled, kept, reason) in zip(job.clips, found, strict=True):
            about.append({"video": clip.video, "sampled": sampled, "found": len(kept), "reason": reason})
            for index, face, pixels in kept:
                rows.append(_row(clip, index, face, pixels, len(crops)))
                crops.append(pixels)
        if crops:
            stacked = np.stack(crops)
            write_atomic(self.shards / f"{job.name}.npy", lambda path: _save(path, stacked))
        outcome = {"key": job.key, "clips": about, "rows": rows}
        write_text(self.shards / f"{job.name}.json", json.dumps(outcome))
        return outcome

    def _video(self, clip: Clip) -> _Found:
        """The main face in each frame that shows it."""
        try:
            seen = self._look(sample(clip.path, self.settings.frames, self.codec))
        except MissingDependency:
            raise
        except Exception as error:
            return 0, [], _reason(error)
        main = main_face([frame.faces for frame in seen])
        return len(seen), [_pick(frame, face) for frame, face in zip(seen, main, strict=True) if face], ""

    def _images(self, clips: Sequence[Clip]) -> list[_Found]:
        """The largest face of each image."""
        failed: dict[int, str] = {}

        def readable() -> Iterator[tuple[int, NDArray[Any]]]:
            for position, clip in enumerate(clips):
                try:
                    yield position, np.asarray(open_rgb(clip.path.read_bytes()))
                except (DataError, OSError) as error:
                    failed[position] = _reason(error)

        seen = {image.index: replace(image, index=0) for image in self._look(readable())}
        return [
            (0, [], failed[position])
            if position in failed
            else (1, [_pick(seen[position], face) for face in seen[position].faces[:1]], "")
            for position in range(len(clips))
        ]

    def _look(self, frames: Iterator[tuple[int, NDArray[Any]]]) -> list[_Seen]:
        """The largest faces of each frame, cropped at once, so that a long clip needs no memory for its frames."""
        seen: list[_Seen] = []
        held: list[tuple[int, NDArray[Any]]] = []

        def flush() -> None:
            if held:
                found = self.detector(np.stack([pixels for _, pixels in held]))
                for (index, pixels), faces in zip(held, found, strict=True):
                    faces = faces[:MOST_FACES]
                    seen.append(_Seen(index, faces, [self._crop(pixels, face) for face in faces]))
                held.clear()

        for index, pixels in frames:
            if len(held) == TOGETHER or (held and held[0][1].shape != pixels.shape):
                flush()
            held.append((index, pixels))
        flush()
        return seen

    def _crop(self, pixels: NDArray[Any], face: Face) -> NDArray[Any]:
        return crop(pixels, face, self.settings.size, self.settings.margin, self.settings.align)


def _pick(frame: _Seen, face: Face) -> tuple[int, Face, NDArray[Any]]:
    return frame.index, face, frame.crops[frame.faces.index(face)]


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DfbenchError) else f"{type(error).__name__}: {error}"


def _row(clip: Clip, index: int, face: Face, pixels: NDArray[Any], row: int) -> dict[str, Any]:
    return {
        "video": clip.video,
        "frame": index,
        **asdict(face),
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "phash": phash(pixels),
        "row": row,
    }


def _save(path: Path, array: NDArray[Any]) -> None:
    """As ``np.save`` does, which adds a suffix to the temporary name and does not tell that the disk is full."""
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)
