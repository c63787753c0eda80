"""The strong ensemble on the hybrid detector at 96 x 96, beside torchattacks' APGD, FAB and Square: passes and time.

Once where every image breaks and once where none does, at equal steps and queries. Passes per image are in the column
of extra information of ``--benchmark-json``, and held by tests.
"""

from __future__ import annotations

import pytest
import torch
import torchattacks
from torch import Tensor, nn

from dfbench.contracts import Attack
from dfbench.rng import SampleRng
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks.strong import Strong
from dfbench_models.hybrid import Hybrid

BATCH, SIZE, STEPS, QUERIES = 16, 96, 10, 50
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROUNDS = {"rounds": 3, "warmup_rounds": 1, "iterations": 1}
BROKEN, ROBUST = 8 / 255, 1e-5
"""Bounds at which all images break, and none does."""


class Counted(nn.Module):
    """A model that counts the images that pass through it, in each direction."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        logits: Tensor = self.model(x)
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count(len(x)))
        return logits

    def _count(self, count: int) -> None:
        self.backwards += count


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Hybrid().eval().to(DEVICE)


@pytest.fixture(scope="module")
def batch(model: nn.Module) -> tuple[Tensor, Tensor]:
    x = torch.rand(BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    with torch.no_grad():
        return x, model(x).argmax(1)


def ours(attack: Attack, view: ModelView, x: Tensor, y: Tensor) -> Tensor:
    x_adv = checked(attack, view, x, y, SampleRng(0, [str(i) for i in range(BATCH)]))
    return _finished(x_adv)


def theirs(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """The three, each on what those before it left standing, as AutoAttack runs them."""
    x_adv = x.clone()
    for attack in (
        torchattacks.APGD(model, eps=eps, steps=STEPS),
        torchattacks.FAB(model, eps=eps, steps=STEPS, n_classes=2),
        torchattacks.Square(model, eps=eps, n_queries=QUERIES),
    ):
        with torch.no_grad():
            left = (model(x_adv).argmax(1) == y).nonzero().flatten()
        if len(left):
            x_adv[left] = attack(x[left], y[left])
    return _finished(x_adv)


def _finished(x_adv: Tensor) -> Tensor:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return x_adv


@pytest.mark.parametrize("eps", [BROKEN, ROBUST], ids=["fully broken", "robust"])
class TestStrong:
    @pytest.fixture(autouse=True)
    def _group(self, benchmark, eps) -> None:
        kind = "fully broken" if eps == BROKEN else "robust"
        benchmark.group = f"strong, {kind}: {STEPS} steps, {QUERIES} queries, {BATCH} images of {SIZE} x {SIZE}"

    def test_dfbench(self, benchmark, model, batch, eps) -> None:
        attack, view = Strong(eps, STEPS, queries=QUERIES), ModelView(model)
        x_adv = benchmark.pedantic(ours, (attack, view, *batch), **ROUNDS)
        facts = {name: sum(attack.facts[name]) / BATCH for name in ("forwards", "backwards")}
        benchmark.extra_info.update(facts, right=int((model(x_adv).argmax(1) == batch[1]).sum()))
        if eps == BROKEN:
            assert facts["backwards"] <= 5
            assert benchmark.extra_info["right"] == 0
        else:
            assert (facts["forwards"], facts["backwards"]) == attack.passes()

    def test_torchattacks_in_turn(self, benchmark, model, batch, eps) -> None:
        counted = Counted(model).eval()
        x_adv = benchmark.pedantic(theirs, (counted, *batch, eps), rounds=1, warmup_rounds=0)
        passes = {"forwards": counted.forwards / BATCH, "backwards": counted.backwards / BATCH}
        benchmark.extra_info.update(passes, right=int((model(x_adv).argmax(1) == batch[1]).sum()))
