"""The same photograph twice, also resized, recompressed or slightly shifted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dfbench.contracts import Progress
from dfbench.phash import CANDIDATE, DUPLICATE, detail_correlation, vectors
from dfbench_data.landmarks import Array

_BLOCK = 1024


def twins(hashes: Sequence[str], pixels: Callable[[int], Array], progress: Progress) -> dict[int, int]:
    """For each image that shows the same picture as an earlier one, the first that shows it.

    An image is compared with the earlier one whose hash is most alike, by their pixels where the hashes are alike at
    all (the audit's own rule, :mod:`dfbench.audit`). All pairs of hashes are compared, by products of matrices:
    50,000 images take seconds.

    Args:
        hashes: :func:`dfbench.phash.phash` of each.
        pixels: gives RGB uint8 (S, S, 3) of one.
        progress: where progress is shown.
    """
    units = vectors(hashes)
    likest: dict[int, int] = {}
    with progress.task("compare photographs", len(units)) as advance:
        for start in range(0, len(units), _BLOCK):
            block = units[start : start + _BLOCK]
            best, where = np.full(len(block), -1.0, np.float32), np.zeros(len(block), int)
            for begin in range(0, start + 1, _BLOCK):
                likeness = block @ units[begin : begin + _BLOCK].T
                if begin == start:  # of each other, only the earlier ones
                    likeness[np.triu_indices(len(block))] = -1.0
                top = likeness.argmax(axis=1)
                value = likeness[np.arange(len(block)), top]
                where = np.where(value > best, top + begin, where)
                best = np.maximum(value, best)
            likest.update((start + int(i), int(where[i])) for i in np.flatnonzero(best >= CANDIDATE))
            advance(len(block))

    def same(pair: tuple[int, int]) -> bool:
        return detail_correlation(pixels(pair[0]), pixels(pair[1])) >= DUPLICATE

    found: dict[int, int] = {}
    with ThreadPoolExecutor() as pool:
        for (image, earlier), confirmed in zip(likest.items(), pool.map(same, likest.items()), strict=True):
            if confirmed:
                found[image] = found.get(earlier, earlier)
    return found
