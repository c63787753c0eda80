"""Decoding: any image file to RGB uint8 of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfbench.images import ImageError, open_rgb

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
MIN_SIDE = 32


def decode(content: bytes, size: int) -> NDArray[Any]:
    """RGB uint8 (size, size, 3) of an encoded image: the largest centred square, antialiased bicubic.

    Raises:
        ImageError: see :func:`~dfbench.images.open_rgb`; or smaller than 32 pixels.
    """
    rgb = open_rgb(content)
    if min(rgb.size) < MIN_SIDE:
        raise ImageError(f"{rgb.width}x{rgb.height} pixels, smaller than {MIN_SIDE}")
    side = min(rgb.size)
    left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
    area = (left, top, left + side, top + side)
    return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, box=area))
