"""Celeb-DF v2 (Li et al., CVPR 2020)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dfbench.contracts import FAKE, REAL
from dfbench.corpus import Clip, Group, Survey
from dfbench_data.identity import hold_out
from dfbench_data.layout import Download, by_stem, find

TEST_LIST = "List_of_testing_videos.txt"
VAL_SHARE = 0.1
TEST_REAL, TEST_FAKE = 178, 340

_FOLDERS = {
    "Celeb-real": (590, re.compile(r"(?P<target>id\d+)_\d+", re.ASCII)),
    "YouTube-real": (300, re.compile(r"\d+", re.ASCII)),
    "Celeb-synthesis": (5639, re.compile(r"(?P<target>id\d+)_(?P<source>id\d+)_\d+", re.ASCII)),
}
"""Official number of videos, and their names without suffix."""

_LINE = re.compile(r"(?P<label>[01])\s+(?P<video>(?P<folder>[\w-]+)/[\w-]+)\.mp4", re.ASCII)


class CelebDF2(Download):
    """Celeb-DF v2: celebrities, other people from YouTube, and fakes of the celebrities with each other's faces.

    ``id0_id1_0002.mp4`` is the face of ``id1`` in a clip of ``id0``. The test split is the official list, in which 1
    means real. Of the rest a tenth of the people is held out as ``val``; fakes between them and the others are left
    out. Everybody on YouTube counts as another person.
    """

    title = "Celeb-DF v2"

    def recognises(self, folder: Path) -> bool:
        return any(find(folder, name) for name in _FOLDERS)

    def survey(self) -> Survey:
        clips: list[Clip] = []
        groups: list[Group] = []
        missing: list[str] = []
        extra: list[str] = []
        for name, (expected, pattern) in _FOLDERS.items():
            folder = find(self.root, name)
            found, others = by_stem(folder) if folder else ({}, [])
            extra += [f"{name}/{other}" for other in others]
            extra += [f"{name}/{file}" for stem, file in found.items() if not pattern.fullmatch(stem)]
            used = [
                _clip(folder / file, name, match)
                for stem, file in found.items()
                if folder and (match := pattern.fullmatch(stem))
            ]
            if not used:
                missing.append(f"{name} ({expected} videos)")
            groups.append(Group(name, expected, len(used)))
            clips += used
        listed, errors = self._test_list()
        present = {clip.video for clip in clips}
        folders = {video.partition("/")[0] for video in present}
        missing += [f"{v}.mp4" for v in listed if v not in present and v.partition("/")[0] in folders]
        test = [replace(clip, split="test") for clip in clips if clip.video in listed]
        train, val, torn = _divide([clip for clip in clips if clip.video not in listed])
        groups += [
            Group("test real", TEST_REAL, sum(clip.label == REAL for clip in test)),
            Group("test fake", TEST_FAKE, sum(clip.label == FAKE for clip in test)),
            Group("train", None, len(train)),
            Group("val", None, len(val)),
        ]
        return Survey(
            clips=tuple(sorted([*train, *val, *test], key=lambda clip: clip.video)),
            groups=tuple(groups),
            missing=tuple(sorted(missing)),
            extra=tuple(sorted(extra)),
            errors=tuple(errors),
            notes=(_about_val(val, torn), *_about_test(test, [*train, *val])),
        )

    def _test_list(self) -> tuple[set[str], list[str]]:
        """The videos of the official test list, and what is wrong with it: one line each."""
        cure = "use the list that comes with the data set"
        try:
            lines = (self.root / TEST_LIST).read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            return set(), [f"{TEST_LIST} is missing: {cure}"]
        except (OSError, ValueError) as error:
            return set(), [f"{TEST_LIST} cannot be read ({error}): {cure}"]
        listed: set[str] = set()
        errors = []
        for number, line in enumerate(map(str.strip, lines), start=1):
            if line:
                fault, video = _fault(line, listed)
                listed.add(video)
                if fault:
                    errors.append(f"{TEST_LIST}, line {number}, {line[:80]!r}: {fault}: {cure}")
        return listed - {""}, errors


def _fault(line: str, listed: set[str]) -> tuple[str, str]:
    """What is wrong with a line of the test list (empty: nothing), and the video it names (empty: none)."""
    match = _LINE.fullmatch(line)
    if not match or match["folder"] not in _FOLDERS:
        return "expected 0 or 1 and the path of a video, such as '1 YouTube-real/00170.mp4'", ""
    if match["video"] in listed:
        return "listed twice", match["video"]
    if (match["label"] == "0") != (match["folder"] == "Celeb-synthesis"):
        return "the label contradicts the folder (1 is real)", match["video"]
    return "", match["video"]


def _clip(path: Path, folder: str, match: re.Match[str]) -> Clip:
    people = match.groupdict()
    target = people.get("target") or f"yt{match[0]}"
    if "source" not in people:
        return Clip(path, f"{folder}/{match[0]}", REAL, "train", target_identity=target)
    return Clip(path, f"{folder}/{match[0]}", FAKE, "train", folder, people["source"], target)


def _people(clip: Clip) -> tuple[str, ...]:
    return tuple(filter(None, (clip.target_identity, clip.source_identity)))


def _divide(clips: list[Clip]) -> tuple[list[Clip], list[Clip], int]:
    """Clips to train on, clips to validate on, and how many show people of both sides."""
    held: set[str] = set()
    for youtube in (False, True):  # each for itself, lest one of the two fill the whole share
        held |= hold_out(
            [_people(clip) for clip in clips if clip.video.startswith("YouTube") == youtube], VAL_SHARE, "celebdf2 val"
        )
    train = [clip for clip in clips if held.isdisjoint(_people(clip))]
    val = [replace(clip, split="val") for clip in clips if held.issuperset(_people(clip))]
    return train, val, len(clips) - len(train) - len(val)


def _about_val(val: list[Clip], torn: int) -> str:
    people = _everybody(val)
    return (
        f"no official validation split: {len(val)} clips of {len(people)} people who are not in train were chosen for "
        f"it; {torn} fakes between one of them and a person of train were left out"
    )


def _about_test(test: list[Clip], rest: list[Clip]) -> list[str]:
    tested = _everybody(test)
    known = tested & _everybody(rest)
    if not known:
        return []
    return [
        f"{len(known)} of the {len(tested)} people in the official test list are in train or val too: test here what "
        "was trained on another data set; training here leaks identities"
    ]


def _everybody(clips: Iterable[Clip]) -> set[str]:
    return {person for clip in clips for person in _people(clip)}
