"""MTCNN, its image pyramid climbed from the coarse end: a large face is found without looking for small ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.errors import MissingDependency
from dfbench.faces import Face, FaceDetector

FACTOR = 0.709
"""Ratio of neighbouring levels of the image pyramid (Zhang et al. 2016)."""

LEVELS = 5
"""Finest levels of the pyramid that can be left out at most."""

SURE, FAST = 1.25, 0.7
"""A face counts as found by a partial pyramid if it is this many times the smallest face that pyramid looks for.
Measured on clips of FaceForensics++ against the whole pyramid: at 1.25 the same boxes, at 0.7 within 5 pixels."""

BATCH_PIXELS = 2_500_000
"""Frames are detected together up to this many pixels: the networks' first layers take 40 times as many bytes."""


class Mtcnn(FaceDetector):
    """The cascade of facenet-pytorch on one pyramid ``12 / min_face * 0.709^k``, coarse levels first.

    Three quarters of the cost of MTCNN lie in the two finest levels, which find faces of 20 to 40 pixels. Here the
    coarse end is tried alone, and one finer level is added at a time until a face is found that is large for the levels
    tried; its box is then that of the whole pyramid, because only levels close to its size contribute to it. A frame
    without such a face is searched by the whole pyramid. So small faces are missing where a large one was found.

    Boxes and landmarks are rounded to a quarter of a pixel, so that a crop does not depend on the last bits of a
    machine's arithmetic or on the frames of the same batch.

    Args:
        min_face: smallest face of the whole pyramid, in pixels.
        fast: take the first face found, however close to the smallest of the levels tried.

    Raises:
        MissingDependency: facenet-pytorch is not installed.
    """

    def __init__(self, min_face: int = 20, fast: bool = False) -> None:
        self.min_face, self.margin = min_face, FAST if fast else SURE
        self._network = _network("cpu")

    def to(self, device: str) -> None:
        """See :class:`~dfbench.faces.FaceDetector`."""
        self._network = _network(device)

    def __call__(self, frames: NDArray[Any]) -> list[list[Face]]:
        """See :class:`~dfbench.faces.FaceDetector`."""
        height, width = frames.shape[1:3]
        step = max(1, BATCH_PIXELS // (height * width))
        return [faces for start in range(0, len(frames), step) for faces in self._search(frames[start : start + step])]

    def _search(self, frames: NDArray[Any]) -> list[list[Face]]:
        found: list[list[Face]] = [[] for _ in frames]
        open_frames = list(range(len(frames)))
        for level in range(LEVELS, -1, -1):
            smallest = self.min_face / FACTOR**level
            if not open_frames or smallest > min(frames.shape[1:3]):
                continue
            for index, faces in zip(open_frames, self._detect(frames[open_frames], smallest), strict=True):
                found[index] = faces
            open_frames = [i for i in open_frames if not found[i] or found[i][0].size < self.margin * smallest]
        return found

    def _detect(self, frames: NDArray[Any], smallest: float) -> list[list[Face]]:
        self._network.min_face_size = smallest
        boxes, scores, points = self._network.detect(frames, landmarks=True)
        return [
            []
            if frame_boxes is None
            else sorted(map(_face, frame_boxes, frame_scores, frame_points), key=lambda face: -face.size)
            for frame_boxes, frame_scores, frame_points in zip(boxes, scores, points, strict=True)
        ]


def _face(box: NDArray[Any], score: float, landmarks: NDArray[Any]) -> Face:
    left, top, right, bottom = (np.rint(np.asarray(box, float) * 4) / 4).tolist()
    points = tuple((x, y) for x, y in (np.rint(np.asarray(landmarks, float) * 4) / 4).tolist())
    return Face((left, top, right, bottom), points, float(score))


def _network(device: str) -> Any:
    try:
        from facenet_pytorch import MTCNN  # type: ignore[import-untyped]
    except ImportError:
        raise MissingDependency(
            "the face detector 'mtcnn' needs the package facenet-pytorch, which is not installed: "
            "pip install --no-deps facenet-pytorch==2.6.0"
        ) from None
    return MTCNN(keep_all=True, factor=FACTOR, post_process=False, device=device)
