"""The image files of a user's data set, and what must hold of them before anything is trained or measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dfbench.contracts import CLASS_NAMES, Sample
from dfbench.errors import DataError

SHOWN = 5


@dataclass(frozen=True)
class Entry:
    """One image file: where it is, what it shows, and its split (empty: not yet assigned).

    ``groups`` are names that bind images together when splits are made, besides identities, video and equal content.
    """

    path: Path
    sample: Sample
    split: str
    groups: tuple[str, ...] = ()


def few(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def check_samples(source: Path, entries: Sequence[Entry]) -> None:
    """Raises DataError where there are no images, equal ids, or images of one class only."""
    if not entries:
        raise DataError(f"{source} holds no images: put real and fake images there")
    twice = [name for name, count in Counter(entry.sample.id for entry in entries).items() if count > 1]
    if twice:
        raise DataError(f"{source}: {few(twice)}: listed more than once: give each image one id")
    _check_classes(str(source), entries)


def check_contents(source: Path, entries: Sequence[Entry], hashes: Sequence[str]) -> None:
    """Raises DataError where one file content is called both real and fake."""
    labels: dict[str, int] = {}
    for entry, digest in zip(entries, hashes, strict=True):
        if labels.setdefault(digest, entry.sample.label) != entry.sample.label:
            raise DataError(f"{source}: {entry.sample.id} is both a real and a fake image: remove the wrong copy")


def check_splits(source: Path, entries: Sequence[Entry]) -> None:
    """Raises DataError where a split has one class only. What splits share is the leakage audit's matter."""
    for split in dict.fromkeys(entry.split for entry in entries):
        _check_classes(f"the {split} split of {source}", [entry for entry in entries if entry.split == split])


def _check_classes(where: str, entries: Sequence[Entry]) -> None:
    classes = {entry.sample.label for entry in entries}
    if len(classes) == 1:
        (label,) = classes
        have, lack = CLASS_NAMES[label], CLASS_NAMES[1 - label]
        raise DataError(f"{where} has {have} images only: add {lack} images, of other people or videos")
