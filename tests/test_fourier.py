"""Fourier basis images and spectra, against the transform itself and against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from dfbench.fourier import basis, bins, energy_shares, half_plane, lattice, perturb, radial_mean, radius, signs
from dfbench.perturbation import LOW_BAND, low_band_ratio

SIZES = [(16, 16), (15, 18), (7, 9)]


@pytest.mark.parametrize("height, width", SIZES)
def test_a_basis_image_has_unit_norm_and_fills_its_bin_and_its_conjugate_alone(height: int, width: int) -> None:
    frequencies = lattice(height, width, 5)
    for frequency, image in zip(frequencies, basis(frequencies, height, width), strict=True):
        assert float(image.norm()) == pytest.approx(1, abs=1e-5)
        power = torch.fft.fft2(image.double()).abs().square()
        ky, kx = frequency
        pair = {(ky % height, kx % width), (-ky % height, -kx % width)}
        filled = {tuple(place) for place in torch.nonzero(power > 1e-6 * power.max()).tolist()}
        assert filled == pair
        assert len(pair) == bins(frequency, height, width)


def test_basis_images_of_different_bins_are_orthogonal() -> None:
    images = basis(lattice(12, 12, 12), 12, 12).flatten(1).double()
    products = images @ images.T
    assert torch.allclose(products, torch.eye(len(images), dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("height, width", SIZES)
def test_a_full_lattice_has_every_bin_of_the_plane_once(height: int, width: int) -> None:
    frequencies = lattice(height, width, 2 * max(height, width) + 1)
    assert sum(bins(frequency, height, width) for frequency in frequencies) == height * width


def test_conjugate_frequencies_have_one_representative() -> None:
    assert half_plane((3, -2), 16, 16) == half_plane((-3, 2), 16, 16) == (-3, 2)
    assert half_plane((0, -8), 16, 16) == (0, 8)


def test_the_radius_is_in_cycles_per_pixel() -> None:
    assert radius((8, 0), 16, 32) == 0.5
    assert radius((8, 16), 16, 32) == pytest.approx(math.sqrt(0.5))


def test_the_norm_of_a_perturbation_is_the_one_asked_for_in_every_channel() -> None:
    x = torch.full((2, 3, 16, 16), 0.5)
    frequencies = [(0, 3), (5, 1), (-8, 8)]
    delta = perturb(x, basis(frequencies, 16, 16), signs(["a", "b"], frequencies, 0), 4 / 255) - x[:, None]
    assert delta.shape == (2, 3, 3, 16, 16)
    assert torch.allclose(delta.square().mean((-2, -1)).sqrt(), torch.tensor(4 / 255), rtol=1e-4)
    assert torch.allclose(delta.flatten(3).norm(dim=3), torch.tensor(4 / 255 * 16), rtol=1e-4)


def test_perturbed_images_stay_in_the_unit_range() -> None:
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    seen = perturb(x, basis([(1, 1)], 8, 8), signs(["a", "b"], [(1, 1)], 0), 0.5)
    assert float(seen.min()) == 0
    assert float(seen.max()) == 1


def test_a_sign_depends_on_seed_sample_and_frequency_and_not_on_the_batch() -> None:
    frequencies = [(0, 1), (2, 3)]
    both = signs(["a", "b"], frequencies, 0)
    assert set(both.flatten().tolist()) <= {-1.0, 1.0}
    assert torch.equal(signs(["b"], frequencies[1:], 0)[0, 0], both[1, 1])
    many = signs([str(i) for i in range(400)], [(0, 1)], 0)
    assert abs(float(many.mean())) < 0.1
    assert not torch.equal(many, signs([str(i) for i in range(400)], [(0, 1)], 1))


def test_energy_shares_follow_parseval() -> None:
    torch.manual_seed(0)
    delta = torch.randn(3, 3, 12, 10, dtype=torch.float64)
    shares = energy_shares(delta)
    assert torch.allclose(shares.sum((1, 2)), torch.ones(3, dtype=torch.float64))
    power = torch.fft.fft2(delta).abs().square().sum((1, 2, 3))
    assert torch.allclose(power, delta.square().sum((1, 2, 3)) * 120)


def test_energy_shares_in_the_low_band_are_its_ratio() -> None:
    torch.manual_seed(0)
    delta = torch.randn(2, 3, 16, 16)
    y = torch.fft.fftfreq(16)
    low = torch.hypot(y[:, None], y[None]) <= LOW_BAND
    assert torch.allclose(energy_shares(delta)[:, low].sum(1).float(), low_band_ratio(delta), atol=1e-5)


def test_the_radial_mean_of_a_plane_that_is_its_own_radius_is_the_radius() -> None:
    y = torch.fft.fftfreq(32, dtype=torch.float64)
    plane = torch.hypot(y[:, None], y[None])
    radii, means = radial_mean(plane, 10)
    assert torch.allclose(radii, means)
    assert radii[0] < 0.1
    assert radii[-1] > 0.6
