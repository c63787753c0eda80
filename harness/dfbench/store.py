"""The cache: artefacts by content key, each written to a temporary folder and renamed.

A folder that is there is complete; one that is not there is not done. Resuming is running again.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dfbench.errors import StorageError
from dfbench.keys import digest

_STALE_SECONDS = 24 * 3600


def default_root() -> Path:
    """``$DFBENCH_CACHE``, else ``$XDG_CACHE_HOME/dfbench``, else ``~/.cache/dfbench``."""
    if root := os.environ.get("DFBENCH_CACHE"):
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dfbench"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system error while writing ``path`` into one clear line with the cure."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            cure = "free some space, or choose another place with --out or --cache; finished work is kept"
            raise StorageError(f"no space left while writing {path}: {cure}") from error
        cure = "choose a folder you can write to with --out or --cache"
        raise StorageError(f"cannot write {path} ({error.strerror or error}): {cure}") from error


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it: readers see the old or the new."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
        try:
            write(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    write_atomic(path, lambda temporary: temporary.write_bytes(text.encode()))


class Store:
    """Artefact folders ``<root>/<kind>/<key>/``, each with ``key.json``, the pre-image of its key."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            for stale in self.root.glob("*/.tmp-*"):
                if time.time() - stale.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(stale, ignore_errors=True)

    def path(self, kind: str, preimage: Any) -> Path:
        """Where the artefact of this pre-image is, or would be."""
        return self.root / kind / digest(preimage)[:20]

    def find(self, kind: str, preimage: Any) -> Path | None:
        """The finished artefact's folder, or None."""
        folder = self.path(kind, preimage)
        return folder if (folder / "key.json").is_file() else None

    @contextmanager
    def publish(self, kind: str, preimage: Any) -> Iterator[Path]:
        """A temporary folder to fill; it becomes the artefact when the block ends without an error."""
        target = self.path(kind, preimage)
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
            try:
                yield temporary
                (temporary / "key.json").write_text(json.dumps(preimage, indent=1, sort_keys=True), encoding="utf-8")
                temporary.chmod(0o755)
                try:
                    temporary.rename(target)
                except OSError as error:
                    # Another process finished the same artefact first: equal keys, equal content.
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not (target / "key.json").is_file():
                        raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
