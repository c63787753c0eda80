"""``dfbench data``: list, prepare and look at data sets."""

from __future__ import annotations

from pathlib import Path

import click

from dfbench.cli.data import prepare
from dfbench.cli.data.common import CACHE, DEBUG, prepared

_EPILOG = """\b
Examples:
  dfbench data list
  dfbench data prepare mini
  dfbench data preview mini --out sheet.png
  dfbench data preview "folder(path=faces)" --split test --out sheet.png"""


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


@command.command("preview")
@click.argument("data")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="PNG file to write.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="train", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of fakes that are drawn anew.")
@CACHE
@DEBUG
def preview(data: str, out: Path, split: str, seed: int, cache: Path | None, debug: bool) -> None:
    """Write a contact sheet of DATA: real images and each kind of fake."""
    from dfbench.preview import contact_sheet
    from dfbench.store import write_atomic

    dataset, _ = prepared(data, cache)
    sheet = contact_sheet(dataset, split, seed=seed)
    write_atomic(out, lambda path: sheet.save(path, format="PNG"))
    click.echo(f"written to {out}")


command.add_command(prepare.command)
