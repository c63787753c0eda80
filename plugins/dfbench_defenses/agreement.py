"""Objectives that hold the predictions on clean and on attacked images together: TRADES, and consistency."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from dfbench.contracts import Batch, TrainContext
from dfbench.pgd import gradient_of, pgd
from dfbench_defenses.adversarial import AdversarialTraining

_START = 0.001 / (8 / 255)
"""Deviation of the Gaussian start as a share of the bound: the published 0.001 at the published 8/255."""


def kl(logits: Tensor, other: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(p || q) of the predictions of two sets of logits (B, 2), in nats, (B,)."""
    log_p, log_q = F.log_softmax(logits.float(), dim=1), F.log_softmax(other.float(), dim=1)
    return _kl(log_p, log_q)


def jensen_shannon(logits: Tensor, other: Tensor) -> Tensor:
    """Jensen-Shannon divergence of the predictions of two sets of logits (B, 2), in nats, (B,) in [0, ln 2].

    Mean of the divergences of both from their mixture (Lin, IEEE Trans. Inf. Theory 37, 1991).
    """
    log_p, log_q = F.log_softmax(logits.float(), dim=1), F.log_softmax(other.float(), dim=1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (_kl(log_p, log_m) + _kl(log_q, log_m)) / 2


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)


class Agreement(AdversarialTraining):
    """Adds the loss on clean images and a divergence between their predictions and those on attacked images.

    Clean and attacked images go through the detector in one pass, so that batch-norm statistics see both.
    """

    clean_weight = 0.0  # the clean loss is a term of its own, of the common pass
    term = ""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """The clean loss, and the divergence, weighted."""
        self.view.sync(context.model)
        attacked: list[Tensor] = []

        def both(logits: Tensor) -> dict[str, Tensor]:
            clean, moved = logits.chunk(2)
            attacked.append(moved.detach())
            return {"clean": context.criterion(clean, batch.y), self.term: self.divergence(clean, moved)}

        terms = context.terms(torch.cat([batch.x, self.perturb(batch, context)]), both)
        self.observe(attacked[0], batch.y)
        return terms

    @abstractmethod
    def divergence(self, clean: Tensor, attacked: Tensor) -> Tensor:
        """The weighted mean divergence between predictions, from logits (B, 2) each."""


class Trades(Agreement):
    """TRADES (Zhang et al., ICML 2019): ``CE(x) + beta * KL(p(x) || p(x'))``, where x' maximises the same divergence.

    x' is sought by PGD from a small Gaussian start, on a frozen copy in evaluation mode. Bounds and steps are those of
    ``pgd-at`` by default, and grow with its :class:`Curriculum`, so that the two compare; as published it is
    ``trades(eps=8/255, eps_start=8/255, steps=10, alpha=2/255)``. Composed with others, it keeps its clean loss:
    ``trades+mixup`` trains on clean, attacked and mixed images.

    Args:
        eps, eps_start, target, steps, alpha, val_eps: as ``pgd-at``.
        beta: weight of the divergence (the published 1/lambda).
    """

    term = "trades"

    def __init__(
        self,
        eps: float = 1 / 255,
        eps_start: float = 0.2 / 255,
        target: float = 0.58,
        steps: int = 2,
        alpha: float | None = None,
        val_eps: float = 0.5 / 255,
        beta: float = 6.0,
    ) -> None:
        super().__init__(eps, eps_start, target, steps, alpha, val_eps)
        self.beta = beta

    def passes(self) -> tuple[float, float]:
        """One forward pass for the clean prediction, one of each direction per step, and those of both losses."""
        return (self.steps + 3.0, self.steps + 2.0)

    def perturb(self, batch: Batch, context: TrainContext) -> Tensor:
        """Images (B, 3, H, W) within the current bound that the detector judges unlike the clean ones."""
        eps = self.curriculum.eps
        start = (_START * eps * self.rng("trades", batch, context).normal(batch.x)).clamp_(-eps, eps)
        with torch.autocast(batch.x.device.type, enabled=False):
            with torch.no_grad():
                clean = self.view(batch.x)
            gradient = gradient_of(self.view, lambda logits, y: kl(clean, logits))
            return pgd(gradient, batch.x, batch.y, eps=eps, alpha=self.step_length(), steps=self.steps, start=start)

    def divergence(self, clean: Tensor, attacked: Tensor) -> Tensor:
        """``beta * KL(p(x) || p(x'))``."""
        return self.beta * kl(clean, attacked).mean()


class Consistency(Agreement):
    """Adds the Jensen-Shannon divergence between the predictions on clean and on PGD images to the clean loss.

    PGD raises the cross-entropy, as in ``pgd-at``, whose bounds and :class:`Curriculum` it has by default. The
    divergence is symmetric and at most ln 2, so that one image cannot dominate. Composed with others, it keeps its
    clean loss: ``pgd-at+consistency`` trains on PGD images' loss, the clean loss and the divergence.

    Args:
        eps, eps_start, target, steps, alpha, val_eps: as ``pgd-at``.
        weight: of the divergence. 12 is that of AugMix (Hendrycks et al., ICLR 2020); for predictions close to each
            other the divergence is a quarter of the Kullback-Leibler divergence.
    """

    term = "consistency"

    def __init__(
        self,
        eps: float = 1 / 255,
        eps_start: float = 0.2 / 255,
        target: float = 0.58,
        steps: int = 2,
        alpha: float | None = None,
        val_eps: float = 0.5 / 255,
        weight: float = 12.0,
    ) -> None:
        super().__init__(eps, eps_start, target, steps, alpha, val_eps)
        self.weight = weight

    def passes(self) -> tuple[float, float]:
        """One pass of each direction per step, and those of both losses."""
        return (self.steps + 2.0, self.steps + 2.0)

    def perturb(self, batch: Batch, context: TrainContext) -> Tensor:
        """PGD images (B, 3, H, W) at the current bound."""
        return self.pgd_images("consistency", batch, context)

    def divergence(self, clean: Tensor, attacked: Tensor) -> Tensor:
        """``weight * JS(p(x), p(x'))``."""
        return self.weight * jensen_shannon(clean, attacked).mean()
