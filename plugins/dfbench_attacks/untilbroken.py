"""Attacks that leave a sample alone as soon as it is surely wrong: one search or several, each on what still stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from dfbench.adaptive import AdaptiveAttack
from dfbench.breaking import Pursuit, Search
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView


@dataclass(frozen=True)
class Member:
    """A search as a part of an ensemble.

    Args:
        name: told of the samples that it breaks.
        begin: makes it from clean images (B, 3, H, W), their random numbers, and the number of the start.
        restarts: starts.
        looks, gradients: images asked about and gradients taken from each start, per sample.
    """

    name: str
    begin: Callable[[Tensor, SampleRng, int], Search]
    restarts: int
    looks: int
    gradients: int


class UntilBroken(AdaptiveAttack):
    """Runs members one after the other on the samples that none before has broken.

    A sample that withstands all comes out as the image with the largest margin that was seen.

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        members: in their order.
        through: the corruption that gradients and successes are taken through.
        eot: draws that each answer is averaged over.
    """

    eps: float
    worst_case = True

    def __init__(self, eps: float, members: Sequence[Member], through: str, eot: int) -> None:
        super().__init__(through, eot)
        self.eps = eps
        self.members = tuple(members)
        self.parts = tuple(member.name for member in members)

    def passes(self) -> tuple[float, float]:
        """What a sample costs that withstands everything; one that breaks costs less."""
        forwards = 1 + sum(member.restarts * member.looks for member in self.members)
        backwards = sum(member.restarts * member.gradients for member in self.members)
        return (float(self.eot * forwards), float(self.eot * backwards))

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Attack`."""
        pursuit = Pursuit(self.adapted(view, rng).answer, x, y, eps=self.eps, eot=self.eot)
        for member in self.members if self.eps > 0 else ():
            for number in range(member.restarts):
                pursuit.chase(member.name, _beginning(member, number, x, rng), offset=number * member.looks)
        self.facts = pursuit.facts()
        return pursuit.worst


def _beginning(member: Member, number: int, x: Tensor, rng: SampleRng) -> Callable[[Tensor], Search]:
    """Makes the search for some samples. Its random numbers are its own, whatever ran before it."""

    def begin(rows: Tensor) -> Search:
        ids = [rng.ids[i] for i in rows.tolist()]
        return member.begin(x[rows], SampleRng(derive_seed(rng.seed, member.name, number), ids), number)

    return begin
