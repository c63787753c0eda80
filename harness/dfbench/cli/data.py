"""``dfbench data``: list, prepare and look at data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_EPILOG = """\b
Examples:
  dfbench data list
  dfbench data prepare mini
  dfbench data preview mini --out sheet.png
  dfbench data preview "folder(path=faces)" --split test --out sheet.png"""

_CACHE = click.option("--cache", type=click.Path(path_type=Path), help="Cache folder.  [default: ~/.cache/dfbench]")
_DEBUG = click.option("--debug", is_flag=True, help="Show tracebacks.")


@click.group("data", epilog=_EPILOG)
def command() -> None:
    """Look at data sets: list, prepare, preview."""


@command.command("list")
def list_datasets() -> None:
    """Show every data set and what it expects."""
    from dfbench.registry import load_registry
    from dfbench.schema import describe

    for spec in load_registry().specs("dataset"):
        click.echo(f"{spec.name:<12} {spec.summary}")
        for param in spec.params:
            click.echo(f"{'':<14}{param.name} ({describe(param)}; default {param.default}): {param.help}")


@command.command("prepare")
@click.argument("data")
@_CACHE
@_DEBUG
def prepare(data: str, cache: Path | None, debug: bool) -> None:
    """Prepare DATA once (decode, find faces, crop), check its splits, and print its counts."""
    from rich.console import Console
    from rich.table import Table

    dataset, counts = _prepared(data, cache)
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


@command.command("preview")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="PNG file to write.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="train", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of fakes that are drawn anew.")
@_CACHE
@_DEBUG
def preview(data: str, out: Path, split: str, seed: int, cache: Path | None, debug: bool) -> None:
    """Write a contact sheet of DATA: real images and each kind of fake."""
    from dfbench.preview import contact_sheet
    from dfbench.store import write_atomic

    dataset, _ = _prepared(data, cache)
    sheet = contact_sheet(dataset, split, seed=seed)
    write_atomic(out, lambda path: sheet.save(path, format="PNG"))
    click.echo(f"written to {out}")


def _prepared(data: str, cache: Path | None) -> tuple[Any, dict[str, Any]]:
    from dfbench.hygiene import check_splits
    from dfbench.progress import Bars
    from dfbench.registry import load_registry
    from dfbench.store import Store, default_root

    component = load_registry().component("dataset", data)
    dataset = component.build()
    dataset.prepare(str(Store(cache or default_root()).root / "data"), Bars())
    return dataset, check_splits(dataset, component.label)
