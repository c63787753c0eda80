"""DFFD, Diverse Fake Face Dataset (Dang et al., CVPR 2020): images, not videos."""

from __future__ import annotations

import re
from pathlib import Path

from dfbench.contracts import CLASS_NAMES, FAKE, REAL
from dfbench.corpus import Clip, Group, Survey
from dfbench_data.layout import Download, by_stem, find, listing

REALS = ("ffhq", "youtube", "celeba")
FAKES = ("faceapp", "stylegan_celeba", "stylegan_ffhq", "stargan", "pggan_v1", "pggan_v2")
SUFFIXES = (".png", ".jpg", ".jpeg")
SPLITS = {"train": "train", "validation": "val", "val": "val", "test": "test"}

COUNTS = {"train": (10_000, 56_265), "val": (999, 5_997), "test": (9_000, 62_361)}
"""Real and fake images by split: of ffhq, and of the six fake sources."""

_NAME = re.compile(r"[\w.-]+", re.ASCII)


class DFFD(Download):
    """DFFD: images in ``<source>/{train,validation,test}``; ``val`` is taken for ``validation``.

    Nobody knows who is in them, so that splits can be told apart by the images alone.
    """

    title = "DFFD"

    def recognises(self, folder: Path) -> bool:
        return any(find(folder, f"{source}/{split}") for source in (*REALS, *FAKES) for split in SPLITS)

    def survey(self) -> Survey:
        clips: dict[str, Clip] = {}
        extra, folders = listing(self.root)
        for top in folders:
            if top.lower() in (*REALS, *FAKES):
                extra += self._read(top, clips)
            else:
                extra.append(f"{top}/")
        return Survey(
            clips=tuple(sorted(clips.values(), key=lambda clip: clip.video)),
            groups=tuple(_groups(list(clips.values()))),
            extra=tuple(sorted(extra)),
            notes=("the persons are unknown: whether one is in two splits cannot be checked",),
        )

    def _read(self, top: str, clips: dict[str, Clip]) -> list[str]:
        """Add the images of one source to ``clips``, by video; what else lies there is returned."""
        loose, folders = listing(self.root / top)
        extra = [f"{top}/{name}" for name in loose]
        for name in folders:
            split = SPLITS.get(name.lower())
            if not split:
                extra.append(f"{top}/{name}/")
                continue
            found, others = by_stem(self.root / top / name, SUFFIXES)
            extra += [f"{top}/{name}/{other}" for other in others]
            for stem, file in found.items():
                clip = _clip(self.root / top / name / file, top.lower(), split, stem)
                if clip.video in clips or not _NAME.fullmatch(stem):
                    extra.append(f"{top}/{name}/{file}")
                else:
                    clips[clip.video] = clip
        return extra


def _clip(path: Path, source: str, split: str, stem: str) -> Clip:
    video = f"{source}/{'validation' if split == 'val' else split}/{stem}"
    return Clip(path, video, REAL, split) if source in REALS else Clip(path, video, FAKE, split, source)


def _groups(clips: list[Clip]) -> list[Group]:
    """Official counts, which are of ffhq and the six fake sources together; then other real images, where there are."""
    sources = [(clip.split, clip.video.partition("/")[0]) for clip in clips]
    groups = []
    for split, expected in COUNTS.items():
        for label, among in ((REAL, REALS[:1]), (FAKE, FAKES)):
            found = sum(s == split and source in among for s, source in sources)
            groups.append(Group(f"{split} {CLASS_NAMES[label]}", expected[label], found))
    for other in REALS[1:]:
        groups += [Group(f"{split} {other}", None, n) for split in COUNTS if (n := sources.count((split, other)))]
    return groups
