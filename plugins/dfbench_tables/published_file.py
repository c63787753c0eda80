"""Published numbers as data: ``results/published/*.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfbench.errors import UsageError
from dfbench_tables.published_number import Number, read_number


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
        UsageError: it cannot be read, is no TOML, or something in it is missing, unknown, of another type, given twice
            or no value that its metric can have; of a row, with its place.
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
        rows = found["numbers"]["rows"]
        if not isinstance(rows, list):
            raise TypeError(f"its rows are no list, but {rows!r}")
        numbers = tuple(_numbers(rows))
        if not numbers:
            raise ValueError("it has no numbers")
        return Published(str(found["title"]), numbers=numbers, **tables)
    except KeyError as error:
        raise UsageError(f"{path} lacks {error}: write it like the files in results/published") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path} holds no published numbers as they must be written: {error}") from error


def _numbers(rows: Sequence[Any]) -> Iterator[Number]:
    """The numbers of the rows, each of which the messages call by its place, from 1 on."""
    seen: dict[tuple[Any, ...], int] = {}
    for place, row in enumerate(rows, 1):
        try:
            number = read_number(row)
            if (twin := seen.setdefault((number.arm, *number.place), place)) != place:
                raise ValueError(f"it gives the same number again as row {twin}")
        except (TypeError, ValueError, UsageError) as error:
            raise ValueError(f"row {place}: {error}") from error
        yield number
