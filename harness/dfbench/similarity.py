"""How alike two attention maps are: pure functions over batches of maps on one grid, values in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.floating[Any]]
Values = NDArray[np.float64]

TOP = 10
"""How many of the strongest cells :func:`top_cell_iou` compares."""


def pearson(a: Maps, b: Maps) -> Values:
    """Pearson correlation of two maps over the cells of their grid, higher is more alike.

    Args:
        a, b: maps (B, h, w).

    Returns:
        Values (B,) in [-1, 1]; NaN where a map is constant (an empty one is), for it has no pattern to compare.
    """
    a, b = _flat(a, b)
    constant = (np.ptp(a, axis=1) == 0) | (np.ptp(b, axis=1) == 0)
    a, b = (maps - maps.mean(axis=1, keepdims=True) for maps in (a, b))
    a, b = (maps / np.maximum(np.linalg.norm(maps, axis=1, keepdims=True), np.finfo(float).tiny) for maps in (a, b))
    found: Values = np.where(constant, np.nan, (a * b).sum(axis=1).clip(-1, 1))
    return found


def iinc(a: Maps, b: Maps) -> Values:
    """Inverse Intersection Non-Containment, lower is more alike (Dang et al., CVPR 2020).

    With I the elementwise minimum, U the maximum and |.| the mean over the map: (2 - |I|/|a| - |I|/|b|) / (3 - |U|);
    0 where both maps are empty, 1 / (3 - |U|) where exactly one is. An emptied map therefore scores better than one
    that moved away: read it beside the share of empty maps.

    Args:
        a, b: maps (B, h, w) with values in [0, 1].

    Returns:
        Values (B,) in [0, 1]; 0 for equal maps.
    """
    a, b = _flat(a, b)
    inside, union = np.minimum(a, b).mean(axis=1), np.maximum(a, b).mean(axis=1)
    sizes = np.stack([a.mean(axis=1), b.mean(axis=1)])
    # An empty map holds nothing of the other one: as if all of it were contained, and so 1 is left of the 2.
    contained = np.divide(inside, sizes, out=np.ones_like(sizes), where=sizes > 0)
    found: Values = (2 - contained.sum(axis=0)) / (3 - union)
    return found


def top_cell_iou(a: Maps, b: Maps, k: int = TOP) -> Values:
    """Intersection over union of the k strongest cells of two maps, higher is more alike.

    Only cells above 0 can be among them, so that a map with fewer than k of those has fewer. Cells that are tied for
    the last places share them equally, as fractions, whatever their position: intersection and union are then the sums
    of the smaller and of the larger fractions.

    Args:
        a, b: maps (B, h, w).
        k: number of cells.

    Returns:
        Values (B,) in [0, 1]; 1 for equal maps and 0 where exactly one is empty. NaN where both are, and everywhere on
        a grid of k cells or fewer, whose top cells are all of it.
    """
    a, b = _flat(a, b)
    if a.shape[1] <= k:
        return np.full(len(a), np.nan)
    members = [_members(maps, k) for maps in (a, b)]
    inside, union = np.minimum(*members).sum(axis=1), np.maximum(*members).sum(axis=1)
    found: Values = np.divide(inside, union, out=np.full(len(a), np.nan), where=union > 0)
    return found


def _members(maps: Values, k: int) -> Values:
    """How much of each cell (B, cells) is among the k strongest of its map, in [0, 1]."""
    last = np.partition(maps, -k, axis=1)[:, -k, None]  # the value of the k-th strongest cell
    above, tied = maps > last, maps == last
    share = (k - above.sum(axis=1, keepdims=True)) / tied.sum(axis=1, keepdims=True)
    members: Values = np.where(maps > 0, above + tied * share, 0.0)
    return members


def _flat(a: Maps, b: Maps) -> tuple[Values, Values]:
    """Both as (B, cells) in double precision."""
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"maps of shapes {a.shape} and {b.shape}: both must be (B, h, w)")
    return a.reshape(len(a), -1).astype(np.float64), b.reshape(len(b), -1).astype(np.float64)
