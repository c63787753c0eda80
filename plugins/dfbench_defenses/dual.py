"""Dual-attacker adversarial training: PGD and a learned U-Net, in turn with the detector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dfbench.contracts import Batch, TrainContext
from dfbench.errors import TrainingError
from dfbench.perturbation import UNetAttacker, attacker_loss, low_band_ratio, total_variation
from dfbench.precision import Stepper
from dfbench_defenses.adversarial import PGDTraining

_CLIP = 1.0


class Dual(PGDTraining):
    """PGD training with a second, learned attacker.

    At every step, in this order: PGD images are made; the U-Net takes one step against the frozen detector, through a
    differentiable clamp, on ``margin + tv * TV(delta/eps) + freq * LF(delta/eps)`` (see ``dfbench.perturbation``); it
    draws fresh perturbations, detached; the detector minimises the weighted sum of its clean, PGD and U-Net losses.
    Both attackers share the curriculum's bound. Composed with others, their terms are added; ``dual+pim`` regularises
    the common pass of the attacked images.

    Args:
        eps, eps_start, target, steps, alpha, clean_weight, pgd_weight, val_eps: as :class:`PGDTraining`.
        unet_weight: weight of the loss on U-Net images.
        unet_share: share of each batch, both classes alike, that meets the U-Net, while the rest meets PGD: a U-Net
            step costs twice a step of the detector, and its perturbations are the easier to withstand. At 1 every image
            meets both.
        tv, freq, objective: of the attacker's loss, see ``dfbench.perturbation.attacker_loss``.
        attacker_lr, attacker_weight_decay: of the attacker's AdamW.
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
        unet_weight: float = 1.0,
        unet_share: float = 0.25,
        tv: float = 0.01,
        freq: float = 0.01,
        objective: str = "margin",
        attacker_lr: float = 1e-3,
        attacker_weight_decay: float = 1e-5,
    ) -> None:
        super().__init__(eps, eps_start, target, steps, alpha, clean_weight, pgd_weight, val_eps)
        self.unet_weight, self.unet_share = unet_weight, unet_share
        self.tv, self.freq, self.objective = tv, freq, objective
        self.attacker_lr, self.attacker_weight_decay = attacker_lr, attacker_weight_decay
        self._logged: dict[str, float] = {}

    def passes(self) -> tuple[float, float]:
        """Beyond PGD training: the attacker's step, and the loss on its images."""
        forwards, backwards = super().passes()
        pgd_share = 1.0 if self.unet_share == 1 else 1 - self.unet_share
        return (pgd_share * forwards + 2 * self.unet_share, pgd_share * backwards + 2 * self.unet_share)

    def setup(self, context: TrainContext) -> None:
        """Make the attacker and its optimiser."""
        super().setup(context)
        self.attacker = UNetAttacker(self.curriculum.eps).to(self.view.device)
        self.stepper = Stepper(
            torch.optim.AdamW(self.attacker.parameters(), lr=self.attacker_lr, weight_decay=self.attacker_weight_decay),
            self.attacker.parameters(),
            clip=_CLIP,
            precision=context.precision,
            device=self.view.device,
            name="attacker",
        )

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """The losses on PGD and on U-Net images, weighted."""
        self.view.sync(context.model)
        first, second = (batch, batch) if self.unet_share == 1 else deal(batch, self.unet_share)
        pgd_images = self.perturb(first, context)
        unet_images = self._train_attacker(second, context)
        # One pass for both, so that batch-norm statistics see all attacked images together.
        passes: list[Tensor] = []

        def attacked(logits: Tensor) -> dict[str, Tensor]:
            passes.append(logits.detach())
            pgd_logits, unet_logits = logits[: len(first.y)], logits[len(first.y) :]
            return {
                "pgd": self.pgd_weight * context.criterion(pgd_logits, first.y),
                "unet": self.unet_weight * context.criterion(unet_logits, second.y),
            }

        terms = context.terms(torch.cat([pgd_images, unet_images]), attacked)
        self.observe(passes[0][: len(first.y)], first.y)
        return terms

    def _train_attacker(self, batch: Batch, context: TrainContext) -> Tensor:
        """One step of the attacker, then its fresh images (B, 3, H, W), detached."""
        eps = self.attacker.eps = self.curriculum.eps
        where = f"epoch {context.epoch}, step {context.step}"
        self.attacker.train()
        with self.stepper.autocast():
            delta = self.attacker(batch.x)
            logits = self.view((batch.x + delta).clamp(0, 1))
            loss = attacker_loss(logits, batch.y, delta, eps=eps, tv=self.tv, freq=self.freq, objective=self.objective)
        if not bool(torch.isfinite(loss.detach())):
            raise TrainingError(
                f"the attacker loss became {float(loss.detach())} in {where}: lower attacker_lr, or look at the data "
                "of that step"
            )
        self.stepper.step(loss, where)
        with torch.no_grad(), self.stepper.autocast():
            fresh: Tensor = self.attacker(batch.x).float()
        self._logged = {
            "attacker": float(loss.detach()),
            "attacker_success": float((logits.detach().argmax(1) != batch.y).float().mean()),
            "attacker_tv": float(total_variation(fresh / eps)),
            "attacker_low_band": float(low_band_ratio(fresh).mean()),
        }
        return (batch.x + fresh).clamp(0, 1)

    def logged(self) -> dict[str, float]:
        """The bound, and the attacker's loss, success rate, total variation and low-band energy ratio."""
        return {**super().logged(), **self._logged}

    def skipped_steps(self) -> int:
        """Steps of the attacker that overflowed."""
        return self.stepper.skipped

    def state_dict(self) -> dict[str, Any]:
        """The curriculum, the attacker and its optimiser."""
        return {
            **super().state_dict(),
            "attacker": self.attacker.state_dict(),
            "stepper": self.stepper.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the curriculum, the attacker and its optimiser."""
        super().load_state_dict(state)
        self.attacker.load_state_dict(state["attacker"])
        self.stepper.load_state_dict(state["stepper"])

    def artefacts(self) -> dict[str, dict[str, Tensor]]:
        """The trained attacker, for transfer: ``unet(source=RUN)``."""
        return {"attacker": self.attacker.state_dict()}


class DualSeed(Dual):
    """Dual training with every value as it was first published: the full bound from the first step, every image with
    both attackers, the clean loss beside theirs, ``-CE`` for the attacker, and weights of 1e-4 on the raw perturbation
    (TV scales with eps and LF with its square, hence the tiny numbers on ``delta/eps``; they are those of 8/255).
    """

    def __init__(
        self,
        eps: float = 8 / 255,
        eps_start: float = 8 / 255,
        target: float = 0.58,
        steps: int = 10,
        alpha: float | None = 2 / 255,
        clean_weight: float = 1.0,
        pgd_weight: float = 1.0,
        val_eps: float = 0.5 / 255,
        unet_weight: float = 1.0,
        unet_share: float = 1.0,
        tv: float = 1e-4 * 8 / 255,
        freq: float = 1e-4 * (8 / 255) ** 2,
        objective: str = "ce",
        attacker_lr: float = 1e-4,
        attacker_weight_decay: float = 1e-5,
    ) -> None:
        super().__init__(
            eps, eps_start, target, steps, alpha, clean_weight, pgd_weight, val_eps, unet_weight, unet_share, tv, freq,
            objective, attacker_lr, attacker_weight_decay,
        )  # fmt: skip


def deal(batch: Batch, share: float) -> tuple[Batch, Batch]:
    """The batch in two: about ``share`` of each class, and at least one sample, in the second part."""
    by_class = [torch.nonzero(batch.y == label).flatten().tolist() for label in (0, 1)]
    counts = [round(len(rows) * share) for rows in by_class]
    second = sorted(row for rows, count in zip(by_class, counts, strict=True) for row in rows[:count]) or [0]
    first = [row for row in range(len(batch.y)) if row not in set(second)] or second
    return _take(batch, first), _take(batch, second)


def _take(batch: Batch, rows: list[int]) -> Batch:
    return Batch(batch.x[rows], batch.y[rows], tuple(batch.ids[row] for row in rows))
