"""``dfbench table``: the tables of a finished run, again or otherwise, without training or evaluating anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_EPILOG = """\b
Examples:
  dfbench table runs/demo
  dfbench table runs/demo --table scenarios --table survival
  dfbench table runs/demo --table "scenarios(metrics='auc,eer', level=videos)"
  dfbench table runs/demo --table scenarios --out table.tex
  dfbench table runs/demo --table results --format csv > results.csv
  dfbench table results/mini-demo/record.json --format markdown

`dfbench plugins` lists the templates, `dfbench plugins show scenarios` their parameters. A table too wide for the
terminal is shown in brief: the other formats have all of it."""


@click.command("table", epilog=_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--table", "templates", multiple=True, metavar="TEMPLATE", help="Repeatable.  [default: those the run asked for]"
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["terminal", "markdown", "csv", "latex", "html"]),
    help="[default: by the suffix of --out, else terminal]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to a .md, .csv, .tex or .html file."
)
@click.option("--strict-plugins", is_flag=True, envvar="DFBENCH_STRICT_PLUGINS", help="Stop on a broken plugin.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    run: Path, templates: tuple[str, ...], format_name: str | None, out: Path | None, strict_plugins: bool, debug: bool
) -> None:
    """Show the tables of RUN, the output folder of a run or its record.json."""
    from dfbench.errors import UsageError
    from dfbench.recordfile import load_record
    from dfbench.registry import load_registry
    from dfbench.render import FORMATS, SUFFIXES
    from dfbench.store import write_text
    from dfbench.tables import named_tables, without_tables

    format_name = format_name or (SUFFIXES.get(out.suffix) if out else "terminal")
    if out and format_name not in FORMATS:
        raise UsageError(f"--out {out}: give --format, or a name that ends with {', '.join(SUFFIXES)}")
    record = load_record(run)
    asked: list[dict[str, Any]] = [{"name": text, "template": text} for text in dict.fromkeys(templates)]
    registry = load_registry(strict=strict_plugins)
    named = named_tables(registry, record, asked or None)
    if format_name in FORMATS:
        document = FORMATS[format_name](named, record["warnings"])
        if out:
            write_text(out, document)
        else:
            click.echo(document, nl=False)
    else:
        from rich.console import Console

        from dfbench.render.as_terminal import show_tables

        show_tables(named, record["warnings"], Console())
    for sentence in without_tables(registry, record, named, [one["template"] for one in asked]):
        click.echo(sentence, err=True)
