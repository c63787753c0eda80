"""PGD adversarial training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dfbench.contracts import Batch, Defense, TrainContext
from dfbench.pgd import pgd
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView
from dfbench_defenses.curriculum import Curriculum

_VALIDATION_STEPS = 3


class PGDTraining(Defense):
    """Adds the loss on PGD images of the current detector (Madry et al., ICLR 2018).

    The attack is made on a frozen copy in evaluation mode and full precision, kept up to date at every step: it never
    touches the detector's mode or its batch-norm statistics. The bound follows a :class:`Curriculum`.

    Args:
        eps: largest L-inf bound, in [0, 1] pixels.
        eps_start: smallest, with which training begins.
        target: adversarial cross-entropy that the curriculum holds the detector to; at most 0.693, where nothing holds
            the bound back.
        steps: PGD steps. One step starts at the clean image, several start at random.
        alpha: step length, in [0, 1] pixels; None follows the bound: its whole length for one step, else
            ``1.5 * eps / steps``.
        clean_weight, pgd_weight: weights of the two losses; by default PGD images alone are trained on.
        val_eps: the bound of the validation attack that epochs are chosen by, beside the clean images.
    """

    def __init__(
        self,
        eps: float = 1 / 255,
        eps_start: float = 0.2 / 255,
        target: float = 0.58,
        steps: int = 2,
        alpha: float | None = None,
        clean_weight: float = 0.0,
        pgd_weight: float = 1.0,
        val_eps: float = 0.5 / 255,
    ) -> None:
        self.steps, self.alpha, self.val_eps = steps, alpha, val_eps
        self.clean_weight, self.pgd_weight = clean_weight, pgd_weight
        self.curriculum = Curriculum(min(eps_start, eps), eps, target)

    def passes(self) -> tuple[float, float]:
        """One forward and backward pass per PGD step, and one of each for the loss."""
        return (self.steps + 1.0, self.steps + 1.0)

    def setup(self, context: TrainContext) -> None:
        """Make the frozen copy that is attacked."""
        self.view = ModelView(context.model)

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """The loss on PGD images, weighted."""
        self.view.sync(context.model)
        logits = context.model(self.perturb(batch, context))
        self.observe(logits, batch.y)
        return {"pgd": self.pgd_weight * context.criterion(logits, batch.y)}

    def perturb(self, batch: Batch, context: TrainContext) -> Tensor:
        """PGD images (B, 3, H, W) at the current bound, from a start that depends on seed, epoch and sample."""
        eps, start = self.curriculum.eps, None
        if self.steps > 1:
            rng = SampleRng(derive_seed(context.seed, "pgd-at", context.epoch), batch.ids)
            start = rng.uniform(batch.x, -eps, eps)
        alpha = self.alpha if self.alpha is not None else (1.5 * eps / self.steps if self.steps > 1 else eps)
        with torch.autocast(batch.x.device.type, enabled=False):
            return pgd(self.view.gradient, batch.x, batch.y, eps=eps, alpha=alpha, steps=self.steps, start=start)

    def observe(self, logits: Tensor, y: Tensor) -> None:
        """Let the curriculum see how the detector copes with PGD images."""
        self.curriculum.update(float(F.cross_entropy(logits.detach().float(), y)))

    def attacked(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """Validation images under PGD at ``val_eps``, whatever the current bound is, so that epochs compare."""
        eps = self.val_eps
        start = rng.uniform(x, -eps, eps)
        return pgd(view.gradient, x, y, eps=eps, alpha=eps / 2, steps=_VALIDATION_STEPS, start=start)

    def logged(self) -> dict[str, float]:
        """The current bound, in units of 1/255."""
        return {"eps*255": self.curriculum.eps * 255}

    def state_dict(self) -> dict[str, Any]:
        """The curriculum."""
        return {"curriculum": self.curriculum.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the curriculum."""
        self.curriculum = Curriculum(**state["curriculum"])
