"""One optimiser's step in mixed precision: loss scaled, gradients unscaled before they are clipped, skips counted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dfbench.errors import TrainingError

MAX_SKIPPED = 20
"""Steps in a row that may be skipped. A scale of 65,536 halved that often is below 1: then it is not the scale."""

_DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve(precision: str, device: torch.device) -> str:
    """``fp32``, ``bf16`` or ``fp16``; ``auto`` is bf16 on CUDA, which has float32's range, and fp32 elsewhere."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" else "fp32"


class Stepper:
    """Steps one optimiser, with a gradient scaler of its own where the precision is fp16.

    A scaler belongs to one optimiser: its scale follows the gradients that this optimiser sees, and an overflow skips
    this optimiser's step alone.

    Args:
        optimizer: what is stepped.
        parameters: whose gradients are clipped.
        clip: largest gradient norm; 0 for no clipping.
        precision: ``fp32``, ``bf16`` or ``fp16``, see :func:`resolve`.
        device: where the work is done.
        name: what errors call it.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Iterable[nn.Parameter],
        *,
        clip: float,
        precision: str,
        device: torch.device,
        name: str,
    ) -> None:
        self.optimizer, self.parameters, self.clip = optimizer, list(parameters), clip or math.inf
        self.precision, self.device, self.name = precision, device, name
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.skipped = 0
        self._in_a_row = 0

    def autocast(self) -> torch.autocast:
        """The context in which losses are computed."""
        return torch.autocast(
            self.device.type, dtype=_DTYPE.get(self.precision, torch.bfloat16), enabled=self.precision in _DTYPE
        )

    def step(self, loss: Tensor, where: str) -> None:
        """Backpropagate ``loss``, clip, and step; in fp16 a step whose gradients overflow is skipped and counted.

        Args:
            loss: a finite scalar.
            where: the place in training, for errors.

        Raises:
            TrainingError: the gradient is not finite, and no lower scale can mend it.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        finite = bool(torch.isfinite(norm))
        self._in_a_row = 0 if finite else self._in_a_row + 1
        if not finite and (not self.scaler.is_enabled() or self._in_a_row > MAX_SKIPPED):
            times = f" {self._in_a_row} times in a row" if self._in_a_row > 1 else ""
            raise TrainingError(
                f"the {self.name}'s gradient norm became {float(norm)}{times} in {where}: lower lr, or look at the "
                "data of that step"
            )
        self.skipped += not finite
        self.scaler.step(self.optimizer)
        self.scaler.update()
        torch.clear_autocast_cache()  # an enclosing autocast would go on with casts of the old weights

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": self.skipped,
            "in_a_row": self._in_a_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.skipped, self._in_a_row = state["skipped"], state["in_a_row"]
