"""The Square attack as a registered attack; the search is the core's, :mod:`dfbench.square`."""

from __future__ import annotations

from torch import Tensor

from dfbench.breaking import Search
from dfbench.rng import SampleRng
from dfbench.square import SquareSearch
from dfbench_attacks.untilbroken import Member, UntilBroken


class Square(UntilBroken):
    """Random search by squares, without any gradient (Andriushchenko et al., ECCV 2020, arXiv:1912.00049).

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        queries: images tried per sample.
        through: the corruption that the images are tried behind.
        eot: draws that each answer is averaged over.
    """

    def __init__(self, eps: float = 8 / 255, queries: int = 1000, through: str = "", eot: int = 1) -> None:
        super().__init__(eps, (member(eps, queries),), through, eot)


def member(eps: float, queries: int) -> Member:
    """Square as a part of an ensemble."""

    def begin(x: Tensor, rng: SampleRng, number: int) -> Search:
        return SquareSearch(x, rng, eps=eps, queries=queries)

    return Member("square", begin, 1, queries, 0)
