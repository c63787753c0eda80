"""One published number, as a row of a file gives it, and what it may be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from dfbench.errors import did_you_mean
from dfbench.grammar import format_value, parse
from dfbench.nauc import AREAS
from dfbench.registry import load_registry

ARMS = ("baseline", "defended")

_COUNTS = ("tp", "fp", "tn", "fn", "n")
_SHARES = re.compile(
    r"(balanced_)?accuracy|f1_(macro|real|fake)|auc|ap|eer|tpr_at_fpr_1pct|always_(real|fake)_accuracy|flip_rate"
    r"|(iinc|cam_).*"
)
"""The built-in metrics whose values lie in [0, 1]."""


@dataclass(frozen=True)
class Number:
    """One published number.

    Args:
        arm: ``baseline`` or ``defended``.
        metric: what it really is, by the name of a metric.
        value: as published.
        data: the data set, where the file has several.
        attack: the attack's name; ``none`` for none.
        eps: its bounds in [0, 1] pixels: none, one, or for an area the whole grid without 0.
        steps: of the attack, where it has them.
        corruption: as it is written in runs, e.g. ``jpeg(quality=50)``.
        called: what it is called where it was published, if that is something else than it is.
        area: ``nauc`` or ``nauc_seed`` where it is the area of the metric's curve over eps.
    """

    arm: str
    metric: str
    value: float
    data: str = ""
    attack: str = "none"
    eps: tuple[float, ...] = ()
    steps: int | None = None
    corruption: str = "none"
    called: str = ""
    area: str = ""

    @property
    def place(self) -> tuple[Any, ...]:
        """What it shares with the number of the other arm."""
        return (self.data, self.attack, self.eps, self.steps, self.corruption, self.area, self.metric, self.called)


def read_number(row: Any) -> Number:
    """The number of one row.

    Raises:
        TypeError: it is no table.
        ValueError: something in it is missing, unknown, of another type, or no value that its metric can have.
        UsageError: its corruption cannot be read.
    """
    if not isinstance(row, Mapping):
        raise TypeError(f"{row!r} is no table of arm, metric, value, ...")
    known = [one.name for one in fields(Number)]
    for name, given in row.items():
        if name not in known:
            raise ValueError(f"unknown key {name!r}: {did_you_mean(name, known)}")
        if name not in ("value", "eps", "steps") and not isinstance(given, str):
            raise ValueError(f"{name} = {given!r} is no text")
    for name in ("arm", "metric", "value"):
        if name not in row:
            raise ValueError(f"it lacks {name!r}")
    eps = row.get("eps", [])
    bounds = eps if isinstance(eps, list) else [eps]
    for bound in bounds:
        if not _is_number(bound) or bound <= 0:
            raise ValueError(f"the eps {bound!r} is no bound above 0")
    number = Number(**{**row, "eps": tuple(map(float, bounds))})
    _check(number)
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check(number: Number) -> None:
    if number.arm not in ARMS:
        raise ValueError(f"the arm {number.arm!r} is neither {' nor '.join(ARMS)}")
    metrics = [spec.name for spec in load_registry().specs("metric")]
    if number.metric not in metrics:
        raise ValueError(f"unknown metric {number.metric!r}: {did_you_mean(number.metric, metrics)}")
    if not _is_number(number.value):
        raise ValueError(f"the value {number.value!r} is no number")
    low, high = _range(number.metric)
    if not low <= number.value <= high:
        raise ValueError(f"the value {number.value!r} of {number.metric} is not within {low:g} and {high:g}")
    if number.steps is not None and (not isinstance(number.steps, int) or isinstance(number.steps, bool)):
        raise ValueError(f"steps = {number.steps!r} is no whole number")
    if number.area and (number.area not in AREAS or len(number.eps) < 2):
        raise ValueError(f"the area {number.area!r} must be {' or '.join(AREAS)}, of at least two eps")
    if not number.area and len(number.eps) > 1:
        raise ValueError('several eps belong to an area: give its name, area = "nauc_seed"')
    if list(number.eps) != sorted(set(number.eps)):
        raise ValueError(f"the eps {', '.join(map(format_value, number.eps))} must increase")
    parse(number.corruption)


def _range(metric: str) -> tuple[float, float]:
    """What values a metric can have; anything for one of another package."""
    if metric in _COUNTS:
        return 0, math.inf
    if metric.startswith("cam_pearson"):
        return -1, 1
    return (0, 1) if _SHARES.fullmatch(metric) else (-math.inf, math.inf)
