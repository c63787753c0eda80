"""``dfbench data``: list, prepare and look at data sets."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import click

from dfbench.cli.data import audit, check, prepare
from dfbench.cli.data.common import CACHE, DEBUG, prepared

_EPILOG = """\b
Examples:
  dfbench data list
  dfbench data check ffpp --root /data/FaceForensics++
  dfbench data prepare mini
  dfbench data audit mini
  dfbench data preview mini --out sheet.png
  dfbench data preview "folder(path=faces)" --split test --out sheet.png"""


@click.group("data", epilog=_EPILOG)
def command() -> None:
    """Look at data sets: list, check, prepare, audit, preview."""


@command.command("list")
def list_datasets() -> None:
    """Show every data set and what it expects."""
    from dfbench.contracts import REQUIRED, DatasetSpec
    from dfbench.grammar import format_value
    from dfbench.registry import load_registry
    from dfbench.schema import default_of, describe

    for spec in load_registry().specs("dataset"):
        _fold(f"{spec.name:<10}  {spec.summary}", 0, 12)
        for param in spec.params:
            default = "required" if param.default is REQUIRED else f"default {format_value(default_of(param))}"
            _fold(f"{param.name} ({describe(param)}; {default}): {param.help}", 2, 6)
        if isinstance(spec, DatasetSpec) and spec.expects:
            click.echo("  expects:")
            for line in spec.expects.splitlines():
                _fold(line, 4, 8)
        if isinstance(spec, DatasetSpec) and spec.corpus:
            _fold(f"dfbench data prepare {spec.name} --root DOWNLOAD --out data/{spec.name}", 4, 8)
        click.echo()


def _fold(text: str, first: int, rest: int) -> None:
    """Print a line folded to the terminal between words, its first part and the others indented."""
    width = shutil.get_terminal_size().columns
    click.echo(
        textwrap.fill(
            text, width, initial_indent=" " * first, subsequent_indent=" " * rest,
            break_long_words=False, break_on_hyphens=False,
        )
    )  # fmt: skip


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
command.add_command(check.command)
command.add_command(audit.command)
