"""The frequency plane of an image: basis images as perturbations of a fixed norm, and the spectra of perturbations.

Yin, Lopes, Shlens, Cubuk and Gilmer, "A Fourier perspective on model robustness in computer vision", NeurIPS 2019,
section 2: a perturbed image is ``x + r * v * U``, where U is a real image of unit L2 norm whose Fourier transform
vanishes but at one frequency and its conjugate, and r is a random sign, drawn for each channel.

Norm, wherever it is given: the root mean square (RMS) of the perturbation over the pixels of one channel, in [0, 1]
pixels, before the perturbed image is clamped to [0, 1]. The paper's v, the L2 norm over one channel of H x W pixels, is
``rms * sqrt(H * W)``: its v = 15.7 at 224 x 224 is an RMS of 17.9/255, and 4/255 is a v of 1.51 at 96 x 96.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dfbench.rng import SampleRng, derive_seed

Frequency = tuple[int, int]
"""Vertical and horizontal frequency of an H x W image in cycles per image height and width, ``|ky| <= H // 2``,
``|kx| <= W // 2``; (ky / H, kx / W) is in cycles per pixel."""


def lattice(height: int, width: int, side: int) -> list[Frequency]:
    """``side`` x ``side`` frequencies, evenly spread over the whole plane up to Nyquist, one of each conjugate pair.

    Frequencies are whole cycles per image, so that they are rounded to the transform's bins; a small image has fewer
    bins than the lattice points, and gets each of its bins once.

    Returns:
        The frequencies in the half plane ``kx >= 0``, sorted.
    """
    ys, xs = (
        np.unique(np.round(np.linspace(-(size // 2), size // 2, side)).astype(int)).tolist() for size in (height, width)
    )
    return sorted({half_plane((ky, kx), height, width) for ky in ys for kx in xs})


def half_plane(frequency: Frequency, height: int, width: int) -> Frequency:
    """The one of the equivalent frequencies that stands for all: conjugates, and opposite edges of the plane."""

    def within(k: int, size: int) -> int:  # in (-size / 2, size / 2]
        return k + size * ((size - 2 * k) // (2 * size))

    ky, kx = frequency
    pair = [(within(sign * ky, height), within(sign * kx, width)) for sign in (1, -1)]
    return max(pair, key=lambda found: (found[1], found[0]))


def bins(frequency: Frequency, height: int, width: int) -> int:
    """How many bins of the transform the basis image of a frequency fills: 2, or 1 where it is its own conjugate."""
    ky, kx = frequency
    return 1 if (2 * ky) % height == 0 and (2 * kx) % width == 0 else 2


def radius(frequency: Frequency, height: int, width: int) -> float:
    """Radial frequency in cycles per pixel: 0.5 is Nyquist along an axis, 0.707 the corner of the plane."""
    return math.hypot(frequency[0] / height, frequency[1] / width)


def basis(frequencies: Sequence[Frequency], height: int, width: int) -> Tensor:
    """The basis images (D, H, W) of the frequencies, float32, each of unit L2 norm.

    The paper leaves the phase open. These are Hartley's ``cos + sin``, which have the same norm also where a frequency
    is its own conjugate. The images of two different bins are orthogonal.
    """
    ky, kx = torch.tensor(frequencies, dtype=torch.float64).reshape(-1, 2).T
    y, x = (torch.arange(size, dtype=torch.float64) for size in (height, width))
    # In whole turns first: large multiples of 2 pi would lose digits.
    turns = ((ky[:, None] * y / height)[:, :, None] + (kx[:, None] * x / width)[:, None, :]) % 1
    phase = 2 * math.pi * turns
    images: Tensor = (phase.cos() + phase.sin()) / math.sqrt(height * width)
    return images.float()


def signs(ids: Sequence[str], frequencies: Sequence[Frequency], seed: int) -> Tensor:
    """The random signs (B, D, 3) of each sample, frequency and channel: -1 or 1, from (seed, frequency, sample id).

    The same in every batch, in every selection of frequencies, and for every detector, so that detectors compare in
    pairs.
    """
    like = torch.empty(len(ids), 3)
    drawn = [SampleRng(derive_seed(seed, "fourier", *frequency), ids).uniform(like) for frequency in frequencies]
    return torch.stack(drawn, 1).lt(0.5).float() * 2 - 1


def perturb(x: Tensor, images: Tensor, sign: Tensor, rms: float) -> Tensor:
    """Each image with each basis image added: ``clamp(x + sign * rms * sqrt(H * W) * U, 0, 1)``.

    Args:
        x: images (B, 3, H, W) in [0, 1].
        images: basis images (D, H, W).
        sign: (B, D, 3).
        rms: of the perturbation over the pixels of a channel, before clamping, in [0, 1] pixels.

    Returns:
        Images (B, D, 3, H, W) in [0, 1].
    """
    height, width = x.shape[-2:]
    norm = rms * math.sqrt(height * width)
    shown: Tensor = x[:, None] + norm * sign[..., None, None] * images[None, :, None]
    return shown.clamp(0, 1)


def energy_shares(delta: Tensor) -> Tensor:
    """How the energy of each perturbation (B, C, H, W) spreads over the frequencies: shares (B, H, W), which sum to 1.

    ``|FFT2|^2``, summed over the channels, over its total (by Parseval the squared L2 norm of the perturbation times
    H * W); bins in the order of ``torch.fft.fftfreq``. NaN for a perturbation of zeros, which has no spectrum.
    """
    power = torch.fft.fft2(delta.double()).abs().square().sum(1)
    shares: Tensor = power / power.sum((1, 2), keepdim=True)
    return shares


def radial_mean(plane: Tensor, annuli: int) -> tuple[Tensor, Tensor]:
    """The mean of a plane (H, W), in the order of ``torch.fft.fftfreq``, over annuli of equal width around its origin.

    Returns:
        Mean radius of the bins in each annulus, in cycles per pixel, and the mean of their values; annuli reach up to
        the corner of the plane (0.707), and those without a bin are left out.
    """
    y, x = (torch.fft.fftfreq(size, dtype=torch.float64) for size in plane.shape)
    radii = torch.hypot(y[:, None], x[None, :]).flatten()
    # A hair wider, so that the corner itself is within the last annulus.
    number = (radii / (math.sqrt(0.5) * (1 + 1e-9)) * annuli).long()
    count = torch.bincount(number, minlength=annuli)
    sums = [torch.bincount(number, values, annuli) for values in (radii, plane.double().flatten().cpu())]
    return sums[0][count > 0] / count[count > 0], sums[1][count > 0] / count[count > 0]
