"""The U-Net attack: its network and losses, learning against a frozen model, and transfer from a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from detectors import noise_images, own_labels, small_detector
from safetensors.torch import save_file
from torch import Tensor

from dfbench.contracts import Batch
from dfbench.errors import CheckpointError, UsageError
from dfbench.perturbation import (
    UNetAttacker,
    attacker_loss,
    low_band_ratio,
    low_frequency_energy,
    total_variation,
)
from dfbench.progress import Silent
from dfbench.rng import SampleRng
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks.unet import UNetAttack

EPS = 8 / 255


# --- network and losses -------------------------------------------------------------------------------------------


def test_the_unet_has_the_reference_size() -> None:
    assert sum(parameter.numel() for parameter in UNetAttacker(EPS).parameters()) == 483_155


@pytest.mark.parametrize("size", [(96, 96), (97, 101), (128, 99)])
def test_the_unet_takes_any_size_and_stays_within_eps(size: tuple[int, int]) -> None:
    delta = UNetAttacker(EPS)(torch.rand(2, 3, *size))
    assert delta.shape == (2, 3, *size)
    assert float(delta.detach().abs().max()) <= EPS


def test_total_variation_is_the_mean_step_down_plus_the_mean_step_right() -> None:
    ramp = torch.arange(5.0).view(1, 1, 5, 1).expand(2, 3, 5, 7)  # steps of 1 down, 0 right
    assert float(total_variation(ramp)) == pytest.approx(1)
    assert float(total_variation(ramp + 2 * ramp.new_tensor(range(7)))) == pytest.approx(3)


def test_low_frequency_energy_counts_bins_up_to_an_eighth_of_a_cycle_per_pixel() -> None:
    wave = torch.arange(64.0)

    def energy(cycles: int) -> float:
        return float(low_frequency_energy(torch.cos(2 * torch.pi * cycles * wave / 64).expand(1, 3, 64, 64)))

    assert energy(8) == pytest.approx(0.5, rel=1e-4)  # 8/64 = 0.125 is in; by Parseval, the mean square of a cosine
    assert energy(9) == pytest.approx(0, abs=1e-6)


def test_low_band_ratio_is_one_for_smooth_zero_for_fine_and_the_share_of_bins_for_white() -> None:
    flat = torch.ones(1, 3, 64, 64)
    checkers = torch.ones(64, 64)
    checkers[::2, ::2] = checkers[1::2, 1::2] = -1
    white = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ratios = low_band_ratio(torch.cat([flat, checkers.expand(1, 3, 64, 64), white, flat * 0]))
    assert ratios[0] == pytest.approx(1)
    assert ratios[1] == pytest.approx(0, abs=1e-6)
    assert ratios[2] == pytest.approx(torch.pi * 0.125**2, rel=0.1)
    assert ratios[3] == 0


def test_the_loss_falls_with_the_detectors_error_and_rises_with_roughness() -> None:
    y, rough = torch.tensor([0, 1]), noise_images(2) * 2 * EPS - EPS
    right, wrong = torch.tensor([[3.0, -3], [-3, 3]]), torch.tensor([[-3.0, 3], [3, -3]])
    weights = {"eps": EPS, "tv": 0.1, "freq": 0.1}
    assert attacker_loss(wrong, y, rough, **weights) < attacker_loss(right, y, rough, **weights)
    assert attacker_loss(right, y, rough * 0, **weights) < attacker_loss(right, y, rough, **weights)


def test_the_detectors_gradient_reaches_the_unet_through_the_clamp() -> None:
    unet, x = UNetAttacker(EPS).train(), noise_images(2)
    view = ModelView(small_detector())
    delta = unet(x)
    attacker_loss(view((x + delta).clamp(0, 1)), torch.tensor([0, 1]), delta, eps=EPS, tv=0, freq=0).backward()
    assert unet.out.weight.grad is not None
    assert bool(unet.out.weight.grad.any())


# --- learning -----------------------------------------------------------------------------------------------------


def coloured(count: int, seed: int) -> Tensor:
    """Grainy images (count, 3, 32, 32) of one colour each: their class can be learned, other than that of noise."""
    colour = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(seed))
    return 0.2 + 0.5 * colour + 0.1 * noise_images(count, seed=seed)


def fitted(attack: UNetAttack, view: ModelView, seed: int = 0) -> UNetAttack:
    def batches(epoch: int) -> Iterator[Batch]:
        for i in range(3):
            x = coloured(16, seed=1 + 3 * epoch + i)
            yield Batch(x, own_labels(view.module, x), tuple(str(k) for k in range(16)))

    attack.fit(view, batches, seed, Silent())
    return attack


def test_a_fitted_unet_lowers_the_accuracy_on_images_it_never_saw() -> None:
    view, x = ModelView(small_detector()), coloured(32, seed=0)
    y = own_labels(view.module, x)
    attack = fitted(UNetAttack(eps=16 / 255, epochs=8), view)
    x_adv = checked(attack, view, x, y, SampleRng(0, [str(i) for i in range(32)]))
    assert float((own_labels(view.module, x_adv) == y).float().mean()) < 0.5


def test_fitting_is_decided_by_the_seed_and_leaves_the_global_random_state_alone() -> None:
    view = ModelView(small_detector())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = (fitted(UNetAttack(epochs=1), view, seed).module for seed in (0, 0, 1))
    assert torch.equal(first.out.weight, again.out.weight)
    assert not torch.equal(first.out.weight, other.out.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_fitting_starts_afresh_for_every_model() -> None:
    view = ModelView(small_detector())
    attack = fitted(UNetAttack(epochs=1), view)
    once = attack.module.out.weight.detach().clone()
    assert torch.equal(fitted(attack, view).module.out.weight, once)


def test_a_fitted_unet_attacks_each_image_alike_in_any_batch() -> None:
    view, x = ModelView(small_detector()), noise_images(4)
    attack, y = fitted(UNetAttack(epochs=1), view), torch.zeros(4).long()
    whole = attack(view, x, y, SampleRng(0, "abcd"))
    torch.testing.assert_close(whole[2:], attack(view, x[2:], y[2:], SampleRng(0, "cd")), atol=1e-6, rtol=0)
    assert not any(module.training for module in attack.module.modules())


# --- transfer -----------------------------------------------------------------------------------------------------


def saved(folder: Path, *names: str) -> Path:
    (folder / "attackers").mkdir()
    for name in names:
        save_file(UNetAttacker(EPS).state_dict(), folder / "attackers" / f"{name}.safetensors")
    return folder


def test_a_unet_from_a_run_needs_no_fit_and_says_transfer(tmp_path: Path) -> None:
    folder = saved(tmp_path, "dual")
    for source in (folder, folder / "attackers" / "dual.safetensors"):
        attack = UNetAttack(source=str(source))
        assert not attack.needs_fit
        assert attack.note == "transfer"
        assert not attack.module.training


def test_several_attackers_are_listed_for_the_user_to_choose(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"2 attackers.*attackers/a\.safetensors, attackers/b\.safetensors"):
        UNetAttack(source=str(saved(tmp_path, "a", "b")))


def test_a_folder_without_attackers_and_a_path_that_does_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no attackers"):
        UNetAttack(source=str(tmp_path))
    with pytest.raises(UsageError, match="no such file or folder"):
        UNetAttack(source=str(tmp_path / "gone"))


def test_a_truncated_file_and_another_networks_file_are_checkpoint_errors(tmp_path: Path) -> None:
    whole = saved(tmp_path, "a") / "attackers" / "a.safetensors"
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:1000])
    save_file(small_detector().state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="truncated"):
        UNetAttack(source=str(tmp_path / "cut.safetensors"))
    with pytest.raises(CheckpointError, match="not a checkpoint of a U-Net attacker"):
        UNetAttack(source=str(tmp_path / "other.safetensors"))


def test_eps_zero_needs_no_fit_and_is_the_identity() -> None:
    attack, x = UNetAttack(eps=0), noise_images(2)
    assert not attack.needs_fit
    assert torch.equal(checked(attack, ModelView(small_detector()), x, torch.zeros(2).long(), SampleRng(0, "ab")), x)
