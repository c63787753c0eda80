"""The photographs in a folder, and who they show."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from dfbench.contracts import CLASS_NAMES
from dfbench_data.grouping import components
from dfbench_data.images import SUFFIXES
from dfbench_data.layout import listing

_WORD = r"(?:frame|img|image|face)?"
_NUMBERS = re.compile(rf"(?:[-_. (]+{_WORD}[-_. ]*\d+\)?)*[-_. (]*{_WORD}[-_. (]*\d+\)?$", re.IGNORECASE)


def image_files(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Images by their path within ``root``, in its order, and the paths of other files.

    Links are followed; hidden files and folders are passed over. Names that are no UTF-8 are given with escapes.

    Raises:
        DataError: a folder cannot be listed.
    """
    found: dict[str, Path] = {}
    others: list[str] = []

    def look(folder: Path, above: tuple[Path, ...]) -> None:
        place = folder.resolve()
        if place in above:  # a link to a folder that it lies in
            return
        files, folders = listing(folder)
        for file in (folder / name for name in files):
            name = os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
            if file.suffix.lower() in SUFFIXES:
                found[name] = file
            else:
                others.append(name)
        for name in folders:
            look(folder / name, (*above, place))

    look(root, ())
    return {name: found[name] for name in sorted(found, key=lambda name: name.split("/"))}, sorted(others)


def people_in(names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Who each image shows, by its path, and the images that tell no name and so count as a person each.

    The first folder, beneath any that all images lie in, is a person. Outside of such folders it is the file name
    without the numbers at its end (``Ann_Lee_0001.jpg`` and ``Ann_Lee_0002 (3).jpg`` show ``Ann_Lee``, ``id0_0001.jpg``
    shows ``id0``); where nothing else is in the name but a number, each image is a person of its own.
    """
    paths = {name: PurePosixPath(name) for name in names}
    shared = len(PurePosixPath(os.path.commonpath([path.parent for path in paths.values()])).parts) if names else 0
    people: dict[str, str] = {}
    nameless: list[str] = []
    for name, path in paths.items():
        within = path.parts[shared:]
        rest = _NUMBERS.sub("", path.stem)
        if len(within) > 1:
            people[name] = within[0]
        elif rest and rest.lower() not in CLASS_NAMES:  # real_0001.jpg: a running number over the class
            people[name] = rest
        else:
            people[name] = path.stem
            nameless.append(name)
    return people, nameless


def united(people: Mapping[str, str], same: Mapping[str, str]) -> dict[str, str]:
    """People by image, those who share a picture counted as one: one person by two names, or a picture misnamed.

    Args:
        people: who each image shows.
        same: images that show the same picture as another one, and that one.
    """
    names = list(people)
    keys = [(("person", people[name]), ("picture", name), ("picture", same.get(name, name))) for name in names]
    groups = [[names[item] for item in group] for group in components(keys)]
    return {name: min(people[other] for other in group) for group in groups for name in group}
