"""Images and masks as float32 arrays in [0, 1]: colour, sharpness, face masks and blending. Random from a generator."""

from __future__ import annotations

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
    mask = np.zeros((size, size), np.float32)
    if kind == 1:
        cv2.ellipse(mask, cv2.fitEllipse(outline.astype(np.float32)), 1.0, -1)
    else:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(outline).astype(np.int32)), 1.0)
    coarse = rng.normal(0.0, elastic * scale, (5, 5, 2)).astype(np.float32)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)
    field = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) + grid
    mask = cv2.remap(mask, field[..., 0], field[..., 1], cv2.INTER_LINEAR)
    return cv2.GaussianBlur(mask, (0, 0), rng.uniform(1.5, 5.0) * scale)


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
    return np.clip(image + amount * (image - cv2.GaussianBlur(image, (0, 0), 1.0)), 0.0, 1.0)


def shift_colours(image: Array, rng: Generator) -> Array:
    """Random colour statistics (Shiohara and Yamasaki 2022, section 3.2), within milder ranges than photo filters.

    RGB shift of at most 16/255 per channel, saturation within 25 %, value within 10 %, then brightness within 0.08
    and contrast within 12 %.
    """
    shifted = np.clip(image + rng.uniform(-16 / 255, 16 / 255, 3).astype(np.float32), 0.0, 1.0)
    hsv = cv2.cvtColor(shifted, cv2.COLOR_RGB2HSV)
    hsv[..., 1:] *= rng.uniform([0.75, 0.9], [1.25, 1.1]).astype(np.float32)
    rgb = cv2.cvtColor(np.clip(hsv, 0.0, [360.0, 1.0, 1.0]).astype(np.float32), cv2.COLOR_HSV2RGB)
    contrast, brightness = rng.uniform(0.88, 1.12), rng.uniform(-0.08, 0.08)
    return np.clip((rgb - 0.5) * np.float32(contrast) + np.float32(0.5 + brightness), 0.0, 1.0)


def transfer_colours(source: Array, target: Array, mask: Array, strength: float) -> Array:
    """``source`` with the Lab mean and deviation of ``target`` inside the mask (Reinhard et al., IEEE CG&A 2001).

    ``strength`` in [0, 1] goes from the source's own statistics to the target's; contrast at most doubles.
    """
    inside = mask > 0.5
    lab, wanted = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in (source, target))
    mean, spread = lab[inside].mean(0), lab[inside].std(0) + 1e-3
    new_mean, new_spread = wanted[inside].mean(0), wanted[inside].std(0)
    gain = 1 + strength * (np.minimum(new_spread / spread, 2.0) - 1)
    moved = (lab - mean) * gain + mean + strength * (new_mean - mean)
    return np.clip(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_LAB2RGB), 0.0, 1.0)


def blend(source: Array, target: Array, mask: Array, ratio: float) -> Array:
    """uint8 image of ``source`` over ``target`` (float, [0, 1]) with weight ``ratio * mask``."""
    weight = mask[..., None] * np.float32(ratio)
    return np.rint((target + (source - target) * weight) * 255).astype(np.uint8)
