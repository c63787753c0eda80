"""Two ways of making fakes. Outside of the blending mask a fake equals its target bit for bit.

That is deliberate: were a whole fake resampled, recompressed or recoloured, a detector could tell it from a real image
without looking at the face.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from dfbench_data.blend import blend, face_mask, sharpen, shift_colours, soften, transfer_colours, warp
from dfbench_data.landmarks import Array, affine, mirror, shape_distances

VERSION = 2
"""Changes whenever the same random numbers give other fakes."""


DONORS = 8
"""Donors drawn for each swap, of which the one that fits best is taken."""


def best_donor(points: Array, donors: Array) -> tuple[int, bool]:
    """Which of the donors with landmarks (n, 5, 2) fits a face with landmarks ``points`` (5, 2), and whether mirrored.

    Of a few donors drawn at random, each also mirrored, the one whose landmarks fit best, so that poses agree (the
    rule of Face X-ray, Li et al., CVPR 2020, section 4.1).
    """
    plain, mirrored = shape_distances(points, donors)
    flip = bool(mirrored.min() < plain.min())
    return int(np.argmin(mirrored if flip else plain)), flip


def swap(target: Array, points: Array, donor: Array, donor_points: Array, flip: bool, rng: Generator) -> Array:
    """A face swap: the donor's face in the target's image.

    The donor is warped by the affine map between the landmarks; in 60 % of the fakes it loses detail (a generator of
    lower resolution: factor 0.45 to 0.9); its Lab statistics move 20 to 90 % of the way to the target's, as in swaps
    whose colours were matched carelessly or well; it is blended with ratio 0.9 to 1 through a feathered face mask with
    slight (1 pixel) deformation.

    Args:
        target, donor: RGB uint8 (S, S, 3).
        points, donor_points: their landmarks (5, 2), in pixels.
        flip: mirror the donor first.

    Returns:
        RGB uint8 (S, S, 3).
    """
    size = target.shape[0]
    if flip:
        donor, donor_points = donor[:, ::-1], mirror(donor_points, size)
    matrix = affine(donor_points, points)
    background = target.astype(np.float32) / 255
    face = warp(np.ascontiguousarray(donor, np.float32) / 255, matrix)
    if rng.random() < 0.6:
        face = soften(face, rng.uniform(0.45, 0.9))
    mask = face_mask(points, size, rng, elastic=1.0)
    face = transfer_colours(face, background, mask, rng.uniform(0.2, 0.9))
    return blend(face, background, mask, rng.uniform(0.9, 1.0))


def self_blend(target: Array, points: Array, rng: Generator) -> Array:
    """A self-blended image (Shiohara and Yamasaki, CVPR 2022): one photograph blended with an altered copy of itself.

    The copy gets other colour statistics (``shift_colours``) and is either softened (factor 0.25 to 0.6) or sharpened
    (0.5 to 1.5), then resized by up to 5 % and moved by up to 3 % horizontally and 1.5 % vertically; the mask is
    deformed elastically (3 pixels) and feathered; the blending ratio is 0.75 or, in three of four, 1.

    In the paper either copy may be the altered one. Here it is always the one inside the mask, because an altered
    background is a property of the whole image that real images here do not have; and the ratios 0.25 and 0.5 are left
    out, because at this size many such fakes differ from their photograph by less than JPEG compression does.

    Args:
        target: RGB uint8 (S, S, 3).
        points: its landmarks (5, 2), in pixels.

    Returns:
        RGB uint8 (S, S, 3).
    """
    size = target.shape[0]
    background = target.astype(np.float32) / 255
    copy = shift_colours(background, rng)
    copy = soften(copy, rng.uniform(0.25, 0.6)) if rng.random() < 0.5 else sharpen(copy, rng.uniform(0.5, 1.5))
    zoom = rng.uniform(0.95, 1.05)
    shift = rng.uniform(-1, 1, 2) * (0.03, 0.015) * size
    centre = points.mean(0)
    copy = warp(copy, np.column_stack([np.eye(2) * zoom, (1 - zoom) * centre + shift]))
    mask = face_mask(points, size, rng, elastic=3.0)
    return blend(copy, background, mask, rng.choice([0.75, 1.0, 1.0, 1.0]))
