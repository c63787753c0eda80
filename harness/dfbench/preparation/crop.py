"""Square crops around a face, upright as the frame shows it or turned to a common position of the landmarks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfbench.faces import Face

Array = NDArray[Any]

TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
"""Where the five landmarks lie in a 112 x 112 face (the template of ArcFace, Deng et al., CVPR 2019)."""

TEMPLATE_SIDE = 112


def crop(frame: Array, face: Face, size: int, margin: float, align: str) -> Array:
    """A face as RGB uint8 (size, size, 3), bicubic.

    Args:
        frame: RGB uint8 (H, W, 3).
        face: box and landmarks in pixels of the frame.
        size: side of the crop.
        margin: the crop is wider than the face by this share.
        align: ``none``: the square around the box, moved or shrunk where it would leave the frame. ``landmarks``: the
            similarity that brings the landmarks closest to :data:`TEMPLATE`; beyond the frame its edge is repeated.
    """
    return _aligned(frame, face, size, margin) if align == "landmarks" else _upright(frame, face, size, margin)


def _upright(frame: Array, face: Face, size: int, margin: float) -> Array:
    height, width = frame.shape[:2]
    side = min(face.size * (1 + margin), height, width)
    x, y = (min(max(c - side / 2, 0.0), limit - side) for c, limit in zip(face.centre, (width, height), strict=True))
    image = Image.fromarray(frame)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side)))


def _aligned(frame: Array, face: Face, size: int, margin: float) -> Array:
    # Pixel i covers [i, i + 1): landmarks count from pixel centres, the matrix below from edges.
    goal = size / 2 + (TEMPLATE + 0.5 - TEMPLATE_SIDE / 2) * size / TEMPLATE_SIDE / (1 + margin)
    matrix = similarity(goal, np.array(face.landmarks) + 0.5)
    # Drawn larger by a whole factor, then reduced by a box filter: transform() alone does not antialias.
    finer = max(1, math.ceil(float(np.hypot(matrix[0, 0], matrix[1, 0]))))
    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ matrix.T
    height, width = frame.shape[:2]
    before = np.maximum(0, np.ceil(-corners.min(0))).astype(int) + 2
    after = np.maximum(0, np.ceil(corners.max(0) - (width, height))).astype(int) + 2
    padded = np.pad(frame, ((before[1], after[1]), (before[0], after[0]), (0, 0)), mode="edge")
    matrix[:, :2] /= finer
    matrix[:, 2] += before
    large = (size * finer, size * finer)
    drawn = Image.fromarray(padded).transform(
        large, Image.Transform.AFFINE, tuple(matrix.ravel().tolist()), Image.Resampling.BICUBIC
    )
    return np.asarray(drawn.reduce(finer) if finer > 1 else drawn)


def similarity(source: Array, target: Array) -> Array:
    """The similarity (2, 3) that maps points ``source`` (n, 2) to ``target`` with the least squared error.

    Rotation, one scale and translation (Umeyama, IEEE TPAMI 13(4), 1991, eqs. 40-42; without reflection).
    """
    a, b = source - source.mean(0), target - target.mean(0)
    u, d, v = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    linear = (u * sign) @ v * ((d * sign).sum() / (a**2).sum())
    return np.column_stack((linear, target.mean(0) - linear @ source.mean(0)))
