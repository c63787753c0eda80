"""Any image file as 8-bit RGB, or a reason why it cannot be used. Never a black image."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dfbench.errors import DataError


class ImageError(DataError):
    """An image that cannot be used; the message is the reason alone."""


def open_rgb(content: bytes) -> Image.Image:
    """The RGB image of an encoded one.

    The EXIF orientation is applied; grey, palette, CMYK and 16-bit images become 8-bit RGB (65535 becomes 255);
    transparent parts are laid over white; of several frames the first is taken.

    Raises:
        ImageError: empty, truncated, not an image, or without a defined range of values.
    """
    if not content:
        raise ImageError("zero bytes")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise ImageError("not an image") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ImageError(f"cannot be decoded: {error}") from None


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
