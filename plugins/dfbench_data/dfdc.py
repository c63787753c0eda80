"""DFDC, the DeepFake Detection Challenge data set (Dolhansky et al., 2020)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dfbench.contracts import CLASS_NAMES, FAKE, REAL
from dfbench.corpus import Clip, Group, Survey
from dfbench_data import grouping
from dfbench_data.dfdc_index import Listed, read_labels, read_metadata
from dfbench_data.layout import Download, find, listing

PARTS, TRAIN_VIDEOS, TEST_VIDEOS = 50, 119_154, (2500, 2500)
TEST_FOLDERS = ("test", "test_videos")
METADATA, LABELS = "metadata.json", "labels.csv"

_PART = re.compile(r"dfdc_train_part_0*(\d+)", re.ASCII | re.IGNORECASE)


@dataclass
class _Found:
    """What is gathered over the folders; ``parts`` are the clips of each training part."""

    parts: dict[int, list[Clip]] = field(default_factory=dict)
    test: list[Clip] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class DFDC(Download):
    """DFDC: folders ``dfdc_train_part_N`` with ``metadata.json``, and the public test set with ``labels.csv``.

    Split by folders: ``test`` is the folder ``test`` or ``test_videos`` where there is one, else the last fifth of the
    parts; ``val`` is the last tenth of the other parts. With fewer parts than that takes, families are split: an
    original and all fakes of it. Persons are unknown; as identities serve the names of the originals.
    """

    title = "DFDC"

    def recognises(self, folder: Path) -> bool:
        folders = listing(folder)[1]
        labelled = any((folder / place / LABELS).is_file() for place in (".", *TEST_FOLDERS))
        return any(map(_PART.fullmatch, folders)) or (labelled and any(name in TEST_FOLDERS for name in folders))

    def survey(self) -> Survey:
        found = _Found()
        files, folders = listing(self.root)
        numbered = {int(match[1]): name for name in folders if (match := _PART.fullmatch(name))}
        for number, name in sorted(numbered.items()):
            found.parts[number] = _read_part(self.root, name, number, found)
        test = next((name for name in folders if name in TEST_FOLDERS), None)
        if test:
            found.test = _read_test(self.root, test, found)
        found.missing += [f"dfdc_train_part_{number} (a part)" for number in range(PARTS) if number not in numbered]
        found.extra += [name for name in files if name != LABELS]
        found.extra += [f"{name}/" for name in folders if name not in (*numbered.values(), test)]
        clips, how = _split(found.parts, found.test)
        groups = [
            Group("train parts", PARTS, len(numbered)),
            Group("train videos", TRAIN_VIDEOS, sum(map(len, found.parts.values()))),
        ]
        for label in (REAL, FAKE) if test else ():
            count = sum(clip.label == label for clip in found.test)
            groups.append(Group(f"test {CLASS_NAMES[label]}", TEST_VIDEOS[label], count))
        return Survey(
            clips=tuple(sorted(clips, key=lambda clip: clip.video)),
            groups=tuple(groups),
            missing=tuple(sorted(found.missing)),
            extra=tuple(sorted(found.extra)),
            errors=tuple(found.errors),
            notes=(how, "the persons are unknown: one can be in several originals, and so in several splits"),
        )


def _read_part(root: Path, name: str, number: int, found: _Found) -> list[Clip]:
    listed, fault = read_metadata(root / name / METADATA)
    if fault:
        found.errors.append(f"{name}/{METADATA}: {fault}: download this part again")
    return _clips(root, name, f"part_{number}", listed, found, complete=not fault)


def _read_test(root: Path, name: str, found: _Found) -> list[Clip]:
    index = next((file for file in (f"{name}/{LABELS}", LABELS) if (root / file).is_file()), f"{name}/{LABELS}")
    listed, fault = read_labels(root / index)
    if fault:
        cure = "take it from the public test set, or move the folder away to test on training parts"
        found.errors.append(f"{index}: {fault}: {cure}")
    videos = find(root, f"{name}/videos")
    place = videos.relative_to(root).as_posix() if videos else name
    return _clips(root, place, "test", listed, found, complete=not fault)


def _clips(
    root: Path, place: str, prefix: str, listed: Mapping[str, Listed], found: _Found, *, complete: bool
) -> list[Clip]:
    """The listed videos that are in the folder ``place``, as ``train``; what is missing or extra goes to ``found``.

    ``complete``: the index could be read, so that what it does not list is extra.
    """
    folder = root / place
    files = listing(folder)[0]
    there = set(files)
    found.missing += [f"{place}/{name}" for name in listed if name not in there]
    if complete:
        found.extra += [f"{place}/{name}" for name in files if name not in listed and name not in (METADATA, LABELS)]
    return [
        Clip(
            path=folder / name,
            video=f"{prefix}/{_stem(name)}",
            label=video.label,
            split="train",
            manipulation="dfdc" if video.label == FAKE else "",
            target_identity=_stem(video.original),
        )
        for name, video in listed.items()
        if name in there
    ]


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def _split(parts: Mapping[int, list[Clip]], test: list[Clip]) -> tuple[list[Clip], str]:
    """Every clip in its split, and how that was decided."""
    placed = [replace(clip, split="test") for clip in test]
    numbers = sorted(parts)
    if not numbers:
        return placed, "test: the official test folder; there is nothing to train on"
    if len(numbers) < (2 if test else 3):
        how = "too few parts to split by parts: each original and the fakes made from it share a split"
        return placed + _split_families(parts, bool(test)), f"test: the official test folder; {how}" if test else how
    tested = [] if test else numbers[-max(1, len(numbers) // 5) :]
    rest = [number for number in numbers if number not in tested]
    validated = rest[-max(1, len(rest) // 10) :]
    for number, clips in parts.items():
        split = "test" if number in tested else "val" if number in validated else "train"
        placed += [replace(clip, split=split) for clip in clips]
    chosen = "the official test folder" if test else _parts(tested)
    return placed, f"no official split of the parts; test: {chosen}; val: {_parts(validated)}; train: the others"


def _split_families(parts: Mapping[int, list[Clip]], has_test: bool) -> list[Clip]:
    clips = [clip for number in sorted(parts) for clip in parts[number]]
    groups = grouping.components([[clip.target_identity] for clip in clips])
    wanted = {split: share for split, share in grouping.SHARES.items() if not (has_test and split == "test")}
    shares = {split: share / sum(wanted.values()) for split, share in wanted.items()}
    chosen = grouping.assign(groups, [clip.video for clip in clips], [clip.label for clip in clips], shares)
    return [replace(clip, split=chosen[index]) for index, clip in enumerate(clips)]


def _parts(numbers: list[int]) -> str:
    return f"part {numbers[0]}" if len(numbers) == 1 else f"parts {numbers[0]} to {numbers[-1]}"
