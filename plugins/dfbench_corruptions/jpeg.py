"""JPEG by the real codec."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dfbench.contracts import Corruption
from dfbench.rng import SampleRng
from dfbench_corruptions.surrogate import recode


class Jpeg(Corruption):
    """A libjpeg-turbo round trip with 4:2:0 chroma: what a photograph meets on upload.

    Pixels become uint8 by rounding ``x * 255`` half to even, which is exact for images that came from uint8.

    Args:
        quality: libjpeg's quality, 1 to 100.
    """

    def __init__(self, quality: int = 50) -> None:
        self.quality = quality
        self.clip_label = f"jpeg_frames_q{quality}"

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Corruption`."""
        pixels = (x.detach() * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        decoded = np.stack([self._round_trip(image) for image in pixels])
        return torch.from_numpy(decoded).permute(0, 3, 1, 2).to(x) / 255

    def surrogate(self, x: Tensor) -> Tensor:
        """See :class:`~dfbench.contracts.Corruption`: with the quantisation tables that libjpeg uses."""
        luma, chroma = _tables(self.quality)
        return recode(x, luma, chroma)

    def clip(self, frames: Iterator[NDArray[Any]], rate: Fraction) -> Iterator[NDArray[Any]]:
        """See :class:`~dfbench.contracts.Corruption`."""
        return map(self._round_trip, frames)

    def _round_trip(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One RGB image (H, W, 3), uint8, encoded and decoded."""
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=self.quality, subsampling="4:2:0")
        return np.asarray(Image.open(stream))


@cache
def _tables(quality: int) -> tuple[Tensor, Tensor]:
    """The quantisation steps (8, 8) of luma and chroma at a quality, as the codec writes them into a file."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", quality=quality)
    tables: dict[int, list[int]] = Image.open(stream).quantization  # type: ignore[attr-defined]
    luma, chroma = (torch.tensor(tables[number], dtype=torch.float32).view(8, 8) for number in (0, 1))
    return luma, chroma
