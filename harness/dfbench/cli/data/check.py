"""``dfbench data check``."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfbench.cli.data.common import DEBUG

if TYPE_CHECKING:
    from dfbench.corpus import Survey

SHOWN = 10
INCOMPLETE = 4
"""Exit code where something is missing, unreadable or malformed."""


@click.command(
    "check",
    epilog="""\b
Examples:
  dfbench data check ffpp --root /data/FaceForensics++ --compression c40
  dfbench data check celebdf2 --root /data/Celeb-DF-v2 --fast
  dfbench data check dfdc --root /data/dfdc --out report.csv

Exit codes: 0 complete, 1 not such a download, 2 usage, 4 something is missing or
unreadable, or an index file is wrong.""",
)
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), required=True, help="Top folder of the download.")
@click.option("--compression", default="", help="FaceForensics++: raw, c23 or c40.  [default: the data set's own]")
@click.option("--fast", is_flag=True, help="Compare names alone; open no clip.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="CSV file for everything that was found.")
@DEBUG
def command(name: str, root: Path, compression: str, fast: bool, out: Path | None, debug: bool) -> int:
    """Compare a download of data set NAME with the official release, and open every clip."""
    from dfbench.progress import Bars
    from dfbench.registry import load_registry
    from dfbench.store import write_text
    from dfbench.survey import unreadable

    corpus = load_registry().corpus(name, root, compression)
    survey = corpus.survey()
    broken = [] if fast else unreadable(survey.clips, Bars())
    _print_groups(f"{name} {corpus.compression}".strip(), survey)
    findings = {
        "missing": [(path, "") for path in survey.missing],
        "extra": [(path, "") for path in survey.extra],
        "unreadable": [(os.path.relpath(clip.path, root), reason) for clip, reason in broken],
        "error": [("", text) for text in survey.errors],
        "note": [("", text) for text in survey.notes],
    }
    for kind, rows in findings.items():
        _print_findings(kind, rows, out)
    if out:
        write_text(out, _csv(findings))
    verdict, code = _verdict(survey, len(broken), fast)
    click.echo(f"{name}: {verdict}")
    return code


def _print_groups(title: str, survey: Survey) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    table.add_column("group", no_wrap=True)
    for column in ("expected", "found"):
        table.add_column(column, justify="right")
    for group in survey.groups:
        short = group.expected is not None and group.found < group.expected
        expected = "-" if group.expected is None else f"{group.expected:,}"
        table.add_row(group.name, expected, f"{group.found:,}", style="red" if short else None)
    if survey.groups:
        Console().print(table)


def _print_findings(kind: str, rows: Sequence[tuple[str, str]], out: Path | None) -> None:
    """Errors and notes in full; of paths, the first ten."""
    if kind in ("error", "note"):
        for _, text in rows:
            click.echo(f"{kind}: {text}")
    elif rows:
        click.echo(f"{kind} ({len(rows):,}){', not used' if kind == 'extra' else ''}:")
        for path, reason in rows[:SHOWN]:
            click.echo(f"  {path}" + (f": {reason}" if reason else ""))
        if len(rows) > SHOWN:
            click.echo(
                f"  and {len(rows) - SHOWN:,} more: {f'see {out}' if out else 'write all with --out report.csv'}"
            )


def _csv(findings: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("kind", "path", "detail"))
    writer.writerows((kind, *row) for kind, rows in findings.items() for row in rows)
    return text.getvalue()


def _verdict(survey: Survey, broken: int, fast: bool) -> tuple[str, int]:
    """The last line, and the exit code."""
    short = sum(group.expected is not None and group.found < group.expected for group in survey.groups)
    counted = {"missing": len(survey.missing), "unreadable": broken, "groups below the official count": short}
    faults = ", ".join(f"{what} {count:,}" for what, count in counted.items() if count)
    usable = f"usable clips {len(survey.clips) - broken:,}" + (" (not opened)" if fast else "")
    if survey.errors:
        return "unusable until the errors above are mended", INCOMPLETE
    return (f"incomplete: {faults}; {usable}", INCOMPLETE) if faults else (f"complete: {usable}", 0)
