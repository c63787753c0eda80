"""Splits that leak nothing: images that share a person, a video or their very pixels stay together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from dfbench.contracts import SPLITS
from dfbench.rng import derive_seed

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def components(keys: Sequence[Iterable[Hashable]]) -> list[list[int]]:
    """Indices of items grouped so that items with a key in common, directly or through others, are in one group."""
    parent = list(range(len(keys)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    first: dict[Hashable, int] = {}
    for item, own in enumerate(keys):
        for key in own:
            parent[root(item)] = root(first.setdefault(key, item))
    groups: dict[int, list[int]] = defaultdict(list)
    for item in range(len(keys)):
        groups[root(item)].append(item)
    return list(groups.values())


def assign(
    groups: Sequence[Sequence[int]], ids: Sequence[str], labels: Sequence[int], shares: Mapping[str, float]
) -> dict[int, str]:
    """A split for every item, whole groups at a time, with both classes shared out as ``shares`` says.

    Large groups first, then in the order of a hash of their ids, each goes where its classes are missing most: the
    result depends on ids, labels and groups alone.
    """
    counts = {index: np.bincount([labels[item] for item in group], minlength=2) for index, group in enumerate(groups)}
    wanted = {split: share * sum(counts.values()) for split, share in shares.items()}
    filled = {split: np.zeros(2) for split in shares}
    order = sorted(counts, key=lambda g: (-len(groups[g]), derive_seed("split", min(ids[item] for item in groups[g]))))
    chosen = {}
    for group in order:
        lack = {s: float(counts[group] @ ((wanted[s] - filled[s]) / np.maximum(wanted[s], 1e-9))) for s in shares}
        split = max(lack, key=lambda s: (lack[s], -SPLITS.index(s)))
        filled[split] = filled[split] + counts[group]
        chosen.update(dict.fromkeys(groups[group], split))
    return chosen


def shared(values: Sequence[Iterable[str]], splits: Sequence[str]) -> dict[str, list[str]]:
    """Values that occur in more than one split, with the splits they occur in."""
    where: dict[str, set[str]] = defaultdict(set)
    for own, split in zip(values, splits, strict=True):
        for value in own:
            where[value].add(split)
    return {value: sorted(found, key=SPLITS.index) for value, found in sorted(where.items()) if len(found) > 1}
