"""The corruptions on a batch of 32 images of 128 x 128, JPEG beside a bare Pillow loop."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dfbench.contracts import Corruption
from dfbench.rng import SampleRng
from dfbench.threat import checked_corruption
from dfbench_corruptions.h264 import H264
from dfbench_corruptions.jpeg import Jpeg

IDS = tuple(str(i) for i in range(32))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Smooth images with grain, (32, 128, 128, 3), uint8."""
    y, x = np.mgrid[:128, :128]
    grain = np.random.default_rng(0).normal(0, 5, (32, 128, 128, 3))
    return np.clip(128 + 90 * np.sin((x + 2 * y) / 20)[None, ..., None] + grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def images(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255


def bare_pillow(pixels: np.ndarray) -> list[np.ndarray]:
    decoded = []
    for image in pixels:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=50, subsampling="4:2:0")
        decoded.append(np.asarray(Image.open(stream)))
    return decoded


def corrupt(corruption: Corruption, images: Tensor) -> None:
    checked_corruption(corruption, images, SampleRng(0, IDS))


@pytest.mark.benchmark(group="JPEG, quality 50, 32 images of 128 x 128")
class TestJpeg:
    def test_dfbench_from_tensor_to_tensor_with_checks(self, benchmark, images) -> None:
        benchmark(corrupt, Jpeg(50), images)

    def test_bare_pillow_from_uint8_to_uint8(self, benchmark, pixels) -> None:
        benchmark(bare_pillow, pixels)


@pytest.mark.benchmark(group="H.264, CRF 23, 32 images of 128 x 128")
def test_h264(benchmark, images) -> None:
    benchmark(corrupt, H264(23), images)
