"""One step of dual training on the hybrid at 96 x 96: ours, and a straightforward loop with torchattacks' PGD.

Both take the same detector, attacker and batch through the published recipe (ten PGD steps, every image
with both attackers, three losses), and a test holds their losses to each other.
"""

from __future__ import annotations

import copy

import pytest
import torch
import torchattacks
from torch import Tensor, nn
from torch.nn import functional as F

from dfbench.contracts import Batch, TrainContext
from dfbench.perturbation import UNetAttacker, attacker_loss
from dfbench.precision import Stepper
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView
from dfbench_defenses.dual import DualSeed
from dfbench_models.hybrid import Hybrid

BATCH, SIZE, EPS = 32, 96, 8 / 255
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDS = {"rounds": 3, "warmup_rounds": 1, "iterations": 1}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Hybrid(dropout=0.0).to(DEVICE)  # without dropout, whose random numbers the two would draw differently


@pytest.fixture(scope="module")
def batch() -> Batch:
    numbers = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, 3, SIZE, SIZE, generator=numbers)
    y = torch.randint(0, 2, (BATCH,), generator=numbers)
    return Batch(x.to(DEVICE), y.to(DEVICE), tuple(str(i) for i in range(BATCH)))


class Ours:
    """The step as ``dfbench.train`` takes it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).to(memory_format=torch.channels_last).train()
        self.context = TrainContext(self.model, F.cross_entropy, epochs=1, steps_per_epoch=1, seed=0)
        torch.manual_seed(1)
        self.dual = DualSeed()
        self.dual.setup(self.context)
        parameters = list(self.model.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=1e-4)
        self.stepper = Stepper(optimizer, parameters, clip=1.0, precision="fp32", device=DEVICE, name="detector")

    def step(self, batch: Batch) -> dict[str, float]:
        losses = {"clean": self.context.criterion(self.model(batch.x), batch.y)}
        losses |= self.dual.losses(batch, self.context)
        self.stepper.step(torch.stack(list(losses.values())).sum(), "")
        return {name: float(loss.detach()) for name, loss in losses.items()}


class Straightforward:
    """What one writes down first: torchattacks makes the PGD images, the detector is frozen for the U-Net's step."""

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).train()
        torch.manual_seed(1)
        self.unet = UNetAttacker(EPS).to(DEVICE)
        self.pgd = torchattacks.PGD(self.model, eps=EPS, alpha=2 / 255, steps=10)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-4, weight_decay=1e-4)
        self.unet_optimizer = torch.optim.AdamW(self.unet.parameters(), lr=1e-4, weight_decay=1e-5)

    def step(self, batch: Batch) -> dict[str, float]:
        x, y = batch.x, batch.y
        losses = {"clean": F.cross_entropy(self.model(x), y)}
        pgd_images = self.pgd(x, y)
        unet_images = self.unet_step(x, y)
        pgd_logits, unet_logits = self.model(torch.cat([pgd_images, unet_images])).chunk(2)
        losses |= {"pgd": F.cross_entropy(pgd_logits, y), "unet": F.cross_entropy(unet_logits, y)}
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def unet_step(self, x: Tensor, y: Tensor) -> Tensor:
        self.model.eval().requires_grad_(False)
        self.unet.train()
        delta = self.unet(x)
        weights = {"tv": 1e-4 * EPS, "freq": 1e-4 * EPS**2, "objective": "ce"}
        loss = attacker_loss(self.model((x + delta).clamp(0, 1)), y, delta, eps=EPS, **weights)
        self.unet_optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.unet_optimizer.step()
        self.model.train().requires_grad_(True)
        with torch.no_grad():
            return (x + self.unet(x)).clamp(0, 1)


@pytest.mark.benchmark(group=f"dual training, one step, {BATCH} images of {SIZE} x {SIZE}")
class TestDualStep:
    def test_dfbench(self, benchmark, model, batch) -> None:
        benchmark.pedantic(Ours(model).step, (batch,), **ROUNDS)

    def test_straightforward_loop(self, benchmark, model, batch) -> None:
        benchmark.pedantic(Straightforward(model).step, (batch,), **ROUNDS)


def test_both_loops_compute_the_same_losses(model: nn.Module, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one random start, and both on the model's own arithmetic in one memory layout.

    Another layout, or batch norm folded into the convolutions, rounds differently; the sign in PGD's step turns the
    last bit of a gradient into a whole step, so that losses then differ by some hundredths on images of noise.
    """
    start = SampleRng(derive_seed(0, "pgd-at", 0), batch.ids).uniform(batch.x, -EPS, EPS)

    real = torch.empty_like

    def empty_like(images: Tensor, *more: object, **keywords: object) -> Tensor:
        made = real(images, *more, **keywords)
        made.uniform_ = lambda low, high: start
        return made

    theirs = Straightforward(model.to(memory_format=torch.channels_last))
    with monkeypatch.context() as patch:
        patch.setattr("torchattacks.attacks.pgd.torch.empty_like", empty_like)
        found = theirs.step(batch)
    ours = Ours(model)
    ours.dual.view = ModelView(ours.model, exact=True)
    assert ours.step(batch) == pytest.approx(found, abs=1e-5)
