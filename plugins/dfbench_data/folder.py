"""``folder``: images sorted into folders ``real`` and ``fake``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dfbench.contracts import CLASS_NAMES, FAKE, Sample
from dfbench.errors import DataError
from dfbench_data import grouping
from dfbench_data.entries import Entry, few
from dfbench_data.images import SUFFIXES
from dfbench_data.imageset import ImageSet

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

_NUMBER = re.compile(r"[-_. ]*(?:frame|img|image|face)?[-_. ]*\d+$", re.IGNORECASE)


class Folder(ImageSet):
    """A tree ``real/`` and ``fake/``, or these two beneath ``train/``, ``val/`` (or ``validation/``) and ``test/``.

    Images may lie deeper; the first folder beneath ``fake/`` names the manipulation. An id is the path relative to
    the tree. Folder names may be in capitals; hidden files and files that are no images are passed over.

    The video is guessed from the file name: the name without its last number (``033_097_12.png`` gives ``033_097``,
    ``Ann_Lee_0001.jpg`` gives ``Ann_Lee``). Where nothing else is in the name it is the folder, if one lies beneath
    ``real/`` or ``fake/`` (``real/033/0001.png`` gives ``033``), else the whole name; so it is where only the class is
    (``real_0001.png``). Without split folders, images whose guesses agree, once more without a last number (``033``),
    stay in one split, real and fake alike. Who is shown cannot be told from names: where one person is in several
    videos, use a manifest; so it is for scores averaged over videos, which a guess is not good enough for.

    Args:
        path: the tree.
        size: side in pixels that images are cropped and resized to.
    """

    def __init__(self, path: str, size: int = 128) -> None:
        super().__init__(path, size)

    def entries(self) -> list[Entry]:
        """One entry for each image file."""
        if not self.path.is_dir():
            raise DataError(f"{self.path} is not a folder: give a folder that holds real/ and fake/")
        by_name = {child.name.lower(): child for child in sorted(self.path.iterdir()) if child.is_dir()}
        splits = {SPLIT_FOLDERS[name]: child for name, child in by_name.items() if name in SPLIT_FOLDERS}
        plain = [name for name in CLASS_NAMES if name in by_name]
        if splits and plain:
            raise DataError(f"{self.path} holds both {plain[0]}/ and split folders: keep one of the two layouts")
        if not splits and not plain:
            raise DataError(f"{self.path} holds neither real/ and fake/ nor train/, val/ and test/: make these folders")
        return [entry for split, root in (splits or {"": self.path}).items() for entry in self._in_split(split, root)]

    def hints(self, entries: Sequence[Entry]) -> list[str]:
        """A warning where split folders share guessed videos."""
        leaks = grouping.shared([entry.groups for entry in entries], [entry.split for entry in entries])
        if not leaks:
            return []
        return [f"file names in more than one split, which leak if they are the same videos: {few(list(leaks))}"]

    def _in_split(self, split: str, root: Path) -> list[Entry]:
        found = []
        for child in sorted(root.iterdir()):
            if child.is_dir() and child.name.lower() in CLASS_NAMES:
                label = CLASS_NAMES.index(child.name.lower())
                for file in sorted(child.rglob("*")):
                    if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith("."):
                        found.append(self._entry(split, label, child, file))
        return found

    def _entry(self, split: str, label: int, root: Path, file: Path) -> Entry:
        inner = file.relative_to(root).parts[:-1]
        manipulation = (inner[0] if inner else "fake") if label == FAKE else ""
        video, group = guess_video(file.stem, inner)
        sample = Sample(
            id=file.relative_to(self.path).as_posix(),
            label=label,
            # A name that occurs in two split folders may well be two videos; hints() tells.
            video=f"{split}/{video}" if split else video,
            manipulation=manipulation,
        )
        return Entry(file, sample, split, (group,))


def guess_video(stem: str, folders: Sequence[str]) -> tuple[str, str]:
    """The video that an image seems to come from, and the coarser name that binds it when splits are made."""
    name = _NUMBER.sub("", stem)
    if name.lower() in CLASS_NAMES:  # real_0001.png: a running number over the class, not frames of one video
        return stem, stem
    video = name or (folders[-1] if folders else stem)
    return video, _NUMBER.sub("", video) or video
