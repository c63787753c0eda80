"""Attacks that stop at the first success: searches told as questions and answers, and the one loop that runs them.

A search proposes images and learns what the model makes of them. The loop owns the model, the count of passes and the
samples: one that is surely wrong leaves the batch at that very step, so that easy samples cost almost nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dfbench.adaptive import Loss, margin
from dfbench.fold import TOLERANCE
from dfbench.threat import SLACK

Target = Callable[[Tensor, Tensor, Tensor, Loss | None], tuple[Tensor, Tensor | None]]
"""The model as it is attacked, :meth:`dfbench.adaptive.AdaptiveView.answer`: (images, labels, which samples these are,
a loss or None) -> logits, and the gradient of the loss where there is one."""

CLEAN = "clean"
"""What broke a sample that is wrong without any attack."""


class Search(ABC):
    """A search for an image that the model gets wrong, for a batch of samples at once.

    Every attribute that is a tensor has a row per sample: :meth:`keep` drops rows from all of them.
    """

    loss: Loss = staticmethod(margin)
    """What :meth:`tell` is given the gradient of."""
    looks: int
    """How many images it asks about per sample."""
    gradients: int
    """At how many of them, from the first, it is told the gradient."""

    @abstractmethod
    def ask(self) -> Tensor:
        """Images (B, 3, H, W) in [0, 1] to look at next."""

    @abstractmethod
    def tell(self, excess: Tensor, grad: Tensor | None) -> None:
        """The answer: how far each is beyond being surely wrong (B,), and the gradient (B, 3, H, W) where due."""

    def keep(self, kept: Tensor) -> None:
        """Go on with some samples only, by their positions."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[kept])


def answers(search: Search, target: Target, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Run a search to its end on all samples: what it asks about (B, 3, H, W), and the margins there (B,)."""
    rows = torch.arange(len(y), device=y.device)
    for number in range(search.looks):
        x = search.ask()
        logits, grad = target(x, y, rows, search.loss if number < search.gradients else None)
        yield x, margin(logits, y)
        search.tell(margin(logits, y), grad)


def doubt(logits: Tensor) -> Tensor:
    """The margin (B,) up to which a wrong answer may be rounding.

    Attacks see a prepared copy of the model, whose logits are let differ from the scored model's by ``fold.TOLERANCE``
    of the largest (at least of 1); two logits make a margin, so it may be off by twice that. A sample that is no
    further across the boundary could be right when it is scored.
    """
    return 2 * TOLERANCE * logits.abs().amax(1).clamp_min(1)


class Pursuit:
    """The samples of a batch under one search after the other, each only until it is broken.

    Samples that are wrong without an attack are found first, by one forward pass.

    Args:
        target: see :data:`Target`.
        x, y: clean images (B, 3, H, W) and labels (B,).
        eps: L-inf bound, in [0, 1] pixels; images further away do not count.
        eot: draws behind each answer, for the count of passes.

    Attributes:
        worst: the images with the largest margin seen so far (B, 3, H, W).
        margin: theirs (B,).
        broken_by: what first made each wrong, ``clean``, the name of a search, or empty.
        broken_at: which of that search's images it was, from 1; 0 for ``clean``, -1 for none.
        forwards, backwards: passes spent on each sample (B,).
    """

    def __init__(self, target: Target, x: Tensor, y: Tensor, *, eps: float, eot: int = 1) -> None:
        self.target, self.x, self.y, self.eps, self.eot = target, x, y, eps, eot
        logits, _ = target(x, y, torch.arange(len(x), device=x.device), None)
        self.worst, self.margin = x.clone(), margin(logits, y)
        # The next answer of a random model may be another one: its samples are pursued to the end, for the worst image.
        self.certain = eot == 1
        self.sure = (self.margin > doubt(logits)) & self.certain
        wrong = (self.margin > 0).tolist()
        self.broken_by = [CLEAN if one else "" for one in wrong]
        self.broken_at = torch.where(self.margin > 0, 0, -1).cpu()
        self.forwards, self.backwards = [torch.full((len(x),), n, dtype=torch.long) for n in (eot, 0)]

    @property
    def standing(self) -> Tensor:
        """Positions of the samples that are not surely wrong."""
        return (~self.sure).nonzero().flatten()

    def chase(self, name: str, begin: Callable[[Tensor], Search], *, offset: int = 0) -> None:
        """Run a search on the samples that stand, until it ends or none does.

        Args:
            name: of the search.
            begin: makes it for the samples at these positions.
            offset: images that a search of this name has asked about before, in an earlier start.
        """
        rows = self.standing
        if not len(rows):
            return
        search = begin(rows)
        for number in range(search.looks):
            x, y = search.ask(), self.y[rows]
            logits, grad = self.target(x, y, rows, search.loss if number < search.gradients else None)
            self.forwards[rows.cpu()] += self.eot
            self.backwards[rows.cpu()] += self.eot * (grad is not None)
            excess = margin(logits, y) - doubt(logits)
            self._note(rows, x, margin(logits, y), excess, name, offset + number + 1)
            search.tell(excess, grad)
            kept = (~self.sure[rows]).nonzero().flatten()
            if not len(kept):
                return
            if len(kept) < len(rows):
                search.keep(kept)
                rows = rows[kept]

    def facts(self) -> dict[str, list[str] | list[int]]:
        """What became of each sample, as :attr:`dfbench.contracts.Attack.facts`."""
        return {
            "broken_by": self.broken_by,
            "broken_at": self.broken_at.tolist(),
            "forwards": self.forwards.tolist(),
            "backwards": self.backwards.tolist(),
        }

    def _note(self, rows: Tensor, x: Tensor, margins: Tensor, excess: Tensor, name: str, number: int) -> None:
        """Take over what is worse than before, of the images within eps."""
        within = (x - self.x[rows]).abs().flatten(1).amax(1) <= self.eps + SLACK
        worse = within & (margins > self.margin[rows])
        self.worst[rows[worse]], self.margin[rows[worse]] = x[worse], margins[worse]
        self.sure[rows[within & (excess > 0) & self.certain]] = True
        for row in rows[worse & (margins > 0)].tolist():
            if not self.broken_by[row]:
                self.broken_by[row], self.broken_at[row] = name, number
