"""Geometry of the five landmarks: left eye, right eye, nose tip, left and right mouth corner (as seen in the image)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TEMPLATE = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.57], [-0.41, 1.16], [0.41, 1.16]])
"""A frontal face in units of its eye distance, origin between the eyes, y down."""

CONTOUR = np.array(
    [
        [0.00, -0.56], [0.50, -0.52], [0.84, -0.32], [0.97, 0.10], [0.94, 0.66], [0.76, 1.24], [0.44, 1.66],
        [0.00, 1.82], [-0.44, 1.66], [-0.76, 1.24], [-0.94, 0.66], [-0.97, 0.10], [-0.84, -0.32], [-0.50, -0.52],
    ]
)  # fmt: skip
"""The outline of that face from above the brows to the chin, clockwise from the middle of the forehead."""

FLATTEST = 0.15
"""Narrowest usable face, as a share of a frontal one: turned by about 80 degrees."""

MIRRORED = [1, 0, 2, 4, 3]
"""Order of the landmarks after a horizontal flip of the image."""


def mirror(points: Array, size: int) -> Array:
    """Landmarks (5, 2) of the image of side ``size`` flipped from left to right."""
    flipped = points[MIRRORED].copy()
    flipped[:, 0] = size - 1 - flipped[:, 0]
    return flipped


def affine(source: Array, target: Array) -> Array:
    """The affine map (2, 3) that takes points ``source`` (n, 2) to ``target`` (n, 2) in the least-squares sense."""
    homogeneous = np.column_stack([source, np.ones(len(source))])
    solution: Array = np.linalg.lstsq(homogeneous, target, rcond=None)[0].T
    return solution


def contour(points: Array) -> Array:
    """The face outline (14, 2) extrapolated from five landmarks (5, 2).

    The canonical outline is carried over by the affine map between the canonical and the given landmarks. On a face
    turned to one side the nose moves towards the far cheek, which is seen narrower: each half of the outline is
    scaled by how far the nose is from the middle.
    """
    matrix = affine(TEMPLATE, points)
    nose = np.linalg.solve(matrix[:, :2], points[2] - matrix[:, 2])
    turn = np.clip(1.5 * nose[0], -0.3, 0.3)
    outline = CONTOUR * np.column_stack([np.where(CONTOUR[:, 0] > 0, 1 - turn, 1 + turn), np.ones(len(CONTOUR))])
    placed: Array = outline @ matrix[:, :2].T + matrix[:, 2]
    return placed


def shape_distances(points: Array, others: Array) -> tuple[Array, Array]:
    """Procrustes distances in [0, 1] from one set of landmarks (5, 2) to others (n, 5, 2), and to those mirrored.

    0 means that a shift, rotation and scaling map one onto the other.
    """
    shapes = others[..., 0] + 1j * others[..., 1]
    shapes = shapes - shapes.mean(-1, keepdims=True)
    shapes = shapes / np.linalg.norm(shapes, axis=-1, keepdims=True)
    own = points[:, 0] + 1j * points[:, 1]
    own = (own - own.mean()).conj() / np.linalg.norm(own - own.mean())
    return 1 - abs(shapes @ own), 1 - abs(-shapes.conj()[:, MIRRORED] @ own)


def usable(points: Array) -> bool:
    """Whether landmarks (5, 2) span a face that can be mapped onto another: neither on one line nor in disorder."""
    matrix = affine(TEMPLATE, points)[:, :2]
    stretch = np.linalg.svd(matrix, compute_uv=False)
    return bool(np.linalg.det(matrix) > 0 and stretch[1] > FLATTEST * stretch[0])
