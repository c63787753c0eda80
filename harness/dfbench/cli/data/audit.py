"""``dfbench data audit``: what splits share that they must not, and whether the stored pixels are still the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfbench.cli.data.common import CACHE, DEBUG, prepared, show_counts

if TYPE_CHECKING:
    from dfbench.audit import Finding

_SHOWN = 10

_EPILOG = """\b
Examples:
  dfbench data audit mini
  dfbench data audit "ffpp(path=/data/ffpp)"
  dfbench data audit "folder(path=faces)"

Exit codes: 0 clean, 1 unusable data, 3 findings or damaged pixels."""


@click.command("audit", epilog=_EPILOG)
@click.argument("data")
@CACHE
@DEBUG
def command(data: str, cache: Path | None, debug: bool) -> int:
    """Audit DATA: videos, people or near-duplicate crops in two splits, equal ids, damaged pixels.

    A run audits its training data in the same way, and does not train on what leaks unless told to.
    """
    from dfbench.audit import audit
    from dfbench.contracts import Dataset
    from dfbench.progress import Bars
    from dfbench.store import Store, default_root

    progress = Bars()
    dataset, counts = prepared(data, cache)
    findings = audit(dataset, data, Store(cache or default_root()), progress)
    damaged = dataset.verify(progress)
    show_counts(data, dataset, counts)
    _show(findings, damaged)
    if not damaged and type(dataset).verify is not Dataset.verify:
        click.echo("the pixels of every crop have their checksum")
    return 3 if findings or damaged else 0


def _show(findings: Sequence[Finding], damaged: Sequence[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if findings:
        table = Table("kind", "finding, and what to do")
        for finding in findings:
            table.add_row(finding.kind, escape(finding.message))
        console.print(table)
    else:
        console.print("no video, person or picture is in two splits")
    for line in damaged[:_SHOWN]:
        console.print(f"damaged: {line}", highlight=False, markup=False)
    if len(damaged) > _SHOWN:
        console.print(f"... and {len(damaged) - _SHOWN:,} more", highlight=False)
    if damaged:
        console.print("copy the damaged files again from where they are whole, or prepare the data again")
