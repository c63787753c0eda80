"""Decoding: any image file to RGB uint8 of one size, or a reason why it cannot be used. Never a black image."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
MIN_SIDE = 32


class ImageError(Exception):
    """An image that cannot be used; the message is the reason."""


def decode(content: bytes, size: int) -> NDArray[Any]:
    """RGB uint8 (size, size, 3) of an encoded image.

    The EXIF orientation is applied; grey, palette, CMYK and 16-bit images become 8-bit RGB (65535 becomes 255);
    transparent parts are laid over white; of several frames the first is taken; the largest centred square is resized
    with an antialiased bicubic filter.

    Raises:
        ImageError: empty, truncated, not an image, smaller than 32 pixels, or without a defined range of values.
    """
    if not content:
        raise ImageError("zero bytes")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            rgb = _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise ImageError("not an image") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ImageError(f"cannot be decoded: {error}") from None
    if min(rgb.size) < MIN_SIDE:
        raise ImageError(f"{rgb.width}x{rgb.height} pixels, smaller than {MIN_SIDE}")
    side = min(rgb.size)
    left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
    area = (left, top, left + side, top + side)
    return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, box=area))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_integers(np.asarray(image)).convert("RGB")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no defined range: save as 8 or 16 bits")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def _from_integers(values: NDArray[Any]) -> Image.Image:
    # Pillow decodes 16-bit grey to mode I;16 or I, and its own conversion to 8 bits clips at 255.
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("32-bit pixels have no defined range: save as 8 or 16 bits")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
