"""The detector as it is used: trained weights, behind whatever a defense puts before it at inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from dfbench.contracts import Defense
from dfbench.errors import ContractError


class Guarded(nn.Module):
    """A detector behind a transformation of its input.

    Args:
        model: the detector.
        transform: from images (B, 3, H, W) in [0, 1] to images of the same shape and range.
        straight_through: take the gradient of the transformation to be that of the identity, so that attacks are not
            stopped by one that has none (backward pass differentiable approximation, Athalye et al., ICML 2018,
            arXiv:1802.00420). What goes forward is the transformation all the same.
    """

    def __init__(
        self, model: nn.Module, transform: Callable[[Tensor], Tensor], *, straight_through: bool = False
    ) -> None:
        super().__init__()
        self.model, self.transform, self.straight_through = model, transform, straight_through
        self.weights, self.min_size = model.weights, model.min_size
        self.cam_layer = f"model.{model.cam_layer}"

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2) of images (B, 3, H, W) in [0, 1]."""
        seen = self.transform(x)
        logits: Tensor = self.model(x + (seen - x).detach() if self.straight_through else seen)
        return logits


@dataclass(frozen=True, eq=False)
class Deployed:
    """A detector as it is used and attacked, and what it declares of itself (see ``contracts.Defense``)."""

    model: nn.Module
    differentiable: bool
    stochastic: bool


def deploy(model: nn.Module, defenses: Sequence[Defense]) -> Deployed:
    """The detector as its defenses deploy it, in evaluation mode. A model may declare for itself, too.

    Raises:
        ContractError: a defense gave something else than a module that tells what a detector must.
    """
    for defense in defenses:
        model = defense.deployed(model)
        missing = [name for name in ("weights", "cam_layer", "min_size") if not hasattr(model, name)]
        if missing or not isinstance(model, nn.Module):
            lacks = f"; it lacks {', '.join(missing)}" if missing else ""
            raise ContractError(
                f"the defense '{type(defense).__name__}' deploys {type(model).__name__}, which is no detector{lacks}: "
                "give a module such as dfbench.deployment.Guarded(model, transform)"
            )
    return Deployed(
        model.eval(),
        bool(getattr(model, "differentiable", True)) and all(defense.differentiable for defense in defenses),
        bool(getattr(model, "stochastic", False)) or any(defense.stochastic for defense in defenses),
    )
