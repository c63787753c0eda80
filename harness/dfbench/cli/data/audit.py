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
    """Audit DATA: videos, people or near-duplicates in two splits, equal ids, damaged pixels, one class compressed.

    A run audits its training data in the same way, and does not train on what leaks unless told to.
    """
    from dfbench.audit import audit
    from dfbench.progress import Bars
    from dfbench.recheck.traces import check_traces
    from dfbench.store import Store, default_root

    progress = Bars()
    dataset, counts = prepared(data, cache)
    show_counts(data, dataset, counts)
    damaged = dataset.verify(progress)
    for line in damaged[:_SHOWN]:
        click.echo(f"damaged: {line}")
    if damaged:
        click.echo(f"{len(damaged)} damaged; splits were not compared: mend the data first")
        return 3
    findings = audit(dataset, data, Store(cache or default_root()), progress)
    _show(findings)
    traces = [one for name in counts for one in check_traces(dataset.split(name), f"{data}, {name}", progress)]
    for one in traces:
        click.echo(f"{one.check}: {one.where}: {one.message}; {one.why}")
    return 3 if findings or traces else 0


def _show(findings: Sequence[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not findings:
        console.print("the splits share no known video, no known person, and no picture")
        return
    table = Table("kind", "finding, what to do, and the first names", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for finding in findings:
        table.add_row(finding.kind, escape("\n".join((finding.message, *finding.names[:_SHOWN]))))
    console.print(table)
