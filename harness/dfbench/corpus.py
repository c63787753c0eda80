"""What a corpus must be: a forgery data set as its authors distribute it, read without decoding anything."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


@dataclass(frozen=True)
class Clip:
    """One video, or one image, and what is known of it.

    Args:
        path: the file.
        video: its name within the data set, e.g. ``Deepfakes/519_515``: unique, the same wherever the data lie, and
            distinct for equal file names of different manipulations. Letters, digits and ``_ - . /``.
        label: 0 real, 1 fake.
        split: ``train``, ``val`` or ``test``.
        manipulation: how the fake was made; empty for a real clip.
        source_identity: whose face was put in, where known; empty for a real clip.
        target_identity: who is (or was) in the clip, where known.
    """

    path: Path
    video: str
    label: int
    split: str
    manipulation: str = ""
    source_identity: str = ""
    target_identity: str = ""

    @property
    def is_image(self) -> bool:
        """Whether the file is a single image, by its suffix."""
        return self.path.suffix.lower() in IMAGE_SUFFIXES


@dataclass(frozen=True)
class Group:
    """How many clips of one kind the official release has (None: no official count), and how many are here."""

    name: str
    expected: int | None
    found: int


@dataclass(frozen=True)
class Survey:
    """A download compared with the official release, without opening any clip.

    Args:
        clips: the usable clips, sorted by ``video``; each file belongs to a split.
        groups: official counts beside those found, e.g. one row per folder and per split.
        missing: files and whole folders that the official release has and the download lacks, relative to the root.
        extra: files that the official release does not have or assign, sorted; they are not used.
        errors: what makes the data set unusable: an index (split file, test list, metadata) that is missing or
            malformed. Each is one line that names the file and the cure.
        notes: what a reader of the numbers must know, e.g. how a validation split was made, clips left out and why.
    """

    clips: tuple[Clip, ...]
    groups: tuple[Group, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Corpus(ABC):
    """A download in its official layout.

    Args:
        root: its top folder.
        compression: which of several compression levels to read (FaceForensics++: ``raw``, ``c23``, ``c40``); empty
            for the data set's own default.

    Raises:
        DataError: there is no such folder, or no such compression level in this data set.
    """

    compression: str = ""
    """The level that is read; empty where the data set knows none. Part of the identity of the crops."""

    @abstractmethod
    def __init__(self, root: Path, compression: str = "") -> None: ...

    @abstractmethod
    def survey(self) -> Survey:
        """List the clips, and compare them with the official release. Opens no clip; reads index files only."""
