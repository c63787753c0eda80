"""From photographs to face crops: duplicates out, faces found by MTCNN, square crops with their landmarks."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from dfbench.contracts import Progress
from dfbench.errors import MissingDependency
from dfbench_data.landmarks import Array

MARGIN = 0.3
"""A crop is wider than the detected face by this share."""

VIEWS = ((1.0, 0.0, 0.0), (1.1, 0.04, -0.04))
"""Two crops of each face: zoom of the box, and its shift right and down as a share of its side."""

DETECTION_SIDE = 224
MIN_FACE = 50
BATCH = 32
HASH_DISTANCE = 6


@dataclass(frozen=True)
class Face:
    """A face found in a photograph: box (left, top, right, bottom) and landmarks (5, 2), in pixels of the photograph."""

    box: Array
    landmarks: Array


def drop_duplicates(images: Mapping[str, Image.Image]) -> tuple[list[str], list[str]]:
    """Names of the images to keep, and one line for each image dropped because it shows the same photograph.

    Two images are the same photograph if their 64-bit perceptual hashes differ in at most 6 bits.
    """
    try:
        import imagehash
    except ImportError:
        raise _missing("imagehash", "pip install imagehash") from None
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


def detect(images: Mapping[str, Image.Image], progress: Progress) -> dict[str, Face]:
    """The largest face of each image; images without a face are left out.

    MTCNN (Zhang et al., IEEE SPL 2016) with the weights in the facenet-pytorch wheel, on images fitted into 224 x 224.
    Boxes and landmarks are rounded to a quarter of a pixel there, so that a crop does not depend on the last bits of
    a machine's arithmetic.
    """
    try:
        from facenet_pytorch import MTCNN
    except ImportError:
        raise _missing("facenet-pytorch", "pip install --no-deps facenet-pytorch==2.6.0") from None
    detector = MTCNN(keep_all=True, min_face_size=MIN_FACE, post_process=False, device="cpu")
    names = list(images)
    faces = {}
    with progress.task("faces", len(names)) as advance:
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            square = (DETECTION_SIDE, DETECTION_SIDE)
            fitted = [ImageOps.pad(images[name], square, Image.Resampling.BICUBIC) for name in batch]
            boxes, _, points = detector.detect(fitted, landmarks=True)
            for name, found, marks in zip(batch, boxes, points, strict=True):
                if found is not None:
                    width, height = images[name].size
                    scale = max(width, height) / DETECTION_SIDE
                    border = np.array([max(width, height) - width, max(width, height) - height]) / 2
                    box, mark = (np.rint(np.asarray(a[0], float) * 4) / 4 * scale for a in (found, marks))
                    faces[name] = Face(box - np.tile(border, 2), mark - border)
            advance(len(batch))
    return faces


def crop(image: Image.Image, face: Face, size: int, view: tuple[float, float, float]) -> tuple[Array, Array]:
    """A square crop around the face: RGB uint8 (size, size, 3), and the landmarks (5, 2) in its pixels.

    One bicubic, antialiased resampling straight from the photograph; beyond its border the photograph is reflected.
    """
    zoom, right, down = view
    left, top, far, bottom = face.box
    side = max(far - left, bottom - top) * (1 + MARGIN) * zoom
    corner = np.array([(left + far) / 2 + right * side, (top + bottom) / 2 + down * side]) - side / 2
    pixels = np.asarray(image)
    border = int(np.ceil(max(0.0, *-corner, *(corner + side - image.size)))) + 2
    padded = Image.fromarray(np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="reflect"))
    area = (*(corner + border), *(corner + border + side))
    resized = padded.resize((size, size), Image.Resampling.BICUBIC, box=tuple(map(float, area)))
    # Pixel centres: coordinate c of the photograph is c + 0.5 from the left edge of its first pixel.
    return np.asarray(resized), (face.landmarks + 0.5 - corner) * (size / side) - 0.5


def open_photographs(files: Mapping[str, bytes]) -> dict[str, Image.Image]:
    """Decoded RGB images by name."""
    return {name: Image.open(io.BytesIO(content)).convert("RGB") for name, content in files.items()}


def _missing(package: str, command: str) -> MissingDependency:
    return MissingDependency(f"the data set 'mini' needs the package {package}, which is not installed: {command}")
