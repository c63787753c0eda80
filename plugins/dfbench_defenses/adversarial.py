"""PGD adversarial training."""

from __future__ import annotations

import torch
from torch import Tensor

from dfbench.contracts import Batch, Defense, TrainContext
from dfbench.pgd import pgd
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView

_VALIDATION_STEPS = 10


class PGDTraining(Defense):
    """Adds the loss on PGD images of the current detector (Madry et al., ICLR 2018).

    The attack is made on a frozen copy in evaluation mode and full precision, kept up to date at every step: it never
    touches the detector's mode or its batch-norm statistics. The bound grows linearly from ``eps_start`` to ``eps``
    over the first ``ramp`` of training: a detector thrown at the final bound at once falls into the constant predictor.

    Args:
        eps, eps_start: L-inf bounds in [0, 1] pixels.
        steps: PGD steps, from a uniform random start.
        alpha: step length in [0, 1] pixels at the final bound, scaled with the current one; None: 1.5 * eps / steps.
        ramp: share of training over which the bound grows, in [0, 1].
        clean_weight, pgd_weight: weights of the two losses.
    """

    def __init__(
        self,
        eps: float = 1 / 255,
        steps: int = 3,
        alpha: float | None = None,
        eps_start: float = 0.15 / 255,
        ramp: float = 0.75,
        clean_weight: float = 1.0,
        pgd_weight: float = 1.0,
    ) -> None:
        self.eps, self.steps, self.eps_start, self.ramp = eps, steps, min(eps, eps_start), ramp
        self.relative_alpha = 1.5 / steps if alpha is None else alpha / eps if eps else 0.0
        self.clean_weight, self.pgd_weight = clean_weight, pgd_weight

    def passes(self) -> tuple[float, float]:
        """One forward and backward pass per PGD step, and one of each for the loss."""
        return (self.steps + 1.0, self.steps + 1.0)

    def setup(self, context: TrainContext) -> None:
        """Make the frozen copy that is attacked."""
        self.view = ModelView(context.model)

    def bound(self, context: TrainContext) -> float:
        """The current eps."""
        done = min(1.0, context.progress / self.ramp) if self.ramp else 1.0
        return self.eps_start + (self.eps - self.eps_start) * done

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """The loss on PGD images, weighted."""
        self.view.sync(context.model)
        attacked = self.perturb(batch, context)
        return {"pgd": self.pgd_weight * context.criterion(context.model(attacked), batch.y)}

    def perturb(self, batch: Batch, context: TrainContext) -> Tensor:
        """PGD images (B, 3, H, W) at the current bound, from a start that depends on seed, epoch and sample."""
        eps = self.bound(context)
        start = SampleRng(derive_seed(context.seed, "pgd-at", context.epoch), batch.ids).uniform(batch.x, -eps, eps)
        with torch.autocast(batch.x.device.type, enabled=False):
            alpha = self.relative_alpha * eps
            return pgd(self.view.gradient, batch.x, batch.y, eps=eps, alpha=alpha, steps=self.steps, start=start)

    def attacked(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """Validation images under ten PGD steps at the final bound, whatever the current one is."""
        start = rng.uniform(x, -self.eps, self.eps)
        return pgd(view.gradient, x, y, eps=self.eps, alpha=self.eps / 4, steps=_VALIDATION_STEPS, start=start)
