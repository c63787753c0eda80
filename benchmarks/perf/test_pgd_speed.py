"""PGD on the hybrid detector at 128 x 128: ours, torchattacks', and a bare forward and backward pass per step."""

from __future__ import annotations

import pytest
import torch
import torchattacks
from torch import Tensor, nn
from torch.nn import functional as F

from dfbench.contracts import Attack
from dfbench.rng import SampleRng
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks.gradient import PGD
from dfbench_models.hybrid import Hybrid

BATCH, SIZE, STEPS = 32, 128, 3
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROUNDS = {"rounds": 5, "warmup_rounds": 1, "iterations": 1}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Hybrid().eval().to(DEVICE)


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, 3, SIZE, SIZE, generator=numbers)
    return x.to(DEVICE), torch.randint(0, 2, (BATCH,), generator=numbers).to(DEVICE)


def finish() -> None:
    """Wait for the device, so that a measurement ends when the work does."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def bare_loop(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """What any attack of that many steps must at least do, on the model as it is."""
    for _ in range(STEPS):
        leaf = x.detach().requires_grad_(True)
        torch.autograd.grad(F.cross_entropy(model(leaf), y), leaf)
    finish()


def attack(attack: Attack, view: ModelView, x: Tensor, y: Tensor) -> None:
    checked(attack, view, x, y, SampleRng(0, [str(i) for i in range(BATCH)]))
    finish()


@pytest.mark.benchmark(group=f"PGD, {STEPS} steps, {BATCH} images of {SIZE} x {SIZE}")
class TestPGD:
    def test_dfbench_prepared_view_with_post_conditions(self, benchmark, model, batch) -> None:
        benchmark.pedantic(attack, (PGD(steps=STEPS), ModelView(model), *batch), **ROUNDS)

    def test_dfbench_exact_view_with_post_conditions(self, benchmark, model, batch) -> None:
        benchmark.pedantic(attack, (PGD(steps=STEPS), ModelView(model, exact=True), *batch), **ROUNDS)

    def test_torchattacks(self, benchmark, model, batch) -> None:
        theirs = torchattacks.PGD(model, steps=STEPS)
        benchmark.pedantic(lambda: (theirs(*batch), finish()), **ROUNDS)

    def test_bare_forward_backward(self, benchmark, model, batch) -> None:
        benchmark.pedantic(bare_loop, (model, *batch), **ROUNDS)


class _Identity(Attack):
    eps = 0.0

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return x


@pytest.mark.benchmark(group="what surrounds an attack")
class TestOverhead:
    def test_post_conditions_of_one_batch(self, benchmark, model, batch) -> None:
        benchmark.pedantic(attack, (_Identity(), ModelView(model), *batch), rounds=20, warmup_rounds=2)

    def test_making_a_prepared_view(self, benchmark, model) -> None:
        benchmark.pedantic(ModelView, (model,), **ROUNDS)

    def test_syncing_a_prepared_view(self, benchmark, model) -> None:
        benchmark.pedantic(ModelView(model).sync, (model,), rounds=20, warmup_rounds=2)
