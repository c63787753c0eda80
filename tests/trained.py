"""Detectors for tests of attacks, trained in seconds: plainly, or a little against PGD."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from conftest import draw
from detectors import SmallDetector
from torch import Tensor, nn
from torch.nn import functional as F

from dfbench.pgd import pgd
from dfbench.view import ModelView

SIZE = 32


def faces(count: int, seed: int, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Drawn images (count, 3, size, size) in [0, 1], real and fake in turn, and their labels."""
    rng = np.random.default_rng(seed)
    drawn = [draw(rng, bool(number % 2), size) for number in range(count)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous() / 255, torch.arange(count) % 2


def fit(
    model: nn.Module, *, steps: int, eps: float = 0.0, size: int = SIZE, count: int = 192, lr: float = 5e-3
) -> None:
    """Train a detector on drawn images; with ``eps``, on PGD's images within it as well."""
    x, y = faces(count, seed=1, size=size)
    numbers = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.train().parameters(), lr)
    for _ in range(steps):
        rows = torch.randperm(count, generator=numbers)[:48]
        loss = F.cross_entropy(model(x[rows]), y[rows])
        if eps:
            with ModelView.of_training(model) as view:
                x_adv = pgd(view.gradient, x[rows], y[rows], eps=eps, alpha=0.75 * eps, steps=2)
            loss = loss + F.cross_entropy(model(x_adv), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()


@cache
def detector(eps: float = 0.0) -> SmallDetector:
    """A small detector that is right about every drawn image; made robust to perturbations within ``eps`` or not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SmallDetector()
        fit(model, steps=100, eps=eps)
    return model
