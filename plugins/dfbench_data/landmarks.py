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
        [0.00, -0.58], [0.52, -0.54], [0.90, -0.34], [1.06, 0.10], [1.03, 0.66], [0.82, 1.24], [0.46, 1.68],
        [0.00, 1.86], [-0.46, 1.68], [-0.82, 1.24], [-1.03, 0.66], [-1.06, 0.10], [-0.90, -0.34], [-0.52, -0.54],
    ]
)  # fmt: skip
"""The outline of that face from above the brows to the chin, clockwise from the middle of the forehead."""

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
    return np.linalg.lstsq(homogeneous, target, rcond=None)[0].T


def apply(matrix: Array, points: Array) -> Array:
    """Points (n, 2) mapped by an affine ``matrix`` (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def contour(points: Array) -> Array:
    """The face outline (14, 2) extrapolated from five landmarks (5, 2).

    The canonical outline is carried over by the affine map between the canonical and the given landmarks. On a face
    turned to one side the nose moves towards the far cheek, which is seen narrower: each half of the outline is
    scaled in proportion to how far the nose is from the middle.
    """
    to_image = affine(TEMPLATE, points)
    to_template = affine(points, TEMPLATE)
    turn = float(np.clip(apply(to_template, points[2:3])[0, 0], -0.3, 0.3))
    outline = CONTOUR.copy()
    outline[:, 0] *= np.where(outline[:, 0] > 0, 1 - turn, 1 + turn)
    return apply(to_image, outline)


def shape_distance(one: Array, other: Array) -> float:
    """Procrustes distance in [0, 1] between two sets of landmarks (5, 2): 0 if a similarity maps one to the other."""
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return float(1 - abs(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b)))
