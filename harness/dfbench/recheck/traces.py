"""Traces of JPEG compression in one class alone: a detector then learns the compression, not the forgery.

JPEG codes blocks of 8 x 8 pixels, and leaves steps at their borders (Fan and de Queiroz, IEEE Trans. Image Process. 12,
2003). How steep they are depends on the content too, so that two classes that both have a grid are not told apart:
what is found is a grid in one class and none in the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import CLASS_NAMES, Progress, Split
from dfbench.recheck.arithmetic import rank_auc
from dfbench.recheck.finding import Finding

BLOCK = 8

APART = 0.9
"""AUC of the blocking between the classes, of one over the other, from which on they are not compressed alike: what
content and chance do to a hundred images leaves it near 0.5."""

NO_GRID = 1.12
"""Blocking of images that were never compressed, or scaled after it, is below this."""

FEWEST = 10
"""Images of each class without which nothing is said."""

MOST = 500
"""Images of each class that are looked at, evenly spaced."""


def blocking(pixels: NDArray[Any]) -> float:
    """How much steeper the steps at the borders of a grid of 8 x 8 blocks are than those within.

    Args:
        pixels: (H, W, 3) uint8.

    Returns:
        The mean step between neighbours at the phase of the grid where it is largest, over the median of all eight
        phases, in the direction where that is less: a grid has both, stripes have one; about 1 without a grid.
    """
    luma = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    ratios: list[float] = []
    for image in (luma, luma.T):
        steps = np.abs(np.diff(image, axis=1)).mean(axis=0)
        phases = [float(steps[phase::BLOCK].mean()) for phase in range(BLOCK)]
        ratios.append(max(phases) / max(float(np.median(phases)), 1e-6))
    return min(ratios)


def check_traces(split: Split, name: str, progress: Progress) -> Iterator[Finding]:
    """Whether both classes of a split were compressed alike.

    Args:
        split: prepared.
        name: what findings call it.
        progress: where progress is shown.
    """
    labels = np.array([sample.label for sample in split.samples])
    chosen = []
    for label in range(len(CLASS_NAMES)):
        members = np.flatnonzero(labels == label)
        if len(members) < FEWEST:
            return
        chosen += list(members[np.linspace(0, len(members) - 1, min(MOST, len(members))).astype(int)])
    found = []
    with progress.task(f"traces {name}", len(chosen)) as advance:
        for index in chosen:
            found.append(blocking(split.pixels(int(index))))
            advance(1)
    values = np.array(found)
    auc = rank_auc(labels[chosen], values)
    if auc is None or max(auc, 1 - auc) < APART:
        return
    medians = {name: float(np.median(values[labels[chosen] == label])) for label, name in enumerate(CLASS_NAMES)}
    if min(medians.values()) >= NO_GRID:
        return
    worse = max(medians, key=lambda name: medians[name])
    yield Finding(
        "error",
        "compression",
        name,
        f"the {worse} images were JPEG-compressed, the others were not: the grid of its blocks tells the classes apart "
        f"with AUC {max(auc, 1 - auc):.2f}",
        "a detector that learns the compression of one class detects no forgery",
        f"blocking of {worse} {max(medians.values()):.2f}",
        f"of the others {min(medians.values()):.2f}",
    )
