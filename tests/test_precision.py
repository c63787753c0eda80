"""Mixed precision: what is clipped, what is skipped, and what is said about it. On the CPU, where fp16 is real too."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dfbench.contracts import Batch, TrainContext
from dfbench.errors import TrainingError
from dfbench.precision import MAX_SKIPPED, Stepper, resolve
from dfbench_defenses.dual import Dual

CPU = torch.device("cpu")


def stepper(layer: nn.Module, *, clip: float = 0.0, precision: str = "fp16", lr: float = 0.1) -> Stepper:
    optimizer = torch.optim.SGD(layer.parameters(), lr)
    return Stepper(optimizer, layer.parameters(), clip=clip, precision=precision, device=CPU, name="detector")


def line() -> nn.Linear:
    layer = nn.Linear(4, 1, bias=False)
    nn.init.ones_(layer.weight)
    return layer


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_clipping_sees_gradients_without_the_scale(precision: str) -> None:
    """The gradient of the sum of four weights has norm 2: clipped to 0.5, a step of 0.1 moves the weights by 0.05."""
    layer = line()
    stepper(layer, clip=0.5, precision=precision).step(layer.weight.sum(), "step 0")
    moved = float((layer.weight.detach() - 1).norm())
    assert moved == pytest.approx(0.05, rel=1e-4)


def test_a_gradient_below_the_bound_is_not_clipped_although_it_is_scaled() -> None:
    layer = line()
    stepper(layer, clip=2.5).step(layer.weight.sum(), "step 0")
    assert float((layer.weight.detach() - 1).norm()) == pytest.approx(0.2, rel=1e-4)


def test_an_overflow_skips_the_step_is_counted_and_lowers_the_scale() -> None:
    layer = line()
    ours = stepper(layer)
    before = ours.scaler.get_scale()
    ours.step(layer.weight.sum() * 1e35, "step 0")
    assert ours.skipped == 1
    assert torch.equal(layer.weight, torch.ones(1, 4))
    assert ours.scaler.get_scale() == before / 2
    ours.step(layer.weight.sum(), "step 1")
    assert ours.skipped == 1
    assert not torch.equal(layer.weight, torch.ones(1, 4))


def test_a_training_whose_steps_are_all_skipped_stops_instead_of_ending_untrained() -> None:
    layer = line()
    ours = stepper(layer)
    with pytest.raises(TrainingError, match=f"gradient norm became .* {MAX_SKIPPED + 1} times in a row in step 9"):
        for _ in range(MAX_SKIPPED + 1):
            ours.step((layer.weight * math.inf).sum(), "step 9")
    assert ours.skipped == MAX_SKIPPED


def test_without_a_scaler_a_gradient_that_is_not_finite_is_an_error_at_once() -> None:
    layer = line()
    with pytest.raises(TrainingError, match=r"the detector's gradient norm became .* in step 3: lower lr"):
        stepper(layer, precision="fp32").step((layer.weight * math.inf).sum(), "step 3")


def test_the_scale_and_the_count_survive_a_resume() -> None:
    layer = line()
    ours = stepper(layer)
    ours.step(layer.weight.sum() * 1e35, "step 0")
    other = stepper(line())
    other.load_state_dict(ours.state_dict())
    assert other.skipped == 1
    assert other.scaler.get_scale() == ours.scaler.get_scale()


def test_after_a_step_the_new_weights_are_used_within_an_enclosing_autocast() -> None:
    """The loop's autocast surrounds the attacker's step, and keeps casts of weights until it ends."""
    layer = line()
    ours = stepper(layer, precision="bf16")
    x = torch.ones(1, 4)
    with ours.autocast():
        before = layer(x)
        ours.step(layer(x).sum(), "step 0")
        assert not torch.equal(layer(x), before)


def test_auto_is_full_precision_on_the_cpu_and_bf16_on_cuda() -> None:
    assert resolve("auto", CPU) == "fp32"
    assert resolve("auto", torch.device("cuda")) == "bf16"
    assert resolve("fp16", CPU) == "fp16"


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.net(x))


def test_the_attacker_has_a_scaler_of_its_own() -> None:
    """An overflow of the attacker must not skip the detector's step, nor lower its scale."""
    model = Small()
    context = TrainContext(model, nn.CrossEntropyLoss(), 1, 1, seed=0, precision="fp16")
    dual = Dual(steps=1, tv=1e36)
    torch.manual_seed(0)
    dual.setup(context)
    detector = stepper(model)
    batch = Batch(torch.rand(8, 3, 32, 32), torch.tensor([0, 1] * 4), tuple("abcdefgh"))
    with detector.autocast():
        loss = torch.stack(list(dual.losses(batch, context).values())).sum()
    detector.step(loss, "step 0")
    assert dual.skipped_steps() == 1
    assert detector.skipped == 0
    assert detector.scaler.get_scale() == 65536
    assert dual.stepper.scaler.get_scale() == 65536 / 2


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_dual_training_computes_finite_losses_in_every_precision(precision: str) -> None:
    model = Small()
    context = TrainContext(model, nn.CrossEntropyLoss(), 1, 1, seed=0, precision=precision)
    dual = Dual(steps=2, clean_weight=1.0)
    dual.setup(context)
    ours = stepper(model, precision=precision)
    batch = Batch(torch.rand(8, 3, 32, 32), torch.tensor([0, 1] * 4), tuple("abcdefgh"))
    before = model.head.weight.detach().clone()
    with ours.autocast():
        losses = dual.losses(batch, context)
    assert all(bool(torch.isfinite(loss)) for loss in losses.values())
    ours.step(torch.stack(list(losses.values())).sum(), "step 0")
    assert not torch.equal(model.head.weight, before)
