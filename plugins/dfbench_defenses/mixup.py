"""Mixup: training on blends of images and of their labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dfbench.contracts import Batch, Defense, TrainContext
from dfbench.rng import derive_seed


class Mixup(Defense):
    """Replaces the clean loss by the loss on convex combinations of image pairs (Zhang et al., ICLR 2018).

    ``x = s * x_i + (1 - s) * x_j``, ``L = s * CE(y_i) + (1 - s) * CE(y_j)``, with one ``s ~ Beta(alpha, alpha)`` and
    one pairing per batch, drawn from seed and step. Composed with others (``pgd-at+mixup``), their terms are added as
    they are, on unmixed images, and a clean loss of their own (``trades``, ``consistency``) stays.

    Args:
        alpha: of the Beta distribution; towards 0 images stay as they are.
    """

    clean_weight = 0.0

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = alpha

    def passes(self) -> tuple[float, float]:
        """One pass, in place of the clean one."""
        return (1.0, 1.0)

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        """The loss on mixed images."""
        rng = np.random.default_rng(derive_seed(context.seed, "mixup", context.step))
        share = float(rng.beta(self.alpha, self.alpha))
        partner = torch.from_numpy(rng.permutation(len(batch.y))).to(batch.y.device)

        def mixed(logits: Tensor) -> dict[str, Tensor]:
            own, other = (context.criterion(logits, y) for y in (batch.y, batch.y[partner]))
            return {"mixup": share * own + (1 - share) * other}

        return context.terms(share * batch.x + (1 - share) * batch.x[partner], mixed)
