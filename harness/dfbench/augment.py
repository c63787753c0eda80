"""The augmentation ``standard``: crop, colour jitter and rotation, with every number drawn for the sample alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

_AREA = (0.9, 1.0)
_LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
_ATTEMPTS = 10
_JITTER = {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1}
_HUE = 0.05
_DEGREES = 10.0


def standard(pixels: np.ndarray[Any, Any], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """An image augmented as torchvision's RandomResizedCrop(scale=(0.9, 1)), ColorJitter(0.1, 0.1, 0.1, 0.05) and
    RandomRotation(10) would, in this order; the horizontal flip that goes with them is the loader's.

    The arithmetic is torchvision's; the random numbers are not its global ones, so that they can belong to a sample.
    In floats from end to end: rounded to 8 bits once.

    Args:
        pixels: RGB uint8 (H, W, 3).
        rng: the sample's own numbers.

    Returns:
        RGB uint8 of the same shape.
    """
    tv = _torchvision()

    height, width = pixels.shape[:2]
    x = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order="C") / 255)
    x = tv.resized_crop(x, *crop_box(height, width, rng), size=[height, width], antialias=True)
    x = _jittered(x, rng)
    x = rotated(x, rng.uniform(-_DEGREES, _DEGREES))
    return x.mul(255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def crop_box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop of 0.9 to 1 of the area and an aspect ratio from 3:4 to 4:3.

    As torchvision's RandomResizedCrop draws it: ten attempts at a box that fits, else the whole image.
    """
    for _ in range(_ATTEMPTS):
        area = height * width * rng.uniform(*_AREA)
        ratio = math.exp(rng.uniform(*_LOG_RATIO))
        h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < h <= height and 0 < w <= width:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return 0, 0, height, width


def rotated(x: Tensor, degrees: float) -> Tensor:
    """The image (3, H, W) rotated about its centre, bilinear, its corners filled by reflection.

    Black wedges in the corners would tell the detector the angle and darken the image, and a crop that avoids them
    would enlarge the face by up to 16%, beyond what the crop's scale allows. Mirrored skin and background do neither.
    """
    tv = _torchvision()
    height, width = x.shape[-2:]
    sine, cosine = abs(math.sin(math.radians(degrees))), math.cos(math.radians(degrees))
    # What a rotated frame reaches beyond the upright one, on each side, and a pixel for the interpolation.
    across = math.ceil((width * cosine + height * sine - width) / 2) + 1
    down = math.ceil((height * cosine + width * sine - height) / 2) + 1
    padded = tv.pad(x, [across, down], padding_mode="reflect")
    turned: Tensor = tv.rotate(padded, degrees, interpolation=tv.InterpolationMode.BILINEAR)
    return turned[..., down : down + height, across : across + width]


def _jittered(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue changed by random factors, in random order."""
    tv = _torchvision()
    adjust = {
        "brightness": tv.adjust_brightness,
        "contrast": tv.adjust_contrast,
        "saturation": tv.adjust_saturation,
        "hue": tv.adjust_hue,
    }
    factors = {name: rng.uniform(1 - spread, 1 + spread) for name, spread in _JITTER.items()}
    factors["hue"] = rng.uniform(-_HUE, _HUE)
    for name in rng.permutation(sorted(adjust)):
        x = adjust[name](x, factors[name])
    return x


def _torchvision() -> Any:
    """torchvision's image operations; imported here, so that a run that does not use them need not wait for it."""
    from torchvision.transforms.v2 import functional  # type: ignore[import-untyped]

    return functional
