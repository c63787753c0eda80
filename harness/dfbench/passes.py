"""A pass whose loss is trained on: the detector, its loss terms, and every objective that changes them.

Apart from the contracts, so that a change here is a change of the training's cache keys.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from dfbench.contracts import TrainContext


def regularised(context: TrainContext, x: Tensor, losses: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, Tensor]:
    """See :meth:`dfbench.contracts.TrainContext.terms`. The first objective is the innermost."""

    def compute() -> dict[str, Tensor]:
        return losses(context.model(x))

    for objective in context.objectives:
        compute = partial(objective.regularized, compute, context)
    return compute()
