"""The detector as it is used: trained weights, behind whatever a defense puts before it at inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from dfbench.contracts import Defense
from dfbench.errors import ContractError


class Guarded(nn.Module):
    """A detector behind a transformation of its input.

    Args:
        model: the detector.
        transform: from images (B, 3, H, W) in [0, 1] to images of the same shape and range. Attacks differentiate
            through it: a defense whose transformation has no useful gradient says ``differentiable = False``.
    """

    def __init__(self, model: nn.Module, transform: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.transform = model, transform
        self.weights, self.min_size = model.weights, model.min_size
        self.cam_layer = f"model.{model.cam_layer}"

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2) of images (B, 3, H, W) in [0, 1]."""
        logits: Tensor = self.model(self.transform(x))
        return logits


def deploy(model: nn.Module, defenses: Sequence[Defense]) -> nn.Module:
    """The detector as its defenses deploy it, in evaluation mode.

    Raises:
        ContractError: a defense gave something else than a module that tells what a detector must.
    """
    for defense in defenses:
        name = type(defense).__name__
        model = defense.deployed(model)
        missing = [name for name in ("weights", "cam_layer", "min_size") if not hasattr(model, name)]
        if not isinstance(model, nn.Module) or missing:
            raise ContractError(
                f"the defense '{name}' deploys {type(model).__name__}, which is no detector"
                + (f" (it lacks {', '.join(missing)})" if missing else "")
                + ": give a module such as dfbench.deployment.Guarded(model, transform)"
            )
    return model.eval()
