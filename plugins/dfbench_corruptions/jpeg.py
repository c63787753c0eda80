"""JPEG by the real codec."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg

from dfbench.contracts import Corruption
from dfbench.rng import SampleRng


class Jpeg(Corruption):
    """A libjpeg-turbo round trip with 4:2:0 chroma: what a photograph meets on upload.

    Pixels become uint8 by rounding ``x * 255`` half to even, which is exact for images that came from uint8. The bytes
    and pixels equal Pillow's at the same quality.

    Args:
        quality: libjpeg's quality, 1 to 100.
    """

    def __init__(self, quality: int = 50) -> None:
        self.quality = quality

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Corruption`."""
        pixels = (x.detach() * 255).round().to("cpu", torch.uint8)
        decoded = [decode_jpeg(encode_jpeg(image.contiguous(), self.quality)) for image in pixels]
        return torch.stack(decoded).to(x) / 255
