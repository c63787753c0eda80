"""MTCNN, its image pyramid climbed from the coarse end: a large face is found without looking for small ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dfbench.errors import MissingDependency
from dfbench.faces import Face, FaceDetector

FACTOR = 0.709
"""Ratio of neighbouring levels of the image pyramid (Zhang et al. 2016)."""

LEFT_OUT = 5
"""Finest levels of the pyramid that are left out at first."""

SURE = 1.5
"""A face counts as found by a partial pyramid if it is this many times the smallest face that pyramid looks for.
Measured on 384 frames of FaceForensics++ against the whole pyramid: at 1.5 the same boxes to the last quarter of a
pixel, at 1.25 three of them 2 to 6 pixels off, at 0.8 every fourth."""

BATCH_PIXELS = 2_500_000
"""Frames are detected together up to this many pixels: the networks' first layers take 40 times as many bytes."""


class Mtcnn(FaceDetector):
    """The cascade of facenet-pytorch on one pyramid ``12 / min_face * 0.709^k``, coarse levels first.

    Three quarters of the cost of MTCNN lie in the two finest levels, which find faces of 20 to 40 pixels. Here the
    coarse end is tried alone. Faces that are large for the levels tried are taken: their boxes are those of the whole
    pyramid, because only levels close to its size contribute to a face. For a smaller one the levels that suit it are
    added, for a frame without a face one level at a time, down to the whole pyramid. So small faces are missing where
    there are only large ones beside them.

    Boxes and landmarks are rounded to a quarter of a pixel, so that a crop does not depend on the last bits of a
    machine's arithmetic or on the frames of the same batch.

    Args:
        min_face: smallest face of the whole pyramid, in pixels; a larger one saves time on frames without a face.

    Raises:
        MissingDependency: facenet-pytorch is not installed.
    """

    def __init__(self, min_face: int = 20) -> None:
        self.min_face = min_face
        self._network = _network()

    def to(self, device: str) -> None:
        """See :class:`~dfbench.faces.FaceDetector`."""
        self._network.to(device).device = device  # it makes its input there

    def __call__(self, frames: NDArray[Any]) -> list[list[Face]]:
        """See :class:`~dfbench.faces.FaceDetector`."""
        height, width = frames.shape[1:3]
        step = max(1, BATCH_PIXELS // (height * width))
        return [faces for start in range(0, len(frames), step) for faces in self._search(frames[start : start + step])]

    def _search(self, frames: NDArray[Any]) -> list[list[Face]]:
        found: list[list[Face]] = [[] for _ in frames]
        # Of each frame, how many of the finest levels its next search leaves out; None when it is done.
        waiting: list[int | None] = [LEFT_OUT] * len(frames)
        for left_out in range(LEFT_OUT, -1, -1):
            searched = [index for index, level in enumerate(waiting) if level == left_out]
            for index, faces in zip(searched, self._detect(frames[searched], left_out), strict=True):
                found[index], waiting[index] = faces, self._next(faces, left_out)
        return found

    def _next(self, faces: list[Face], left_out: int) -> int | None:
        if not left_out or (faces and self._suits(faces, left_out)):
            return None
        if not faces:
            return left_out - 1
        return next((level for level in range(left_out - 1, 0, -1) if self._suits(faces, level)), 0)

    def _suits(self, faces: list[Face], left_out: int) -> bool:
        """Whether all faces are large for the pyramid without its finest levels; the shorter side decides."""
        shorter = min(min(f.box[2] - f.box[0], f.box[3] - f.box[1]) for f in faces)
        return shorter >= SURE * self._smallest(left_out)

    def _smallest(self, left_out: int) -> float:
        return self.min_face / FACTOR**left_out

    def _detect(self, frames: NDArray[Any], left_out: int) -> list[list[Face]]:
        self._network.min_face_size = smallest = self._smallest(left_out)
        if not len(frames) or smallest > min(frames.shape[1:3]):
            return [[] for _ in frames]
        # Planes, seen as the (n, H, W, 3) that detect() takes: area resizing is several times faster on planes.
        planes = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        boxes, scores, points = self._network.detect(planes, landmarks=True)
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


def _network() -> Any:
    try:
        from facenet_pytorch import MTCNN  # type: ignore[import-untyped]
    except ImportError:
        raise MissingDependency(
            "the face detector 'mtcnn' needs the package facenet-pytorch, which is not installed: "
            "pip install --no-deps facenet-pytorch==2.6.0"
        ) from None
    network = MTCNN(keep_all=True, factor=FACTOR, post_process=False)
    for stage in (network.pnet, network.rnet, network.onet):
        stage.to(memory_format=torch.channels_last)  # pooling is a quarter faster so
    return network
