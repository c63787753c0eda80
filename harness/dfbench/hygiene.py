"""Split hygiene: no leak between splits, both classes in each, ids that tell samples apart."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

from dfbench.contracts import CLASS_NAMES, SPLITS, Dataset, Sample
from dfbench.errors import DataError


def check_splits(dataset: Dataset, name: str) -> dict[str, Any]:
    """Check a data set before anything is trained on it.

    Returns:
        Per split, the number of samples, of each class, of each manipulation, of videos and of identities.

    Raises:
        DataError: an empty or one-class split, equal ids, or a video or identity in two splits (it is named).
    """
    samples = {split: list(dataset.split(split).samples) for split in SPLITS}
    counts = {split: _count(f"data set {name!r}, split {split!r}", rows) for split, rows in samples.items()}
    for a, b in combinations(SPLITS, 2):
        for what, keys in (("video", _videos), ("identity", _identities)):
            if shared := sorted(keys(samples[a]) & keys(samples[b])):
                shown = ", ".join(map(repr, shared[:3]))
                raise DataError(
                    f"data set {name!r} leaks: {len(shared)} of the same {what} in {a!r} and {b!r} (e.g. {shown}); "
                    "split it so that every video and every person is in one split only"
                )
    return counts


def _videos(rows: list[Sample]) -> set[str]:
    return {sample.video for sample in rows}


def _identities(rows: list[Sample]) -> set[str]:
    return {identity for sample in rows for identity in sample.identities}


def _count(where: str, rows: list[Sample]) -> dict[str, Any]:
    if not rows:
        raise DataError(f"{where} is empty: add images, or choose another split")
    labels = Counter(sample.label for sample in rows)
    for label, class_name in enumerate(CLASS_NAMES):
        if not labels[label]:
            raise DataError(f"{where} has no {class_name} samples: a detector needs both classes")
    if repeated := [sample_id for sample_id, n in Counter(sample.id for sample in rows).items() if n > 1]:
        raise DataError(f"{where}: {len(repeated)} ids occur more than once (e.g. {repeated[0]!r}); make ids unique")
    return {
        "n": len(rows),
        "real": labels[0],
        "fake": labels[1],
        "manipulations": dict(sorted(Counter(s.manipulation for s in rows if s.label).items())),
        "videos": len(_videos(rows)),
        "identities": len(_identities(rows)),
    }
