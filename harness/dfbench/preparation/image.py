"""An image file as pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dfbench.errors import DataError


def read_image(path: Path) -> NDArray[Any]:
    """RGB uint8 (H, W, 3), upright by its EXIF orientation.

    Raises:
        DataError: zero bytes, not an image, or damaged; the message is the reason alone.
    """
    if not path.stat().st_size:
        raise DataError("zero bytes")
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise DataError("not an image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be decoded: {error}") from error
