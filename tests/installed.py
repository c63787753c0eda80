"""Really installed little distributions for tests: a folder with modules and a ``.dist-info``, as pip leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(
    folder: Path, distribution: str, sources: Mapping[str, str], entry_points: Mapping[str, str], version: str = "1.0"
) -> None:
    """Write modules (``"foo/plugin.py" -> source``) and the metadata that announces their entry points."""
    for name, source in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = [f"{name} = {value}\n" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("[dfbench]\n" + "".join(lines))
