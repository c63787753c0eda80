"""Adversarial training: what all of its forms share, and PGD training."""

from __future__ import annotations

from abc import ABC, abstractmethod
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


class AdversarialTraining(Defense, ABC):
    """Training on attacked images of the current detector, whose bound follows a :class:`Curriculum`.

    The attack is made on a frozen copy in evaluation mode and full precision, kept up to date at every step: it never
    touches the detector's mode or its batch-norm statistics.

    Args:
        eps: largest L-inf bound, in [0, 1] pixels.
        eps_start: smallest, with which training begins.
        target: adversarial cross-entropy that the curriculum holds the detector to; at most 0.693, where nothing holds
            the bound back.
        steps: PGD steps. One step starts at the clean image, several start at random.
        alpha: step length, in [0, 1] pixels; None follows the bound: its whole length for one step, else
            ``1.5 * eps / steps``.
        val_eps: the bound of the validation attack that epochs are chosen by, beside the clean images.
    """

    def __init__(
        self, eps: float, eps_start: float, target: float, steps: int, alpha: float | None, val_eps: float
    ) -> None:
        self.steps, self.alpha, self.val_eps = steps, alpha, val_eps
        self.curriculum = Curriculum(min(eps_start, eps), eps, target)

    def setup(self, context: TrainContext) -> None:
        """Make the frozen copy that is attacked."""
        self.view = ModelView(context.model)

    @abstractmethod
    def perturb(self, batch: Batch, context: TrainContext) -> Tensor:
        """Attacked images (B, 3, H, W) at the current bound."""

    def pgd_images(self, name: str, batch: Batch, context: TrainContext) -> Tensor:
        """PGD images (B, 3, H, W) at the current bound, from a start that depends on seed, epoch and sample."""
        eps, start = self.curriculum.eps, None
        if self.steps > 1:
            start = self.rng(name, batch, context).uniform(batch.x, -eps, eps)
        with torch.autocast(batch.x.device.type, enabled=False):
            return pgd(
                self.view.gradient, batch.x, batch.y, eps=eps, alpha=self.step_length(), steps=self.steps, start=start
            )

    def rng(self, name: str, batch: Batch, context: TrainContext) -> SampleRng:
        """Random numbers of the objective ``name`` in this epoch, for each sample."""
        return SampleRng(derive_seed(context.seed, name, context.epoch), batch.ids)

    def step_length(self) -> float:
        """Length of a PGD step at the current bound, in [0, 1] pixels."""
        if self.alpha is not None:
            return self.alpha
        return 1.5 * self.curriculum.eps / self.steps if self.steps > 1 else self.curriculum.eps

    def observe(self, logits: Tensor, y: Tensor) -> None:
        """Let the curriculum see how the detector copes with attacked images."""
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


class PGDTraining(AdversarialTraining):
    """Adds the loss on PGD images of the current detector (Madry et al., ICLR 2018).

    Composed with others, their terms are added: ``pgd-at+mixup`` trains on PGD and on mixed images. With the default
    ``clean_weight`` of 0 there is no clean loss, whatever it is composed with.

    Args:
        eps, eps_start, target, steps, alpha, val_eps: as :class:`AdversarialTraining`.
        clean_weight, pgd_weight: weights of the two losses; by default PGD images alone are trained on.
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
        super().__init__(eps, eps_start, target, steps, alpha, val_eps)
        self.clean_weight, self.pgd_weight = clean_weight, pgd_weight

    def passes(self) -> tuple[float, float]:
        """One forward and backward pass per PGD step, and one of each for the loss."""
        return (self.steps + 1.0, self.steps + 1.0)

    def perturb(self, batch: Batch, context: TrainContext) -> Tensor:
        """PGD images (B, 3, H, W) at the current bound."""
        return self.pgd_images("pgd-at", batch, context)

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """The loss on PGD images, weighted."""
        self.view.sync(context.model)
        passes: list[Tensor] = []

        def attacked(logits: Tensor) -> dict[str, Tensor]:
            passes.append(logits.detach())
            return {"pgd": self.pgd_weight * context.criterion(logits, batch.y)}

        terms = context.terms(self.perturb(batch, context), attacked)
        self.observe(passes[0], batch.y)
        return terms
