"""FGSM, PGD and MIFGSM: torchattacks' definitions bit for bit, without its traps."""

from __future__ import annotations

import pytest
import torch
import torchattacks
from detectors import noise_images, own_labels, small_detector
from torch import Tensor, nn

from dfbench.contracts import Attack
from dfbench.pgd import pgd
from dfbench.rng import SampleRng
from dfbench.view import ModelView
from dfbench_attacks.gradient import FGSM, MIFGSM, PGD
from dfbench_models.hybrid import Hybrid

EPS = 8 / 255
IDS = ("a", "b", "c", "d")
ATTACKS = [FGSM(), PGD(), MIFGSM()]


@pytest.fixture(scope="module")
def hybrid() -> nn.Module:
    torch.manual_seed(0)
    return Hybrid(layers=1).eval()


class _Start:
    """Feeds torchattacks' random start with our per-sample numbers, through the very call it makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, start: Tensor) -> None:
        real = torch.empty_like

        def empty_like(tensor: Tensor, *args, **kwargs) -> Tensor:
            made = real(tensor, *args, **kwargs)
            made.uniform_ = lambda low, high: start  # type: ignore[method-assign]
            return made

        monkeypatch.setattr("torchattacks.attacks.pgd.torch.empty_like", empty_like)


@pytest.mark.parametrize("random_start", [False, True])
def test_pgd_is_bit_identical_to_torchattacks_on_the_exact_view(
    hybrid: nn.Module, monkeypatch: pytest.MonkeyPatch, random_start: bool
) -> None:
    x, y = noise_images(4, 96), torch.tensor([0, 1, 1, 0])
    ours = PGD(steps=3, random_start=random_start)(ModelView(hybrid, exact=True), x, y, SampleRng(0, IDS))
    with monkeypatch.context() as patch:
        _Start(patch, SampleRng(0, IDS).uniform(x, -EPS, EPS))
        theirs = torchattacks.PGD(hybrid, EPS, 2 / 255, 3, random_start)(x, y)
    assert torch.equal(ours, theirs)


def test_fgsm_is_bit_identical_to_torchattacks_on_the_exact_view(hybrid: nn.Module) -> None:
    x, y = noise_images(4, 96), torch.tensor([0, 1, 1, 0])
    ours = FGSM()(ModelView(hybrid, exact=True), x, y, SampleRng(0, IDS))
    assert torch.equal(ours, torchattacks.FGSM(hybrid)(x, y))


def test_mifgsm_is_bit_identical_to_torchattacks_on_the_exact_view(hybrid: nn.Module) -> None:
    x, y = noise_images(4, 96), torch.tensor([0, 1, 1, 0])
    ours = MIFGSM(steps=3)(ModelView(hybrid, exact=True), x, y, SampleRng(0, IDS))
    assert torch.equal(ours, torchattacks.MIFGSM(hybrid, steps=3)(x, y))


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_stays_in_the_eps_ball_around_the_clean_image_and_in_the_unit_range(attack: Attack) -> None:
    model, x = small_detector(), noise_images(8)
    x[0], x[1] = 0, 1  # on the border of the range
    x_adv = attack(ModelView(model), x, own_labels(model, x), SampleRng(0, "abcdefgh"))
    assert float((x_adv - x).abs().max()) <= EPS + 1e-6
    assert float(x_adv.min()) >= 0
    assert float(x_adv.max()) <= 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_raises_the_loss_of_every_sample(attack: Attack) -> None:
    model, x = small_detector(), noise_images(8)
    view, y = ModelView(model), own_labels(model, x)
    x_adv = attack(view, x, y, SampleRng(0, "abcdefgh"))
    assert bool((view.gradient(x_adv, y)[0] > view.gradient(x, y)[0]).all())


@pytest.mark.parametrize("attack", [FGSM(eps=0), PGD(eps=0), MIFGSM(eps=0)])
def test_eps_zero_returns_equal_images_that_are_no_alias(attack: Attack) -> None:
    x = noise_images(2)
    x_adv = attack(ModelView(small_detector()), x, torch.tensor([0, 1]), SampleRng(0, "ab"))
    assert torch.equal(x_adv, x)
    assert x_adv is not x


@pytest.mark.parametrize("attack", ATTACKS)
def test_batch_size_and_order_do_not_change_the_random_start_nor_the_result(attack: Attack) -> None:
    model, x = small_detector(), noise_images(4)
    view, y = ModelView(model), own_labels(model, x)
    whole = attack(view, x, y, SampleRng(3, IDS))
    order = [2, 0]
    part = attack(view, x[order], y[order], SampleRng(3, [IDS[i] for i in order]))
    differing = (whole[order] - part).abs() > 1e-6  # signs of gradients that are rounding noise may differ
    assert float(differing.float().mean()) < 1e-3


def test_the_seed_decides_the_random_start() -> None:
    x, view = noise_images(2), ModelView(small_detector())
    y = torch.tensor([0, 1])
    runs = [PGD(steps=1)(view, x, y, SampleRng(seed, "ab")) for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_alpha_follows_eps_unless_it_is_given() -> None:
    assert PGD().alpha == pytest.approx(2 / 255)
    assert MIFGSM().alpha == pytest.approx(2 / 255)
    assert PGD(eps=0.25 / 255).alpha == pytest.approx(0.0625 / 255)
    assert PGD(alpha=1 / 255).alpha == 1 / 255


class _Saturated(nn.Module):
    """Constant logits with a gradient that is exactly zero, as with saturated ones."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        z = x.mean((1, 2, 3)) * self.scale
        return torch.stack([z, z + 3], 1)


@pytest.mark.parametrize("attack", [FGSM(), PGD(random_start=False), MIFGSM()])
def test_a_sample_with_zero_gradient_stays_where_it_is(attack: Attack) -> None:
    x = noise_images(2)
    assert torch.equal(attack(ModelView(_Saturated()), x, torch.tensor([0, 1]), SampleRng(0, "ab")), x)


def test_mifgsm_momentum_survives_a_zero_gradient_where_torchattacks_makes_nan() -> None:
    x, y = noise_images(2), torch.tensor([0, 1])
    calls = []

    class ZeroAtFirst(ModelView):
        def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            loss, grad = super().gradient(x, y)
            calls.append(1)
            return loss, grad * (len(calls) > 1)

    x_adv = MIFGSM(steps=2)(ZeroAtFirst(small_detector()), x, y, SampleRng(0, "ab"))
    assert float((x_adv - x).abs().max()) == pytest.approx(2 / 255, abs=1e-6)


def test_pgd_reaches_the_border_of_the_ball_and_no_further_whatever_the_start() -> None:
    x = torch.full((1, 3, 4, 4), 0.5)

    def upwards(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1).sum(1), torch.ones_like(x)

    start = torch.full_like(x, EPS)
    x_adv = pgd(upwards, x, torch.zeros(1), eps=EPS, alpha=2 / 255, steps=20, start=start)
    torch.testing.assert_close(x_adv, x + EPS)
