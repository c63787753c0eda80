"""What must hold of a split before anything is computed: samples, both classes, and ids that tell them apart.

Whether splits share videos, people or images is the leakage audit's matter (:mod:`dfbench.audit`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dfbench.contracts import CLASS_NAMES, SPLITS, Dataset, Sample, Split
from dfbench.errors import DataError


def check_splits(
    dataset: Dataset, name: str, needed: Sequence[str] = SPLITS, optional: Sequence[str] = ()
) -> dict[str, Any]:
    """Check splits of a prepared data set.

    Args:
        dataset: the data set.
        name: what errors call it.
        needed: splits that must be there.
        optional: splits that may be absent, but must be sound where they are there.

    Returns:
        For each of these splits that is there, the number of samples, of each class, of each manipulation, of videos
        and of identities.

    Raises:
        DataError: a needed split is absent or empty, or a split has one class only or equal ids.
    """
    counts = {}
    for split in [split for split in SPLITS if split in needed or split in optional]:
        found = dataset.split(split) if split in needed else find_split(dataset, split)
        if found is not None:
            counts[split] = _count(f"data set {name!r}, split {split!r}", list(found.samples), dataset.video_level)
    return counts


def find_split(dataset: Dataset, name: str) -> Split | None:
    """A split, or None where the data set has none of this name."""
    try:
        split = dataset.split(name)
    except DataError:  # by contract: there is no such split; whatever else is wrong is found when a set is prepared
        return None
    return split if len(split.samples) else None


def _count(where: str, rows: list[Sample], video_level: bool) -> dict[str, Any]:
    if not rows:
        raise DataError(f"{where} is empty: add images, or choose another split")
    labels = Counter(sample.label for sample in rows)
    for label, class_name in enumerate(CLASS_NAMES):
        if not labels[label]:
            raise DataError(f"{where} has no {class_name} samples: a detector needs both classes")
    if repeated := [sample_id for sample_id, n in Counter(sample.id for sample in rows).items() if n > 1]:
        raise DataError(f"{where}: {len(repeated)} ids occur more than once (e.g. {repeated[0]!r}); make ids unique")
    # Equal names of different manipulations are different videos; where samples are no frames, it is what they show.
    videos = {(s.label, s.manipulation, s.video) if video_level else s.video for s in rows}
    return {
        "n": len(rows),
        "real": labels[0],
        "fake": labels[1],
        "manipulations": dict(sorted(Counter(s.manipulation for s in rows if s.label).items())),
        "videos": len(videos),
        "identities": len({identity for sample in rows for identity in sample.identities}),
    }
