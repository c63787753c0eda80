"""``dfbench data prepare``."""

from __future__ import annotations

from pathlib import Path

import click

from dfbench.cli.data.common import CACHE, DEBUG, prepared


@click.command("prepare")
@click.argument("data")
@CACHE
@DEBUG
def command(data: str, cache: Path | None, debug: bool) -> None:
    """Prepare DATA once (decode, find faces, crop), check its splits, and print its counts."""
    from rich.console import Console
    from rich.table import Table

    dataset, counts = prepared(data, cache)
    table = Table(title=f"{data}  fingerprint {dataset.fingerprint[:16]}")
    for name in ("split", "n", "real", "fake", "manipulations", "videos", "identities"):
        table.add_column(name, justify="left" if name in ("split", "manipulations") else "right")
    for split, row in counts.items():
        manipulations = ", ".join(f"{name or 'unnamed'} {n}" for name, n in row["manipulations"].items())
        table.add_row(
            split, str(row["n"]), str(row["real"]), str(row["fake"]), manipulations, str(row["videos"]),
            str(row["identities"]),
        )  # fmt: skip
    console = Console()
    console.print(table)
    for note in dataset.notes():
        console.print(f"note: {note}", highlight=False, markup=False)
