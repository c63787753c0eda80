"""Logs of long work, short enough to keep and to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def windows(rows: Sequence[Mapping[str, float]], count: int) -> list[dict[str, float]]:
    """Means over at most ``count`` windows of consecutive rows; a term that a row lacks is left out of its mean."""
    size = math.ceil(len(rows) / count)
    found = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        names = dict.fromkeys(name for row in part for name in row)
        values = {name: [row[name] for row in part if name in row] for name in names}
        found.append({name: round(sum(many) / len(many), 6) for name, many in values.items()})
    return found
