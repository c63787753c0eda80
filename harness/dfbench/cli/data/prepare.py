"""``dfbench data prepare``: face crops from a download, or whatever else a data set does once before it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfbench.cli.data.common import CACHE, DEBUG, prepared, show_counts

if TYPE_CHECKING:
    from dfbench.preparation.engine import Report
    from dfbench.registry import Component, Registry

_EPILOG = """\b
Examples:
  dfbench data prepare ffpp --root /data/FaceForensics++
  dfbench data prepare ffpp --root /data/FaceForensics++ --compression c40 --out data/ffpp-c40
  dfbench data prepare celebdf2 --root /data/Celeb-DF-v2 --frames 16 --align landmarks
  dfbench data prepare ffpp --root /data/FaceForensics++ --recompress "h264(crf=40)" --out data/ffpp-crf40
  dfbench data prepare dffd --root /data/DFFD --detector "mtcnn(min_face=40)" --workers 8
  dfbench data prepare mini

Killed or interrupted, the same command goes on where it stopped. A clip that cannot be used is told of with its
reason and tried again the next time; the others go on. `dfbench data check` finds most such clips beforehand."""


@click.command("prepare", epilog=_EPILOG)
@click.argument("data")
@click.option("--root", type=click.Path(path_type=Path), help="The download, in its official layout.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write.  [default: $DFBENCH_DATA/DATA, else data/DATA]"
)
@click.option("--compression", default="", help="Compression level to read, e.g. c23.  [default: the data set's own]")
@click.option("--frames", type=click.IntRange(1), default=32, show_default=True, help="Frames of each video.")
@click.option("--detector", default="mtcnn", show_default=True, help="Face detector.")
@click.option("--size", type=click.IntRange(32, 1024), default=224, show_default=True, help="Side of the crops.")
@click.option("--margin", type=click.FloatRange(0, 2), default=0.3, show_default=True, help="Crop beyond the face.")
@click.option("--align", type=click.Choice(["none", "landmarks"]), default="none", show_default=True)
@click.option("--recompress", metavar="CORRUPTION", help="Re-encode each whole clip first, e.g. h264(crf=40).")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one per core]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1; auto takes CUDA where it is.")
@CACHE
@DEBUG
def command(data: str, root: Path | None, cache: Path | None, debug: bool, **options: Any) -> None:
    """Prepare DATA once, and print its counts.

    With --root: find the main face in evenly spaced frames of every clip of a download, follow it, crop it, and write
    crops and a manifest to --out. Without: check what is prepared, or make what needs no download.
    """
    from dfbench.errors import UsageError
    from dfbench.registry import load_registry

    context = click.get_current_context()
    given = [name for name in options if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if root is None:
        if given:
            raise UsageError(f"--{given[0]} is about a download: give its folder with --root")
        show_counts(data, *prepared(data, cache))
    else:
        _from_download(load_registry(), data, root, options)


def _from_download(registry: Registry, data: str, root: Path, options: dict[str, Any]) -> None:
    from dfbench.preparation.engine import prepare_corpus
    from dfbench.preparation.job import Settings
    from dfbench.prepared import default_path
    from dfbench.progress import Bars

    corpus = registry.corpus(data, root, options["compression"])
    settings = Settings(
        options["frames"],
        options["size"],
        options["margin"],
        options["align"],
        registry.component("detector", options["detector"]),
        _codec(registry, options["recompress"]) if options["recompress"] else None,
        options["device"],
    )
    out = options["out"] or default_path(data)
    workers = options["workers"] or os.cpu_count() or 1
    _show_report(data, out, prepare_corpus(data, corpus, out, settings, workers=workers, progress=Bars()))


def _codec(registry: Registry, text: str) -> Component:
    from dfbench.contracts import Corruption
    from dfbench.errors import UsageError

    component = registry.component("corruption", text)
    if type(component.build()).clip is Corruption.clip:
        raise UsageError(f"the corruption {text!r} works on images only and cannot re-encode clips")
    return component


def _show_report(name: str, out: Path, report: Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=name, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    texts = ("split", "class", "manipulation")
    for column in (*texts, "clips", "no crop", "frames", "no face", "crops"):
        table.add_column(column, justify="left" if column in texts else "right", overflow="fold")
    previous = None
    for row in report.counts.itertuples(index=False):
        if previous not in (None, row[0]):
            table.add_section()
        previous = row[0]
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    table.add_section()
    table.add_row("all", "", "", *(f"{report.counts[column].sum():,}" for column in report.counts.columns[3:]))
    console.print(table)
    for failure in report.failed[:10]:
        console.print(f"no crop: {failure['video']}: {failure['reason']}", highlight=False, markup=False)
    if len(report.failed) > 10:
        console.print(f"... and {len(report.failed) - 10} more, listed in {out / 'prepared.json'}", highlight=False)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    speed = f"{report.frames / report.seconds:.1f} frames/s" if report.frames else "nothing new"
    done = f"; {report.resumed:,} clips were done before" if report.resumed else ""
    console.print(f"fingerprint {report.fingerprint[:16]}", highlight=False)
    console.print(f"{report.frames:,} frames in {report.seconds:.0f} s: {speed}{done}", highlight=False)
    console.print(f'written to {out}: use it with --data "{name}(path={out})"', highlight=False, markup=False)
