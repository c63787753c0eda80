"""Dual-attacker adversarial training: PGD and a learned U-Net, in turn with the detector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dfbench.contracts import Batch, TrainContext
from dfbench.errors import TrainingError
from dfbench.perturbation import UNetAttacker, attacker_loss, low_band_ratio, total_variation
from dfbench_defenses.adversarial import PGDTraining

_CLIP = 1.0


class Dual(PGDTraining):
    """PGD training with a second, learned attacker.

    At every step, in this order: PGD images are made; the U-Net takes one step against the frozen detector, through a
    differentiable clamp, on ``-CE + tv * TV(delta/eps) + freq * LF(delta/eps)``; it draws
    fresh perturbations, detached; the detector minimises the sum of its clean, PGD and U-Net losses. Both attackers share the current bound.

    Args:
        eps, steps, alpha, eps_start, ramp, clean_weight, pgd_weight: as :class:`PGDTraining`.
        unet_weight: weight of the loss on U-Net images.
        tv, freq: weights of total variation and low-band energy in the attacker's loss.
        attacker_lr, attacker_weight_decay: of the attacker's AdamW.
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
        unet_weight: float = 1.0,
        tv: float = 0.01,
        freq: float = 0.01,
        attacker_lr: float = 1e-3,
        attacker_weight_decay: float = 1e-5,
    ) -> None:
        super().__init__(eps, steps, alpha, eps_start, ramp, clean_weight, pgd_weight)
        self.unet_weight, self.tv, self.freq = unet_weight, tv, freq
        self.attacker_lr, self.attacker_weight_decay = attacker_lr, attacker_weight_decay
        self._logged: dict[str, float] = {}

    def passes(self) -> tuple[float, float]:
        """Beyond PGD training: the attacker's step, and the loss on its images."""
        forwards, backwards = super().passes()
        return (forwards + 2.0, backwards + 2.0)

    def setup(self, context: TrainContext) -> None:
        """Make the attacker and its optimiser."""
        super().setup(context)
        self.attacker = UNetAttacker(self.eps).to(self.view.device)
        self.optimizer = torch.optim.AdamW(
            self.attacker.parameters(), lr=self.attacker_lr, weight_decay=self.attacker_weight_decay
        )

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """The losses on PGD and on U-Net images, weighted."""
        self.view.sync(context.model)
        pgd_images = self.perturb(batch, context)
        unet_images = self._train_attacker(batch, context)
        # One pass for both: batch-norm statistics, where they are not frozen, see the attacked images together.
        pgd_logits, unet_logits = context.model(torch.cat([pgd_images, unet_images])).chunk(2)
        return {
            "pgd": self.pgd_weight * context.criterion(pgd_logits, batch.y),
            "unet": self.unet_weight * context.criterion(unet_logits, batch.y),
        }

    def _train_attacker(self, batch: Batch, context: TrainContext) -> Tensor:
        """One step of the attacker, then its fresh images (B, 3, H, W), detached."""
        eps = self.attacker.eps = self.bound(context)
        with torch.autocast(batch.x.device.type, enabled=False):
            self.attacker.train()
            delta = self.attacker(batch.x)
            logits = self.view((batch.x + delta).clamp(0, 1))
            loss = attacker_loss(logits, batch.y, delta, eps=eps, tv=self.tv, freq=self.freq)
            if not bool(torch.isfinite(loss)):
                raise TrainingError(
                    f"the attacker loss became {float(loss)} in epoch {context.epoch}, step {context.step}: "
                    "lower attacker_lr, or look at the data of that step"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.attacker.parameters(), _CLIP)
            self.optimizer.step()
            with torch.no_grad():
                fresh = self.attacker(batch.x)
        unit = fresh / eps
        self._logged = {
            "attacker": float(loss.detach()),
            "attacker_success": float((logits.argmax(1) != batch.y).float().mean()),
            "attacker_tv": float(total_variation(unit)),
            "attacker_low_band": float(low_band_ratio(fresh).mean()),
        }
        return (batch.x + fresh).clamp(0, 1)

    def logged(self) -> dict[str, float]:
        """The attacker's loss, success rate, total variation and low-band energy ratio."""
        return self._logged

    def state_dict(self) -> dict[str, Any]:
        """The attacker and its optimiser."""
        return {"attacker": self.attacker.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the attacker and its optimiser."""
        self.attacker.load_state_dict(state["attacker"])
        self.optimizer.load_state_dict(state["optimizer"])

    def artefacts(self) -> dict[str, dict[str, Tensor]]:
        """The trained attacker, for transfer: ``unet(source=RUN)``."""
        return {"attacker": self.attacker.state_dict()}
