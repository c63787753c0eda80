"""File names from labels."""

from __future__ import annotations

import re

from dfbench.keys import digest

LONGEST = 45
"""Characters of a label in a file name: what the longest names hold of them fits into the 255 of a file system."""


def file_name(*parts: str) -> str:
    """A readable file name from labels: letters, digits, dots, dashes. A label that is long, or that could be taken for
    another one without the characters that are left out, ends in a digest of its whole."""
    return "--".join(map(_shortened, parts))


def _shortened(label: str) -> str:
    name = re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.")
    lossy = not name or re.search(r"[^A-Za-z0-9.()=, +/\"'-]|=[^A-Za-z0-9.\"']|\.\.", label)
    return f"{name[: LONGEST - 9]}-{digest(label)[:8]}".strip("-") if lossy or len(name) > LONGEST else name
