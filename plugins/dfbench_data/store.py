"""Prepared arrays on disk: a folder of ``.npy`` files and one ``meta.json``, which appears whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.errors import StorageError

META = "meta.json"


def load(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
    """The arrays (memory-mapped, read-only) and the meta data of ``save``; None where nothing was saved.

    Raises:
        StorageError: the folder is there, but damaged.
    """
    if not folder.exists():
        return None
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in meta["arrays"]}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise StorageError(
            f"the cached data in {folder} are damaged ({error}): delete that folder and run again"
        ) from error
    return arrays, meta


def save(folder: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write everything into a temporary folder beside ``folder``, then rename it.

    Raises:
        StorageError: no permission, or no space left.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, array in arrays.items():
                np.save(temporary / f"{name}.npy", array)
            text = json.dumps({**meta, "arrays": list(arrays)}, indent=1, sort_keys=True)
            (temporary / META).write_text(text, encoding="utf-8")
            if not folder.exists():  # another process may have been faster, with the same content
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot write the prepared data to {folder}: {error.strerror or error}") from error
