"""What the checks look at: a deployed detector, samples, and a count of the passes that are spent on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfbench.adaptive import margin
from dfbench.contracts import Batch, Split
from dfbench.loader import Loader
from dfbench.rng import derive_seed
from dfbench.subset import Subset
from dfbench.view import ModelView

BATCH = 32
"""Images that the checks hold at a time."""


@dataclass(eq=False)
class Subject:
    """A deployed detector.

    Args:
        model: the detector with its own arithmetic, in evaluation mode.
        view: the detector as attacks see it.
        differentiable, stochastic: what it declares.
        seed: of the run.
        passes: what was spent since :meth:`spent` was last asked, in forward passes of single images (a backward pass
            counts as two).
    """

    model: nn.Module
    view: ModelView
    differentiable: bool
    stochastic: bool
    seed: int
    passes: float = 0.0

    def spent(self) -> float:
        """The passes since this was last asked."""
        passes, self.passes = self.passes, 0.0
        return passes

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, 2) in the model's own arithmetic, as cells are scored."""
        self.passes += len(x)
        logits: Tensor = self.model(x).float()
        return logits

    def margin_gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The logit margin (B,), above 0 where the answer is wrong, and its gradient (B, 3, H, W), as attacks see them.

        For two classes the gradient of the cross-entropy is this one times 1 - p_y: the same direction, but without
        the underflow of a saturated softmax.
        """
        leaf = x.detach().requires_grad_(True)
        self.passes += 3 * len(x)
        with torch.enable_grad():
            value = margin(self.view(leaf), y)
            if not value.requires_grad:
                return value.detach(), torch.zeros_like(x)  # a detach on the way: no gradient at all
            (grad,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
        return value.detach(), torch.zeros_like(x) if grad is None else grad


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy per sample (B,) in double precision, where it does not saturate."""
    return F.softplus(margin(logits.double(), y))


def drawn(ids: Sequence[str], seed: int) -> list[int]:
    """Positions of the samples in a random order that depends on their ids alone."""
    return sorted(range(len(ids)), key=lambda index: derive_seed(seed, "checks", ids[index]))


def batches(split: Split, indices: Sequence[int], device: torch.device) -> Iterator[Batch]:
    """Samples of a split, in this order, :data:`BATCH` at a time."""
    return Loader(Subset(split, indices), BATCH, device).epoch()
