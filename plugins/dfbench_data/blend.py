"""Images and masks as float32 arrays in [0, 1]: colour, sharpness, face masks and blending. Random from a generator."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.random import Generator

from dfbench_data.landmarks import Array, contour

REFERENCE = 128
"""Crop side that lengths in pixels refer to; they scale with the crop."""


def face_mask(points: Array, size: int, rng: Generator, *, elastic: float) -> Array:
    """A soft face mask (size, size) in [0, 1] for landmarks ``points`` (5, 2); exactly 0 away from the face.

    The extrapolated outline as a polygon, as its fitted ellipse, or shrunk to the inner face; scaled by 0.9 to 1.1;
    deformed by a smooth random field with standard deviation ``elastic`` pixels; feathered by a Gaussian of
    1.5 to 5 pixels (at 128).
    """
    scale = size / REFERENCE
    outline = contour(points)
    kind = rng.integers(3)
    grow = rng.uniform(0.9, 1.1) * (0.8 if kind == 2 else 1.0)
    outline = outline.mean(0) + (outline - outline.mean(0)) * grow
    mask: Array = np.zeros((size, size), np.float32)
    if kind == 1:
        cv2.ellipse(mask, cv2.fitEllipse(outline.astype(np.float32)), 1.0, -1)
    else:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(outline).astype(np.int32)), 1.0)
    coarse = rng.normal(0.0, elastic * scale, (5, 5, 2)).astype(np.float32)
    field = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) + _grid(size)
    mask = cv2.remap(mask, field[..., 0], field[..., 1], cv2.INTER_LINEAR)
    return cv2.GaussianBlur(mask, (0, 0), rng.uniform(1.5, 5.0) * scale)


@cache
def _grid(size: int) -> Array:
    """The coordinates (x, y) of every pixel, (size, size, 2)."""
    return np.indices((size, size), np.float32)[::-1].transpose(1, 2, 0)


def warp(image: Array, matrix: Array) -> Array:
    """``image`` moved by the affine ``matrix`` (2, 3), bilinear, edges reflected."""
    height, width = image.shape[:2]
    matrix = np.ascontiguousarray(matrix, np.float32)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def soften(image: Array, factor: float) -> Array:
    """Detail lost as by a generator of lower resolution: reduced by ``factor`` in (0, 1] and enlarged again."""
    size = image.shape[0]
    small = max(16, round(size * factor))
    reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(reduced, (size, size), interpolation=cv2.INTER_LINEAR)


def sharpen(image: Array, amount: float) -> Array:
    """Unsharp mask with a Gaussian of 1 pixel."""
    sharper: Array = np.clip(image + amount * (image - cv2.GaussianBlur(image, (0, 0), 1.0)), 0.0, 1.0)
    return sharper


def shift_colours(image: Array, rng: Generator) -> Array:
    """Random colour statistics (Shiohara and Yamasaki 2022, section 3.2).

    RGB shift of at most 20/255 per channel, saturation within 30 %, value within 15 %, then brightness within 0.1
    and contrast within 15 %.
    """
    shifted: Array = np.clip(image + rng.uniform(-20 / 255, 20 / 255, 3).astype(np.float32), 0.0, 1.0)
    hsv = cv2.cvtColor(shifted, cv2.COLOR_RGB2HSV)
    hsv[..., 1:] = np.clip(hsv[..., 1:] * rng.uniform([0.7, 0.85], [1.3, 1.15]).astype(np.float32), 0.0, 1.0)
    rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    contrast, brightness = rng.uniform(0.85, 1.15), rng.uniform(-0.1, 0.1)
    shifted = np.clip((rgb - 0.5) * np.float32(contrast) + np.float32(0.5 + brightness), 0.0, 1.0)
    return shifted


def transfer_colours(source: Array, target: Array, mask: Array, strength: float) -> Array:
    """``source`` with the Lab mean and deviation of ``target`` inside the mask (Reinhard et al., IEEE CG&A 2001).

    ``strength`` in [0, 1] goes from the source's own statistics to the target's; contrast at most doubles.
    """
    inside = (mask > 0.5).astype(np.uint8)
    lab, wanted = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in (source, target))
    (mean, spread), (new_mean, new_spread) = (cv2.meanStdDev(image, mask=inside) for image in (lab, wanted))
    gain = 1 + strength * (np.minimum(new_spread / (spread + 1e-3), 2.0) - 1)
    offset = mean + strength * (new_mean - mean) - gain * mean
    moved = lab * gain.ravel().astype(np.float32) + offset.ravel().astype(np.float32)
    return np.clip(cv2.cvtColor(moved, cv2.COLOR_LAB2RGB), 0.0, 1.0)


def blend(source: Array, target: Array, mask: Array, ratio: float) -> Array:
    """uint8 image of ``source`` over ``target`` (float, [0, 1]) with weight ``ratio * mask``."""
    weight = mask[..., None] * np.float32(ratio)
    return np.rint((target + (source - target) * weight) * 255).astype(np.uint8)
