"""What the commands of ``dfbench data`` have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

CACHE = click.option("--cache", type=click.Path(path_type=Path), help="Cache folder.  [default: ~/.cache/dfbench]")
DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks.")


def prepared(data: str, cache: Path | None) -> tuple[Any, dict[str, Any]]:
    """The data set that ``data`` describes, ready for use, and its counts."""
    from dfbench.hygiene import check_splits
    from dfbench.progress import Bars
    from dfbench.registry import load_registry
    from dfbench.store import Store, default_root

    component = load_registry().component("dataset", data)
    dataset = component.build()
    dataset.prepare(str(Store(cache or default_root()).root / "data"), Bars())
    return dataset, check_splits(dataset, component.label)
