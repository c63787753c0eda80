"""Folders of FaceForensics++ and DeepFakeDetection, which lie beneath one root and share their compression levels."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dfbench.errors import DataError
from dfbench_data.layout import Download, by_stem, find, listing

LEVELS = ("raw", "c23", "c40")
DEFAULT_LEVEL = "c23"


class Sequences(Download):
    """Videos in ``original_sequences/<real>/<level>/videos`` and ``manipulated_sequences/<fake>/<level>/videos``.

    The flat layout, as on Kaggle, has the videos directly in folders such as ``Deepfakes`` or
    ``manipulated_sequences/Deepfakes``; it is c23.

    Args:
        root: the folder that holds ``original_sequences`` and ``manipulated_sequences``, or the flat folders.
        compression: ``raw``, ``c23`` or ``c40``; empty means c23.

    Raises:
        DataError: another layout, an unknown level, or one that is not there.
    """

    originals: ClassVar[str]
    """What the originals are called in the names of clips."""

    real: ClassVar[str]
    """Folder of the originals in the official layout."""

    flat: ClassVar[tuple[str, ...]]
    """Folders in which the originals may lie in the flat layout."""

    fakes: ClassVar[tuple[str, ...]]
    """The manipulations."""

    def __init__(self, root: Path, compression: str = "") -> None:
        self.compression = compression or DEFAULT_LEVEL
        if self.compression not in LEVELS:
            raise DataError(f"{self.title} has no compression level {compression!r}: use {', '.join(LEVELS)}")
        super().__init__(root)
        there = [level for level in LEVELS if level in self._levels(self.root)]
        self._flat = not there
        if self._flat:
            there = [DEFAULT_LEVEL]
        if self.compression not in there:
            raise DataError(
                f"{self.root} has no {self.compression} videos of {self.title}, only {', '.join(there)}: "
                f"give --compression {there[0]}, or download {self.compression}"
            )

    def recognises(self, folder: Path) -> bool:
        return bool(self._levels(folder)) or any(
            self._flat_folder(folder, name) for name in (self.originals, *self.fakes)
        )

    def videos(self, name: str) -> tuple[str, Path | None, dict[str, str], list[str]]:
        """The videos of ``originals`` or of a manipulation.

        Returns:
            Their folder as messages name it, the folder (None: absent), stem -> file name, names of all other files.
        """
        place = name if self._flat else self._place(name, self.compression)
        folder = self._flat_folder(self.root, name) if self._flat else find(self.root, place)
        if folder is None:
            return place, None, {}, []
        return folder.relative_to(self.root).as_posix(), folder, *by_stem(folder)

    def _levels(self, root: Path) -> set[str]:
        folders = [find(root, self._place(name)) for name in (self.originals, *self.fakes)]
        return {level.lower() for folder in folders if folder for level in listing(folder)[1]} & set(LEVELS)

    def _place(self, name: str, level: str = "") -> str:
        """The official folder of a level; without one, the folder of the levels."""
        top = f"original_sequences/{self.real}" if name == self.originals else f"manipulated_sequences/{name}"
        return f"{top}/{level}/videos" if level else top

    def _flat_folder(self, root: Path, name: str) -> Path | None:
        """The first folder of the flat layout that holds videos."""
        places = self.flat if name == self.originals else (name, f"manipulated_sequences/{name}")
        folders = (find(root, place) for place in places)
        return next((folder for folder in folders if folder and by_stem(folder)[0]), None)
