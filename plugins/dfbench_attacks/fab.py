"""The Fast Adaptive Boundary attack for two classes, L-inf (Croce and Hein, ICML 2020, arXiv:1907.02044).

It looks for the nearest image across the boundary, wherever that is, and so does not depend on how steep the loss is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dfbench.breaking import Search
from dfbench.rng import SampleRng
from dfbench_attacks.apgd import random_start
from dfbench_attacks.untilbroken import Member, UntilBroken

ALPHA_MAX = 0.1
"""Largest weight of the step that starts at the clean image."""
ETA = 1.05
"""How far past the linearised boundary a step goes."""
BETA = 0.9
"""Backward step: the share of the way from the clean image that remains once the boundary is crossed."""


class FAB(UntilBroken):
    """FAB within a bound: an image that is wrong within eps, or else the one nearest to it that was looked at.

    Args:
        eps: L-inf bound, in [0, 1] pixels; what is found beyond does not count.
        steps: gradient steps from each start.
        restarts: starts; the first at the clean image, the others at random points half as far as eps.
        through: the corruption that gradients are taken through.
        eot: draws that each gradient is averaged over.
    """

    def __init__(
        self, eps: float = 8 / 255, steps: int = 50, restarts: int = 1, through: str = "", eot: int = 1
    ) -> None:
        super().__init__(eps, (member(eps, steps, restarts),), through, eot)

    @property
    def iterative(self) -> bool:
        """Always."""
        return True


def member(eps: float, steps: int, restarts: int) -> Member:
    """FAB as a part of an ensemble."""

    def begin(x: Tensor, rng: SampleRng, number: int) -> Search:
        return FabSearch(x, random_start(x, rng, eps / 2) if number else x, steps=steps)

    return Member("fab", begin, restarts, steps + 1, steps)


class FabSearch(Search):
    """FAB from one start.

    The boundary that it looks for is that of the surely wrong images, ``excess = 0``.

    Args:
        x: clean images (B, 3, H, W).
        start: first points (B, 3, H, W).
        steps: gradient steps.
    """

    def __init__(self, x: Tensor, start: Tensor, *, steps: int) -> None:
        self.x, self.point = x, start
        self.looks, self.gradients = steps + 1, steps

    def ask(self) -> Tensor:
        """See :class:`~dfbench.breaking.Search`."""
        return self.point

    def tell(self, excess: Tensor, grad: Tensor | None) -> None:
        """Steps to the linearised boundary from the point and from the clean image, mixed (eqs. 7 to 10).

        Past the boundary the point first moves back towards the clean image, where the gradient just taken still
        describes the boundary: the published form pays for another one there.
        """
        if grad is None:
            return
        crossed = (excess > 0)[:, None, None, None]
        base = torch.where(crossed, self.x + BETA * (self.point - self.x), self.point)
        steps = []
        for origin in (base, self.x):
            lacking = -excess - (grad * (origin - self.point)).flatten(1).sum(1)
            steps.append(to_hyperplane(origin, grad, lacking))
        here, clean = (step.abs().amax((1, 2, 3), keepdim=True) for step in steps)
        alpha = (here / (here + clean).clamp_min(1e-12)).clamp_max(ALPHA_MAX)
        self.point = ((1 - alpha) * (base + ETA * steps[0]) + alpha * (self.x + ETA * steps[1])).clamp(0, 1)


def to_hyperplane(x: Tensor, w: Tensor, lacking: Tensor) -> Tensor:
    """The smallest step in L-inf with ``<w, step> = lacking`` that stays in [0, 1] (section 3.1 of the paper).

    Every pixel moves along the sign of ``w`` by the same length, or to the border of the range where that is nearer.
    Where not even all borders are far enough, all pixels go there; where ``w`` is zero, none moves.

    Args:
        x: images (B, 3, H, W) in [0, 1].
        w: gradients of their shape.
        lacking: by how much the linear function must rise (B,); negative to fall.

    Returns:
        The steps, of the shape of ``x``.
    """
    sign = (w * torch.where(lacking < 0, -1.0, 1.0)[:, None, None, None]).sign()
    room = torch.where(sign > 0, 1 - x, x)
    wanted = lacking.abs().double()[:, None]
    order = room.flatten(1).double().sort(1)
    weight = w.abs().flatten(1).double().gather(1, order.indices)
    # At the length of the k-th smallest room, the pixels with less have given all theirs, the others the length.
    spent = (order.values * weight).cumsum(1) - order.values * weight
    free = weight.flip(1).cumsum(1).flip(1)
    k = (spent + order.values * free < wanted).sum(1, keepdim=True).clamp_max(weight.shape[1] - 1)
    length = (wanted - spent.gather(1, k)) / free.gather(1, k).clamp_min(torch.finfo(torch.float64).tiny)
    return sign * room.minimum(length.to(x)[:, :, None, None])
