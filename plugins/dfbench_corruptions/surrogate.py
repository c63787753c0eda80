"""A stand-in for block-transform codecs that has a gradient: attacks follow it, scores come from the real codec.

A codec rounds the coefficients of 8 x 8 blocks. What a pixel change does behind it depends on which coefficients are
near the next rounding threshold: fine detail is rounded to nothing, however long an attack follows its gradient. Taking
the codec's gradient for the identity's, an attack spends itself there.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 0.1
"""Slope of the rounding at a whole number, where the true one is 0. At the threshold between two it is taken to be 1,
quadratically in between: the shape of the cubic rounding of Shin and Song (NIPS 2017 workshop), with a floor so that
no coefficient is given up. Of the slopes tried (constant, linear, fourth power, only what survives) PGD gets furthest
with it."""

_TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def recode(x: Tensor, luma: Tensor, chroma: Tensor) -> Tensor:
    """Images as a 4:2:0 codec with an 8 x 8 cosine transform leaves them; differentiable.

    Args:
        x: images (B, 3, H, W) in [0, 1], of any size.
        luma, chroma: quantisation steps (8, 8), in grey levels of the orthonormal transform.
    """
    height, width = x.shape[2:]
    padded = F.pad(x * 255, (0, -width % 16, 0, -height % 16), mode="replicate")
    to_ycc = _TO_YCC.to(x)
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, padded)
    y = _quantised(ycc[:, :1] - 128, luma.to(x)) + 128
    c = _quantised(F.avg_pool2d(ycc[:, 1:], 2), chroma.to(x))
    c = F.interpolate(c, scale_factor=2, mode="bilinear", align_corners=False)
    rgb: Tensor = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_ycc), torch.cat([y, c], 1))
    return (rgb[..., :height, :width] / 255).clamp(0, 1)


def _quantised(plane: Tensor, steps: Tensor) -> Tensor:
    """Planes (B, C, H, W) with sides of whole blocks, their coefficients rounded to multiples of the steps."""
    count, channels, height, width = plane.shape
    blocks = plane.view(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    cosine = _cosine(plane)
    rounded: Tensor = _Round.apply(cosine @ blocks @ cosine.T / steps) * steps
    return (cosine.T @ rounded @ cosine).transpose(3, 4).reshape(plane.shape)


def _cosine(like: Tensor) -> Tensor:
    """The orthonormal cosine transform of 8 values, as a matrix."""
    k = torch.arange(8, dtype=like.dtype, device=like.device)
    matrix = torch.cos((2 * k[None, :] + 1) * k[:, None] * (math.pi / 16)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


class _Round(torch.autograd.Function):
    """Rounding, with the slope that :data:`FLOOR` describes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        nearness: Tensor = 2 * (x - x.round()).abs()
        return grads[0] * (FLOOR + (1 - FLOOR) * nearness.square())
