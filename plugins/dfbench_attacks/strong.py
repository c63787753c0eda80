"""The strong ensemble: what AutoAttack (Croce and Hein, ICML 2020, arXiv:2003.01690) is for ten classes, for two."""

from __future__ import annotations

from torch import Tensor

from dfbench.adaptive import LOSSES
from dfbench.breaking import Search
from dfbench.rng import SampleRng
from dfbench_attacks import fab, square
from dfbench_attacks.apgd import ApgdSearch, random_start
from dfbench_attacks.untilbroken import Member, UntilBroken


class Strong(UntilBroken):
    """APGD on the logit margin, APGD on the cross-entropy, FAB and Square, each on the samples that still stand.

    The targeted DLR loss of AutoAttack divides by the logit of a third class; for two classes the margin is what is
    left of it. In the order of cost: what is wrong without an attack costs one forward pass; the first member begins
    at the clean image, so that its first step is the signed gradient step of length eps, which breaks most samples of
    an undefended model. The second begins at a random point, which also leaves a flat or masked spot around the clean
    image. FAB looks for the boundary instead of raising a loss, and Square needs no gradient.

    The score of its images says whether a sample withstood, and nothing more: it has a column and metrics of its own.
    ``facts`` tells for each sample which member broke it (``broken_by``), at which of its images (``broken_at``), and
    what that cost (``forwards``, ``backwards``).

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        steps: gradient steps of each member from each start. Half of AutoAttack's 100: two classes leave one direction
            to go, and from two different starts.
        restarts: starts of each member that takes gradients.
        queries: images that Square tries. A fifth of AutoAttack's 5000: here it is to find gradients that mislead,
            which takes few queries, and it costs more than all other members together.
        through: the corruption that gradients and successes are taken through.
        eot: draws that each answer is averaged over, for a random model.
    """

    def __init__(
        self,
        eps: float = 8 / 255,
        steps: int = 50,
        restarts: int = 1,
        queries: int = 1000,
        through: str = "",
        eot: int = 1,
    ) -> None:
        members = (
            _apgd(eps, steps, restarts, "margin", clean_first=True),
            _apgd(eps, steps, restarts, "ce", clean_first=False),
            fab.member(eps, steps, restarts),
            square.member(eps, queries),
        )
        super().__init__(eps, members, through, eot)

    @property
    def iterative(self) -> bool:
        """Always."""
        return True


def _apgd(eps: float, steps: int, restarts: int, loss: str, *, clean_first: bool) -> Member:
    def begin(x: Tensor, rng: SampleRng, number: int) -> Search:
        start = x if clean_first and number == 0 else random_start(x, rng, eps)
        return ApgdSearch(x, start, eps=eps, steps=steps, loss=LOSSES[loss])

    return Member(f"apgd-{loss}", begin, restarts, steps + 1, steps)
