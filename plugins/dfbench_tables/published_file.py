"""Published numbers as data: ``results/published/*.toml``."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfbench.errors import UsageError

ARMS = ("baseline", "defended")


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


@dataclass(frozen=True)
class Published:
    """The numbers of one publication.

    Args:
        title: what it is called beside a run.
        source: where the numbers stand, in words.
        arms: what its baseline and its defended detector are.
        protocol: how they were measured: ``data``, ``split``, ``n``, ``model``, ``weights``; ``recipe``, ``attacks``.
        problems: what is known to be wrong with them, by name.
        numbers: the numbers in their order.
    """

    title: str
    source: Mapping[str, str]
    arms: Mapping[str, str]
    protocol: Mapping[str, Any]
    problems: Mapping[str, str]
    numbers: tuple[Number, ...]


def read_published(path: Path) -> Published:
    """Read a file of published numbers.

    Raises:
        UsageError: it cannot be read, is no TOML, or something in it is missing, unknown or of another type.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"no published numbers at {path} ({error.strerror}): give a file as in results/published"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is no TOML ({error}): write it like the files in results/published") from error
    try:
        tables = {name: dict(found[name]) for name in ("source", "arms", "protocol", "problems")}
        numbers = tuple(_number(row) for row in found["numbers"]["rows"])
        if not numbers:
            raise ValueError("it has no numbers")
        return Published(str(found["title"]), numbers=numbers, **tables)
    except KeyError as error:
        raise UsageError(f"{path} lacks {error}: write it like the files in results/published") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path} holds no published numbers as they must be written: {error}") from error


def _number(row: Mapping[str, Any]) -> Number:
    eps = row.get("eps", ())
    number = Number(**{**row, "eps": tuple(map(float, eps if isinstance(eps, (list, tuple)) else (eps,)))})
    if number.arm not in ARMS:
        raise ValueError(f"the arm {number.arm!r} is neither {' nor '.join(ARMS)}")
    if not isinstance(number.value, (int, float)) or isinstance(number.value, bool) or not math.isfinite(number.value):
        raise ValueError(f"the value {number.value!r} is no number")
    if number.area and (number.area not in ("nauc", "nauc_seed") or len(number.eps) < 2):
        raise ValueError(f"the area {number.area!r} must be nauc or nauc_seed, of at least two eps")
    if not number.area and len(number.eps) > 1:
        raise ValueError('several eps belong to an area: give its name, area = "nauc_seed"')
    return number
