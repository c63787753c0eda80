"""Normalised area under a metric's curve over the bound of an attack: one number for a whole sweep of eps.

An area depends on the grid of eps: never compare two that were measured on different grids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

# Without numpy, so that listing the metrics stays instant.
Value = TypeVar("Value", float, "np.ndarray[Any, Any]")


def nauc(eps: Sequence[float], values: Sequence[Value]) -> Value:
    """Area under the curve by the trapezoidal rule, over the largest eps: 1 for a metric that stays at 1.

    Args:
        eps: bounds of the attack in [0, 1] pixels, increasing; the first is 0, measured without attack.
        values: the metric at each; numbers, or arrays of one shape (bootstrap replicates) worked off together.

    Raises:
        ValueError: fewer than two points, no point at 0, a bound that is negative, NaN or not above the one before it,
            as many values as bounds are not given, or a value is NaN or infinite (arrays may hold NaN: a replicate
            without a value).
    """
    _check(eps, values)
    if eps[0] != 0:
        raise ValueError(f"the curve starts at eps {eps[0]:g}: nauc needs the point measured at eps 0")
    return _area(eps, values)


def nauc_seed(eps: Sequence[float], values: Sequence[Value]) -> Value:
    """The area as it was first published: over the attacked points alone, yet divided by the largest eps.

    A point at eps 0 is left out. A perfect metric does not reach 1 but ``1 - eps_1 / eps_max``: 0.9333 on the grid
    0.001, 0.005, 0.010, 0.015. Kept to compare with published numbers; :func:`nauc` is the one to report.

    Args:
        eps, values: as for :func:`nauc`; at least two bounds above 0.

    Raises:
        ValueError: as :func:`nauc`.
    """
    _check(eps, values)
    first = 1 if eps[0] == 0 else 0
    if len(eps) - first < 2:
        raise ValueError("nauc_seed needs at least two points at an eps above 0")
    return _area(eps[first:], values[first:])


AREAS: Mapping[str, Callable[[Sequence[float], Sequence[Any]], Any]] = {"nauc": nauc, "nauc_seed": nauc_seed}
"""The two areas of a curve, by what records call them."""


def _area(eps: Sequence[float], values: Sequence[Value]) -> Value:
    parts = [(eps[i] - eps[i - 1]) * (values[i] + values[i - 1]) / 2 for i in range(1, len(eps))]
    area: Value = sum(parts[1:], parts[0]) / eps[-1]
    return area


def _check(eps: Sequence[float], values: Sequence[Value]) -> None:
    if len(eps) != len(values):
        raise ValueError(f"{len(eps)} bounds but {len(values)} values: give one value for each eps")
    if len(eps) < 2:
        raise ValueError(f"an area needs at least two points, not {len(eps)}")
    for number, bound in enumerate(eps):
        if not math.isfinite(bound) or bound < 0:
            raise ValueError(f"eps {bound!r} is no bound: it must be finite and not negative")
        if number and bound <= eps[number - 1]:
            raise ValueError(f"the bounds must increase, but {bound:g} follows {eps[number - 1]:g}")
    for value in values:
        if getattr(value, "ndim", 0) == 0 and not math.isfinite(float(value)):
            raise ValueError(f"the value {float(value)} is not finite: an area needs a number at each eps")
