"""Cells of a run beside each other: an iterated attack must not be weaker than another one within its eps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dfbench.levels import right
from dfbench.trust.cell import LOST, iterated
from dfbench.trust.result import Result, judged

if TYPE_CHECKING:
    from dfbench.contracts import Attack
    from dfbench.runner import Cell


def beaten(cells: Sequence[Cell], attacks: Sequence[Attack | None]) -> dict[int, Result]:
    """For each cell of an iterated attack, by its position, whether another attack of the run was stronger.

    Whatever that other one is (a single step, black-box, transferred, learned): its images lie within the cell's eps,
    so that a worst case within eps has to count what they break. It costs no pass.

    Args:
        cells: those of a run.
        attacks: that of each cell.
    """
    eps = [attack.eps if attack else None for attack in attacks]
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for number, cell in enumerate(cells):
        if cell.frame is not None and eps[number]:
            groups[cell.arm, cell.data, cell.scenario.corruption_label].append(number)
    found = {}
    for numbers in groups.values():
        kept = {number: right(frame) for number in numbers if (frame := cells[number].frame) is not None}
        for number in numbers:
            attack, cell = attacks[number], cells[number]
            assert attack is not None
            if iterated(attack, cell.cost["backwards"], len(kept[number])) and not _random(cell):
                within = [other for other in numbers if other != number and _within(eps[other], eps[number])]
                lost = {other: float((kept[number] & ~kept[other]).mean()) for other in within}
                found[number] = _judged(lost, {other: cells[other].scenario.attack_label for other in within},
                                        len(kept[number]))  # fmt: skip
    return found


def _random(cell: Cell) -> bool:
    """Whether the detector was seen to be random: two of its answers differ by chance."""
    return any(
        one.check == "random" and one.value is not None and one.limit is not None and one.value > one.limit
        for one in cell.checks or ()
    )


def _within(other: float | None, eps: float | None) -> bool:
    return other is not None and eps is not None and other <= eps + 1e-6


def _judged(lost: dict[int, float], labels: dict[int, str], n: int) -> Result:
    if not lost:
        return judged("other attacks", False, "no other attack of this run lies within its eps", 0.0, LOST, n)
    top = max(lost, key=lambda number: lost[number])
    told = f"{labels[top]} breaks {lost[top]:.0%} of all samples that this attack does not"
    return judged("other attacks", lost[top] >= LOST, told, lost[top], LOST, n)
