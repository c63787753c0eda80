"""Auto-PGD: projected gradient ascent that finds its step length itself (Croce and Hein, ICML 2020, arXiv:2003.01690).

The cross-entropy of two classes is ``softplus(margin)``: where neither is rounded to nothing, both have gradients of
the same sign everywhere, and from the same start APGD makes the same steps on either. They differ where a saturated
model leaves the cross-entropy without a gradient, and in the mean over several draws.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from dfbench.adaptive import LOSSES, AdaptiveAttack, Loss
from dfbench.breaking import Search, answers
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView

MOMENTUM = 0.75
"""Weight of the new step against the last move (alpha in the paper)."""
RISING = 0.75
"""Share of steps that must raise the loss for the step length to stay (rho in the paper)."""


class APGD(AdaptiveAttack):
    """Auto-PGD on the logit margin or the cross-entropy; gives the best point of all starts.

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        steps: gradient steps from each start.
        restarts: random starts.
        loss: ``margin`` or ``ce``, see :data:`dfbench.adaptive.LOSSES`.
        through: the corruption that gradients are taken through.
        eot: draws that each gradient is averaged over.
    """

    eps: float

    def __init__(
        self,
        eps: float = 8 / 255,
        steps: int = 50,
        restarts: int = 1,
        loss: str = "margin",
        through: str = "",
        eot: int = 1,
    ) -> None:
        super().__init__(through, eot)
        self.eps = eps
        self.steps = steps
        self.restarts = restarts
        self.loss = LOSSES[loss]

    @property
    def iterative(self) -> bool:
        """Always."""
        return True

    def passes(self) -> tuple[float, float]:
        """A forward pass per point, and a backward pass at all but each start's last."""
        return (float(self.eot * self.restarts * (self.steps + 1)), float(self.eot * self.restarts * self.steps))

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Attack`."""
        worst, highest = x.clone(), x.new_full((len(x),), -math.inf)
        if self.eps == 0:
            return worst
        target = self.adapted(view, rng).answer
        for number in range(self.restarts):
            start = random_start(x, SampleRng(derive_seed(rng.seed, "start", number), rng.ids), self.eps)
            search = ApgdSearch(x, start, eps=self.eps, steps=self.steps, loss=self.loss)
            for point, margins in answers(search, target, y):
                better = margins > highest
                worst[better], highest[better] = point[better], margins[better]
        return worst


def random_start(x: Tensor, rng: SampleRng, eps: float) -> Tensor:
    """A random point of each image's ball that touches its border, as APGD was published."""
    noise = rng.uniform(x, -1, 1)
    return (x + eps * noise / noise.abs().amax((1, 2, 3), keepdim=True)).clamp(0, 1)


def checkpoints(steps: int) -> list[int]:
    """The steps after which the step length is reconsidered (section 3.1): intervals that shrink from 22% to 6%."""
    percent = [0, 22]
    while percent[-1] < 100:
        percent.append(percent[-1] + max(percent[-1] - percent[-2] - 3, 6))
    return sorted({math.ceil(share * steps / 100) for share in percent if share <= 100})


class ApgdSearch(Search):
    """APGD from one start.

    Args:
        x: clean images (B, 3, H, W).
        start: first points (B, 3, H, W) within eps.
        eps, steps: see :class:`APGD`.
        loss: what is raised. Points are compared by the margin, which ranks them as either loss does and is never
            rounded to nothing.
    """

    def __init__(self, x: Tensor, start: Tensor, *, eps: float, steps: int, loss: Loss) -> None:
        self.x, self.eps, self.loss = x, eps, loss
        self.looks, self.gradients = steps + 1, steps
        marks = checkpoints(steps)
        self.interval = {mark: mark - before for before, mark in pairwise(marks)}
        self.number = 0
        self.point, self.previous = start, start
        self.best_point, self.best_grad = start, torch.zeros_like(x)
        self.best, self.last, self.best_at_check = (x.new_full((len(x),), -math.inf) for _ in range(3))
        self.length = x.new_full((len(x), 1, 1, 1), 2 * eps)
        self.rises = torch.zeros_like(self.best)
        self.halved = torch.ones_like(self.best, dtype=torch.bool)

    def ask(self) -> Tensor:
        """See :class:`~dfbench.breaking.Search`."""
        return self.point

    def tell(self, excess: Tensor, grad: Tensor | None) -> None:
        """See :class:`~dfbench.breaking.Search`."""
        if grad is None:
            return
        self.rises += (excess > self.last) & (self.number > 0)
        self.last = excess
        better = excess > self.best
        self.best = torch.where(better, excess, self.best)
        self.best_point = torch.where(better[:, None, None, None], self.point, self.best_point)
        self.best_grad = torch.where(better[:, None, None, None], grad, self.best_grad)
        if self.number in self.interval:
            grad = self._reconsider(grad)
        self._move(grad)

    def _reconsider(self, grad: Tensor) -> Tensor:
        """Halve the step length and go back to the best point where the steps oscillate, or where nothing was gained
        since the last checkpoint and the length stayed there. Gives the gradients to go on with."""
        oscillates = self.rises < RISING * self.interval[self.number]
        self.halved = oscillates | (~self.halved & (self.best <= self.best_at_check))
        back = self.halved[:, None, None, None]
        self.length = torch.where(back, self.length / 2, self.length)
        self.point = torch.where(back, self.best_point, self.point)
        self.best_at_check, self.rises = self.best, torch.zeros_like(self.rises)
        return torch.where(back, self.best_grad, grad)

    def _move(self, grad: Tensor) -> None:
        new = MOMENTUM if self.number else 1.0
        step = self._project(self.point + self.length * grad.sign())
        moved = self._project(self.point + new * (step - self.point) + (1 - new) * (self.point - self.previous))
        self.point, self.previous = moved, self.point
        self.number += 1

    def _project(self, x: Tensor) -> Tensor:
        return (x - self.x).clamp_(-self.eps, self.eps).add_(self.x).clamp_(0, 1)
