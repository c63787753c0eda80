"""From a photograph to face crops: the largest face found by MTCNN, square crops with their landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from dfbench.errors import MissingDependency
from dfbench_data.landmarks import Array

VERSION = 1
"""Changes whenever the same photograph gives other crops or landmarks."""

MARGIN = 0.3
"""A crop is wider than the detected face by this share."""

VIEWS = ((1.0, 0.0, 0.0), (0.93, 0.03, -0.03))
"""Two crops of each face: zoom of the box, and its shift right and down as a share of its side."""

DETECTION_SIDE = 224
MIN_FACE = 50


@dataclass(frozen=True)
class Face:
    """A face in a photograph: box (left, top, right, bottom) and landmarks (5, 2), in pixels of the photograph."""

    box: Array
    landmarks: Array


def network(used_by: str) -> Any:
    """MTCNN (Zhang et al., IEEE SPL 2016) with the weights in the facenet-pytorch wheel; safe to share by threads.

    Raises:
        MissingDependency: facenet-pytorch is not installed.
    """
    try:
        from facenet_pytorch import MTCNN  # type: ignore[import-untyped]
    except ImportError:
        command = "pip install --no-deps facenet-pytorch==2.6.0"
        raise MissingDependency(
            f"the data set {used_by!r} needs the package facenet-pytorch, which is not installed: {command}"
        ) from None
    return MTCNN(keep_all=True, min_face_size=MIN_FACE, post_process=False, device="cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Within torch: sums in one order on any number of cores, and these small nets gain little from more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def detect(mtcnn: Any, image: Image.Image) -> Face | None:
    """The largest face of an RGB image; None where there is none.

    The image is fitted into 224 x 224, so a face must span at least a quarter of its longer side. Boxes and landmarks
    are rounded to a quarter of a pixel there, so that a crop does not depend on the last bits of a machine's
    arithmetic.
    """
    fitted = ImageOps.pad(image, (DETECTION_SIDE, DETECTION_SIDE), Image.Resampling.BICUBIC)
    # One by one, not in batches: as fast on a CPU, and what is found in a photograph depends on it alone.
    (boxes,), _, (points,) = mtcnn.detect([fitted], landmarks=True)
    return None if boxes is None else _in_photograph(boxes[0], points[0], image.size)


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
