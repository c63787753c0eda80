"""A U-Net that draws perturbations, and the losses that keep them smooth: for learned attacks and for training.

Definitions: docs of each function. Everything is in [0, 1] pixels and float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOW_BAND = 0.125
"""Radius of the low-frequency band, cycles per pixel (the Nyquist frequency is 0.5)."""

MARGIN_FLOOR = -3.0
"""A margin of logits at which an image counts as surely lost: probability 0.05 for the true class."""


class UNetAttacker(nn.Module):
    """U-Net from images (B, 3, H, W) in [0, 1] to perturbations of the same shape within [-eps, eps].

    Three encoder stages of 16, 32 and 64 channels and a bottleneck of 128, each two 3x3 convolutions with batch norm
    and GELU (the convolutions carry no bias: the norm has one), 2x2 max pooling between them, 2x2 transposed
    convolutions with skip connections on the way up, and a 3x3 convolution to three channels: 483,155 parameters. The
    perturbation is ``eps * tanh(out)``. Any H and W: the image is padded by reflection to a multiple of 8 and the
    perturbation cropped.

    Args:
        eps: L-inf bound, in [0, 1] pixels.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps
        widths = (16, 32, 64)
        self.encoders = nn.ModuleList(_double_conv(i, o) for i, o in zip((3, *widths), widths, strict=False))
        self.bottleneck = _double_conv(64, 128)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths))
        self.decoders = nn.ModuleList(_double_conv(2 * w, w) for w in reversed(widths))
        self.out = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Perturbation (B, 3, H, W) for images ``x``; it does not see the labels."""
        height, width = x.shape[-2:]
        h = F.pad(x - 0.5, (0, -width % 8, 0, -height % 8), mode="reflect")
        h = h.contiguous(memory_format=torch.channels_last)  # faster convolutions
        skips = []
        for encoder in self.encoders:
            h = encoder(h)
            skips.append(h)
            h = F.max_pool2d(h, 2)
        h = self.bottleneck(h)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            h = decoder(torch.cat([up(h), skips.pop()], 1))
        delta: Tensor = self.eps * torch.tanh(self.out(h))
        return delta[..., :height, :width].contiguous()


def _double_conv(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.GELU()]
    return nn.Sequential(*layers)


def total_variation(delta: Tensor) -> Tensor:
    """Mean absolute difference of vertical neighbours plus that of horizontal ones, of (B, 3, H, W); a scalar."""
    vertical = (delta[..., 1:, :] - delta[..., :-1, :]).abs().mean()
    horizontal = (delta[..., 1:] - delta[..., :-1]).abs().mean()
    return vertical + horizontal


def low_frequency_energy(delta: Tensor) -> Tensor:
    """Mean over all bins of ``|FFT2_ortho(delta)|^2``, those beyond ``LOW_BAND`` counted as 0; a scalar."""
    return (_spectrum(delta) * _low_band(delta)).mean()


def low_band_ratio(delta: Tensor) -> Tensor:
    """Share of each perturbation's energy within ``LOW_BAND``, in [0, 1], (B,); 0 for a perturbation of zeros.

    A diagnostic: white noise gives the share of bins in the band, about 0.05, a smooth perturbation nearly 1.
    """
    power = _spectrum(delta)
    low = (power * _low_band(delta)).sum((1, 2, 3))
    return low / power.sum((1, 2, 3)).clamp_min(torch.finfo(power.dtype).tiny)


def _spectrum(delta: Tensor) -> Tensor:
    power: Tensor = torch.fft.fft2(delta.float(), norm="ortho").abs().square()
    return power


def _low_band(delta: Tensor) -> Tensor:
    height, width = delta.shape[-2:]
    y = torch.fft.fftfreq(height, device=delta.device)[:, None]
    x = torch.fft.fftfreq(width, device=delta.device)[None, :]
    return (torch.hypot(y, x) <= LOW_BAND).float()


OBJECTIVES = ("margin", "ce")
"""What a U-Net attacker can minimise, see :func:`attacker_loss`."""


def attacker_loss(
    logits: Tensor, y: Tensor, delta: Tensor, *, eps: float, tv: float, freq: float, objective: str = "margin"
) -> Tensor:
    """What a U-Net attacker minimises: ``objective + tv * TV(delta / eps) + freq * LF(delta / eps)``; a scalar.

    The objective ``ce`` is ``-CE``, as dual-attacker training was first published with. The default ``margin``, the
    true class's logit minus the other one, stands for it: for two classes ``-CE`` is a monotone function of the margin
    (``-softplus(-margin)``). ``-CE`` itself has no gradient where the detector is sure and right, and no bound where
    it is wrong, so that it spends itself on images already lost; the margin has gradient 1 down to ``MARGIN_FLOOR``
    and none below. At equal cost it lowers the accuracy further.

    Args:
        logits: the detector's (B, 2), of ``(x + delta).clamp(0, 1)``, with gradient to ``delta``.
        y: the true labels (B,).
        delta: perturbations (B, 3, H, W).
        eps: their bound; the terms see ``delta / eps`` in [-1, 1], so that one weight serves every eps.
        tv, freq: weights of the two terms; 0 leaves a term out.
        objective: one of ``OBJECTIVES``.
    """
    if objective == "ce":
        loss = -F.cross_entropy(logits.float(), y)
    else:
        sign = 2 * y.to(torch.float32) - 1
        loss = ((logits[:, 1].float() - logits[:, 0].float()) * sign).clamp_min(MARGIN_FLOOR).mean()
    unit = delta.float() / eps
    if tv:
        loss = loss + tv * total_variation(unit)
    if freq:
        loss = loss + freq * low_frequency_energy(unit)
    return loss
