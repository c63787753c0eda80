"""The index files of DFDC: ``metadata.json`` of a training part, ``labels.csv`` of the test set."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfbench.contracts import FAKE, REAL

_VIDEO = re.compile(r"[\w.-]+\.mp4", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Listed:
    """A video that an index lists.

    Args:
        label: 0 real, 1 fake.
        original: file name of the video that a fake was made from; its own for a real one; empty where unknown.
    """

    label: int
    original: str


def read_metadata(path: Path) -> tuple[dict[str, Listed], str]:
    """The videos of a training part by file name, and what is wrong with the file (empty: nothing)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}, "is missing"
    except (OSError, ValueError) as error:
        return {}, f"cannot be read ({error})"
    if not isinstance(content, dict) or not content:
        return {}, "does not list videos by name"
    listed = {name: _from_metadata(name, entry) for name, entry in content.items()}
    wrong = [name for name, video in listed.items() if video is None]
    fault = f"{wrong[0][:60]!r} needs a label, REAL or FAKE, and if fake its original" if wrong else ""
    return {name: video for name, video in listed.items() if video is not None}, fault


def _from_metadata(name: str, entry: Any) -> Listed | None:
    if not isinstance(entry, dict) or not _VIDEO.fullmatch(name):
        return None
    if entry.get("label") == "REAL":
        return Listed(REAL, name)
    original = entry.get("original")
    if entry.get("label") == "FAKE" and isinstance(original, str) and _VIDEO.fullmatch(original):
        return Listed(FAKE, original)
    return None


def read_labels(path: Path) -> tuple[dict[str, Listed], str]:
    """The test videos by file name, and what is wrong with the file (empty: nothing)."""
    listed: dict[str, Listed] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            if not {"filename", "label"} <= set(rows.fieldnames or ()):
                return {}, "needs the columns filename and label"
            for row in rows:
                name, label = row["filename"] or "", row["label"]
                if not _VIDEO.fullmatch(name) or label not in ("0", "1"):
                    return {}, f"line {rows.line_num}: expected the name of a video, and the label 0 or 1 (fake)"
                if name in listed:
                    return {}, f"line {rows.line_num}: {name} is listed twice"
                listed[name] = Listed(FAKE, "") if label == "1" else Listed(REAL, name)
    except FileNotFoundError:
        return {}, "is missing"
    except (OSError, ValueError, csv.Error) as error:
        return {}, f"cannot be read ({error})"
    return listed, ""
