"""The main face of a clip, the same person from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dfbench.faces import Face

REACH = 1.0
"""A face moves at most this many face sizes between two sampled frames."""

GROWTH = 2.0
"""A face grows or shrinks at most by this factor between two sampled frames."""


@dataclass(eq=False)
class _Track:
    faces: dict[int, Face]
    last: Face

    def weight(self) -> float:
        return sum(face.size**2 for face in self.faces.values())


def main_face(frames: Sequence[Sequence[Face]]) -> list[Face | None]:
    """For each frame the face of the clip's main person, None where it is not seen.

    A face joins the track whose last face, however long ago, is nearest, within one face size and of similar size. A
    face that is alone in its frame, and was alone in the one before, is the same person wherever it moved. The main
    person is the track with the largest sum of face areas.
    """
    tracks: list[_Track] = []
    lone: _Track | None = None
    for number, faces in enumerate(frames):
        pairs = sorted(
            (_distance(track.last, face), t, f)
            for t, track in enumerate(tracks)
            for f, face in enumerate(faces)
            if _similar(track.last, face)
        )
        joined: dict[int, _Track] = {}
        for distance, t, f in pairs:
            if distance <= REACH and f not in joined and tracks[t] not in joined.values():
                joined[f] = tracks[t]
        if len(faces) == 1 and not joined and lone and _similar(lone.last, faces[0]):
            joined[0] = lone
        for f, face in enumerate(faces):
            if f not in joined:
                joined[f] = _Track({}, face)
                tracks.append(joined[f])
            joined[f].faces[number] = joined[f].last = face
        if faces:
            lone = joined[0] if len(faces) == 1 else None
    if not tracks:
        return [None] * len(frames)
    main = max(tracks, key=_Track.weight)
    return [main.faces.get(number) for number in range(len(frames))]


def _distance(a: Face, b: Face) -> float:
    return math.dist(a.centre, b.centre) / max(a.size, b.size)


def _similar(a: Face, b: Face) -> bool:
    return max(a.size, b.size) <= GROWTH * min(a.size, b.size)
