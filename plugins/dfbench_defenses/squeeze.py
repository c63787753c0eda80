"""Feature squeezing: colours rounded to few levels at inference. A defense that hides a gradient, and is no more."""

from __future__ import annotations

from torch import Tensor, nn

from dfbench.contracts import Defense
from dfbench.deployment import Guarded


class Squeeze(Defense):
    """Bit-depth reduction of the input (Xu et al., NDSS 2018, arXiv:1704.01155). Training is plain.

    Rounding has no gradient, so that an attack which follows the detector's own gradient stands still; that was taken
    for robustness until attacks went straight through (Athalye et al., ICML 2018, arXiv:1802.00420).

    Args:
        bits: per colour; ``2 ** bits`` levels are left.
        straight_through: attacks take the rounding for the identity. False lets them meet the missing gradient, to see
            what that does to a number.
    """

    differentiable = False

    def __init__(self, bits: int = 4, straight_through: bool = True) -> None:
        self.levels = 2**bits - 1
        self.straight_through = straight_through

    def deployed(self, model: nn.Module) -> nn.Module:
        """The detector behind the rounding."""

        def rounded(x: Tensor) -> Tensor:
            return (x * self.levels).round() / self.levels

        return Guarded(model, rounded, straight_through=self.straight_through)
