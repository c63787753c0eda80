"""What the commands of ``dfbench data`` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dfbench.contracts import Dataset

CACHE = click.option("--cache", type=click.Path(path_type=Path), help="Cache folder.  [default: ~/.cache/dfbench]")
DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks.")


def prepared(data: str, cache: Path | None) -> tuple[Any, dict[str, Any]]:
    """The data set that ``data`` describes, ready for use, and the counts of the splits that it has."""
    from dfbench.contracts import SPLITS
    from dfbench.hygiene import check_splits
    from dfbench.progress import Bars
    from dfbench.registry import load_registry
    from dfbench.store import Store, default_root

    component = load_registry().component("dataset", data)
    dataset = component.build()
    dataset.prepare(str(Store(cache or default_root()).root / "data"), Bars())
    return dataset, check_splits(dataset, component.label, needed=(), optional=SPLITS)


def show_counts(data: str, dataset: Dataset, counts: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a row per split, the fingerprint, and what the data set notes."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=data, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = ("split", "n", "real", "fake", "videos", "identities", "manipulations")
    for name in names:
        table.add_column(name, justify="left" if name in ("split", "manipulations") else "right")
    for split, row in counts.items():
        manipulations = ", ".join(f"{name or 'unnamed'} {n:,}" for name, n in row["manipulations"].items())
        table.add_row(split, *(f"{row[name]:,}" for name in names[1:-1]), manipulations)
    console = Console()
    console.print(table)
    console.print(f"fingerprint {dataset.fingerprint[:16]}", highlight=False)
    for note in dataset.notes():
        console.print(f"note: {note}", highlight=False, markup=False)
