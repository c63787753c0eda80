"""The Square attack: random search by squares, from the model's answers alone (Andriushchenko et al., ECCV 2020,
arXiv:1912.00049). Whatever hides a gradient does not hide from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dfbench.adaptive import Loss
from dfbench.breaking import Pursuit, Search
from dfbench.rng import SampleRng

HALVINGS = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)
"""Queries, of 10,000, after which the share of pixels that is changed is halved (section 4.2)."""


@dataclass(frozen=True)
class SquareResult:
    """What :func:`square` found.

    Args:
        x_adv: the images with the largest margin (B, 3, H, W).
        broken_at: the query at which each became wrong, 0 for those wrong without an attack, -1 for those that
            withstood all (B,), int64 on the CPU.
    """

    x_adv: Tensor
    broken_at: Tensor


def square(
    logits_of: Callable[[Tensor, Sequence[str]], Tensor],
    x: Tensor,
    y: Tensor,
    rng: SampleRng,
    *,
    eps: float,
    queries: int,
    p: float = 0.8,
) -> SquareResult:
    """Search each image's L-inf ball for a wrong answer, raising the logit margin; a broken sample leaves the batch.

    Costs a forward pass on the clean images, and ``queries`` more for a sample that withstands.

    Args:
        logits_of: logits (b, 2) of images (b, 3, H, W) of the samples with these ids; needs no gradient.
        x, y: clean images (B, 3, H, W) in [0, 1] and their labels (B,).
        rng: the samples' random numbers.
        eps: radius of the ball, in [0, 1] pixels.
        queries: images tried per sample.
        p: share of the pixels that a square covers at first.

    """

    def ids(rows: Tensor) -> list[str]:
        return [rng.ids[i] for i in rows.tolist()]

    @torch.no_grad()
    def target(x: Tensor, y: Tensor, rows: Tensor, loss: Loss | None) -> tuple[Tensor, None]:
        return logits_of(x, ids(rows)), None

    def begin(rows: Tensor) -> Search:
        return SquareSearch(x[rows], SampleRng(rng.seed, ids(rows)), eps=eps, queries=queries, p=p)

    pursuit = Pursuit(target, x, y, eps=eps)
    if eps > 0:
        pursuit.chase("square", begin)
    return SquareResult(pursuit.worst, pursuit.broken_at)


class SquareSearch(Search):
    """The search itself: vertical stripes of +-eps first, then squares of +-eps per colour, kept where they help.

    Args:
        x: clean images (B, 3, H, W).
        rng, eps, queries, p: see :func:`square`. All random numbers are drawn at once, 5 per query.
    """

    gradients = 0

    def __init__(self, x: Tensor, rng: SampleRng, *, eps: float, queries: int, p: float = 0.8) -> None:
        self.x, self.eps, self.looks, self.p = x, eps, queries, p
        count, channels, _, width = x.shape
        stripes = rng.uniform(x.new_empty(count, channels, 1, width), -1, 1)
        self.draws = rng.uniform(x.new_empty(count, queries, 2 + channels))
        self.best = x
        self.best_excess = x.new_full((count,), -math.inf)
        self.tried = (x + eps * _sign(stripes)).clamp(0, 1)
        self.number = 0

    def ask(self) -> Tensor:
        """See :class:`~dfbench.breaking.Search`."""
        return self.tried

    def tell(self, excess: Tensor, grad: Tensor | None) -> None:
        """See :class:`~dfbench.breaking.Search`."""
        better = excess > self.best_excess
        self.best = torch.where(better[:, None, None, None], self.tried, self.best)
        self.best_excess = torch.where(better, excess, self.best_excess)
        self.number += 1
        if self.number < self.looks:
            self.tried = self._next()

    def _next(self) -> Tensor:
        height, width = self.x.shape[2:]
        side = min(max(round(math.sqrt(self._share() * height * width)), 1), height, width)
        draw = self.draws[:, self.number]
        window = _span(draw[:, 0], side, height)[:, :, None] & _span(draw[:, 1], side, width)[:, None, :]
        delta = self.eps * _sign(draw[:, 2:] - 0.5)[:, :, None, None]
        tried = torch.where(window[:, None], (self.x + delta).clamp(0, 1), self.best)
        # Where the square changes nothing the query would be lost: its opposite changes something.
        same = (tried == self.best).flatten(1).all(1)[:, None, None, None]
        return torch.where(same & window[:, None], (self.x - delta).clamp(0, 1), tried)

    def _share(self) -> float:
        """The share of pixels that the present square covers."""
        at = self.number * 10_000 // self.looks
        return self.p / 2.0 ** sum(at > halving for halving in HALVINGS)


def _sign(numbers: Tensor) -> Tensor:
    """+1 or -1; never 0."""
    return torch.where(numbers < 0, -1.0, 1.0)


def _span(draw: Tensor, side: int, length: int) -> Tensor:
    """Which of ``length`` positions a span of ``side`` covers whose start ``draw`` in [0, 1) decides, (B, length)."""
    start = (draw * (length - side + 1)).long().clamp_max(length - side)[:, None]
    at = torch.arange(length, device=draw.device)[None, :]
    return (at >= start) & (at < start + side)
