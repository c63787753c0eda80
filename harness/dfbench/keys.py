"""Content keys: SHA-256 of canonical JSON. An artefact is found again exactly when nothing that matters changed."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, shortest float representation; NaN and infinity are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@cache
def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content; cached, for files that do not change during a run."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def core_version(*modules: str) -> str:
    """Hash of the sources of core modules that decide a result, e.g. ``core_version("train", "loader")``.

    Part of the keys, so that a changed training loop never answers from a checkpoint of the old one.
    """
    folder = Path(__file__).parent
    return digest({name: file_sha256(folder / f"{name}.py") for name in sorted(modules)})[:16]
