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

VIEWS = ((1.0, 0.0, 0.0), (0.93, 0.03, -0.03))
"""Two crops of each face: zoom of the box, and its shift right and down as a share of its side."""

DETECTION_SIDE = 224
MIN_FACE = 50
BATCH = 8
HASH_DISTANCE = 6


@dataclass(frozen=True)
class Face:
    """A face in a photograph: box (left, top, right, bottom) and landmarks (5, 2), in pixels of the photograph."""

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
        import torch
        from facenet_pytorch import MTCNN  # type: ignore[import-untyped]
    except ImportError:
        raise _missing("facenet-pytorch", "pip install --no-deps facenet-pytorch==2.6.0") from None
    detector = MTCNN(keep_all=True, min_face_size=MIN_FACE, post_process=False, device="cpu")
    names = list(images)
    faces = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order, on any number of cores; and these small nets gain little from more
    try:
        with progress.task("faces", len(names)) as advance:
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                square = (DETECTION_SIDE, DETECTION_SIDE)
                fitted = [ImageOps.pad(images[name], square, Image.Resampling.BICUBIC) for name in batch]
                boxes, _, points = detector.detect(fitted, landmarks=True)
                for name, found, marks in zip(batch, boxes, points, strict=True):
                    if found is not None:
                        faces[name] = _in_photograph(found[0], marks[0], images[name].size)
                advance(len(batch))
    finally:
        torch.set_num_threads(threads)
    return faces


def _in_photograph(box: Array, landmarks: Array, size: tuple[int, int]) -> Face:
    """A detection in a photograph that was fitted into the detector's square, in the photograph's own pixels."""
    side = max(size)
    border = (side - np.array(size)) / 2
    box, landmarks = (np.rint(np.asarray(a, float) * 4) / 4 * side / DETECTION_SIDE for a in (box, landmarks))
    return Face(box - np.tile(border, 2), landmarks - border)


def crop(image: Image.Image, face: Face, size: int, view: tuple[float, float, float]) -> tuple[Array, Array]:
    """A square crop around the face: RGB uint8 (size, size, 3), and the landmarks (5, 2) in its pixels.

    One bicubic, antialiased resampling straight from the photograph. A crop never leaves the photograph: it is made
    smaller or moved where it would.
    """
    zoom, right, down = view
    left, top, far, bottom = face.box
    side = min(max(far - left, bottom - top) * (1 + MARGIN) * zoom, *image.size)
    middle = np.array([(left + far) / 2 + right * side, (top + bottom) / 2 + down * side])
    corner = np.clip(middle - side / 2, 0.0, np.array(image.size) - side)
    x, y = map(float, corner)
    resized = image.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))
    # Pixel i covers [i, i + 1): its centre is i + 0.5 from the left edge.
    return np.asarray(resized), (face.landmarks + 0.5 - corner) * (size / side) - 0.5


def open_photographs(files: Mapping[str, bytes]) -> dict[str, Image.Image]:
    """Decoded RGB images by name."""
    return {name: Image.open(io.BytesIO(content)).convert("RGB") for name, content in files.items()}


def _missing(package: str, command: str) -> MissingDependency:
    return MissingDependency(f"the data set 'mini' needs the package {package}, which is not installed: {command}")
