"""What downloads in official layouts have in common: folders listed once, names matched whatever their case."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from dfbench.corpus import Corpus
from dfbench.errors import DataError

VIDEO_SUFFIXES = (".mp4",)
_FOREIGN = ("thumbs.db", "desktop.ini", "__macosx")


class Download(Corpus):
    """A download that is recognised by its top folders and knows no compression levels.

    Raises:
        DataError: ``root`` is no folder, holds none of the top folders, or a compression level is asked for.
    """

    title: ClassVar[str]
    """What messages call the data set."""

    def __init__(self, root: Path, compression: str = "") -> None:
        self.root = root.expanduser()
        if compression:
            raise DataError(f"{self.title} has no compression levels: leave {compression!r} out")
        if not self.recognises(self.root):
            self.refuse()

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Whether a folder looks like the top of this download."""

    def refuse(self) -> None:
        """Raise the error that names the folder to give."""
        if not self.root.is_dir():
            raise DataError(f"{self.root} is not a folder: give the top folder of {self.title}")
        inner = [name for name in listing(self.root)[1] if self.recognises(self.root / name)]
        cure = f"did you mean {self.root / inner[0]}?" if inner else f"give the top folder of {self.title}"
        raise DataError(f"{self.root} does not have the layout of {self.title}: {cure}")


def listing(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders in ``folder``, sorted; without hidden ones; none where it is absent.

    Raises:
        DataError: it cannot be listed.
    """
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.lower() not in _FOREIGN:
                    (folders if entry.is_dir() else files).append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}): mend its permissions") from error
    return sorted(files), sorted(folders)


def find(root: Path, place: str) -> Path | None:
    """The folder ``place`` (``a/b/c``) beneath ``root``, in any case; None where there is none."""
    folder = root
    for part in place.split("/"):
        if not (folder / part).is_dir():
            alike = [name for name in listing(folder)[1] if name.lower() == part.lower()]
            if not alike:
                return None
            part = alike[0]
        folder /= part
    return folder


def by_stem(folder: Path, suffixes: tuple[str, ...] = VIDEO_SUFFIXES) -> tuple[dict[str, str], list[str]]:
    """The files with these suffixes as stem -> name, and the names of all other files, second ones of a stem too."""
    found: dict[str, str] = {}
    others = []
    for name in listing(folder)[0]:
        stem, dot, suffix = name.rpartition(".")
        if dot + suffix.lower() in suffixes and stem not in found:
            found[stem] = name
        else:
            others.append(name)
    return found, others
