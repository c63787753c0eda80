"""DeepFakeDetection (Google and Jigsaw, 2019), which is distributed with FaceForensics++."""

from __future__ import annotations

import re
from pathlib import Path

from dfbench.contracts import FAKE, REAL
from dfbench.corpus import Clip, Group, Survey
from dfbench_data.sequences import Sequences

ORIGINALS, FAKES = 363, 3068

_REAL = re.compile(r"(?P<target>\d+)__[\w-]+", re.ASCII)
_FAKE = re.compile(r"(?P<target>\d+)_(?P<source>\d+)__[\w-]+", re.ASCII)


class DeepFakeDetection(Sequences):
    """DeepFakeDetection: paid actors, ``01__scene.mp4``, and fakes ``01_02__scene__CODE.mp4`` (02's face on 01).

    It has no official split, and its actors act in each other's fakes: all of it is ``test``. See :class:`Sequences`
    for folders.
    """

    title = "DeepFakeDetection"
    originals = real = "actors"
    flat = ("actors", "original_sequences/actors")
    fakes = ("DeepFakeDetection",)

    def survey(self) -> Survey:
        clips: list[Clip] = []
        groups: list[Group] = []
        missing: list[str] = []
        extra: list[str] = []
        for name, pattern, expected in ((self.originals, _REAL, ORIGINALS), (self.fakes[0], _FAKE, FAKES)):
            place, folder, found, others = self.videos(name)
            extra += [f"{place}/{other}" for other in others]
            if folder is None or not found:
                missing.append(f"{place} ({expected} videos)")
                groups.append(Group(name, expected, 0))
                continue
            used = {stem: match for stem in found if (match := pattern.fullmatch(stem))}
            clips += [_clip(folder / found[stem], f"{name}/{stem}", match) for stem, match in used.items()]
            extra += [f"{place}/{found[stem]}" for stem in found if stem not in used]
            groups.append(Group(name, expected, len(used)))
        return Survey(
            clips=tuple(sorted(clips, key=lambda clip: clip.video)),
            groups=tuple(groups),
            missing=tuple(sorted(missing)),
            extra=tuple(sorted(extra)),
            notes=("no official split, and the actors act in each other's fakes: every clip is in the test split",),
        )


def _clip(path: Path, video: str, match: re.Match[str]) -> Clip:
    actors = {role: f"actor{number}" for role, number in match.groupdict().items()}
    if "source" not in actors:
        return Clip(path, video, REAL, "test", target_identity=actors["target"])
    return Clip(path, video, FAKE, "test", "DeepFakeDetection", actors["source"], actors["target"])
