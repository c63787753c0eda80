"""``dfbench explain``: evidence from a finished run, as figures, tables and one page that shows them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dfbench.explain.common import Request

FROM_RECORD = {
    "curves": "dfbench.explain.curves",
    "ablation": "dfbench.explain.ablation",
}
"""Evidence that the record alone gives: ``explain(record, out, notes)``."""

FROM_DETECTORS = {
    "attention": "dfbench.explain.attention",
    "frequency": "dfbench.explain.frequency",
    "attackers": "dfbench.explain.attackers",
}
"""Evidence that needs the detectors and the data: ``explain(request)``."""

_EPILOG = """\b
Examples:
  dfbench explain runs/demo
  dfbench explain runs/demo --only attention --samples 64
  dfbench explain runs/demo --attack "pgd(eps=0.5/255)" --attack "unet(epochs=1)"
  dfbench explain runs/cross --data celebdf2 --out evidence --device cuda
  dfbench explain results/dual/record.json --only curves --out evidence

\b
curves     accuracy and macro-F1 of every detector over the eps of each attack that was swept
ablation   heat maps over two parameters of a defense, where the run has a grid of them
attention  Grad-CAM of every detector on clean and attacked images, and how much of it lies outside of the face
frequency  error of every detector under noise of each spatial frequency
attackers  perturbations, their spectra, how the learned attacker trained, and what survives compression

Curves and heat maps need nothing but the record, and show all seeds and data sets. Of everything else, detectors are
those of one seed, plainly trained ones first. Without --attack, three attacks of the run are looked
at: the first of each kind (pgd, unet, ...), then others in the order of the run; the page says which were left out.
The page shows what this command wrote, not what lies in the folder from earlier ones."""


@click.command("explain", epilog=_EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--attack", "attacks", multiple=True, metavar="LABEL", help="Attack of the run; repeatable.")
@click.option("--data", metavar="DATA", help="Data set of the run.  [default: the first evaluated one]")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="[default: the one that the run evaluated]")
@click.option("--samples", type=click.IntRange(1), default=32, show_default=True, help="Images of each class.")
@click.option("--seed", type=click.IntRange(0), help="Of the detectors.  [default: the first of the run]")
@click.option(
    "--only", multiple=True, type=click.Choice([*FROM_RECORD, *FROM_DETECTORS]), help="This evidence alone; repeatable."
)
@click.option("--detector", default="mtcnn", show_default=True, metavar="DETECTOR", help="Finds the faces.")
@click.option("--out", type=click.Path(path_type=Path), help="Output folder.  [default: RUN/explain]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1; auto takes CUDA if there.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Images at a time.")
@click.option("--cache", type=click.Path(path_type=Path), help="Cache folder.  [default: ~/.cache/dfbench]")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(run: Path, **options: Any) -> None:
    """Show why the detectors of RUN, the output folder of a run, answer as they do."""
    from dfbench.explain.figure import new_figure
    from dfbench.explain.page import about_detectors, page
    from dfbench.outputs import check_writable
    from dfbench.recordfile import load_record
    from dfbench.store import write_text

    record = load_record(run)
    folder = run.parent if run.is_file() else run
    out = options["out"] or folder / "explain"
    wanted = options["only"] or (*FROM_RECORD, *FROM_DETECTORS)
    notes: list[str] = []
    request, about = None, {"Run": record["command"]}
    if set(wanted) & set(FROM_DETECTORS):
        request, images = _request(folder, out, notes, options)
        about = {**about_detectors(request, images), **about}
    else:
        new_figure(1, 1)
        check_writable(out)

    sections = {
        name: importlib.import_module(module).explain(record, out, notes)
        for name, module in FROM_RECORD.items()
        if name in wanted
    }
    sections |= {
        name: importlib.import_module(module).explain(request)
        for name, module in FROM_DETECTORS.items()
        if name in wanted
    }
    write_text(out / "index.html", page(f"Evidence from {folder.resolve().name}", about, notes, sections, out))
    for note in notes:
        click.echo(f"note: {note}")
    click.echo(f"written to {out}: open {out / 'index.html'}")


def _request(folder: Path, out: Path, notes: list[str], options: Mapping[str, Any]) -> tuple[Request, str]:
    """The detectors, attacks and images that are looked at, and what the images are called."""
    from dfbench.device import resolve
    from dfbench.explain.choice import choose_arms, choose_attacks, choose_data
    from dfbench.explain.common import Request
    from dfbench.explain.figure import new_figure
    from dfbench.outputs import check_writable
    from dfbench.progress import Bars
    from dfbench.registry import load_registry
    from dfbench.rundir import RunFolder
    from dfbench.store import Store, default_root

    registry = load_registry()
    run = RunFolder(folder, registry, resolve(options["device"]))
    detector = registry.component("detector", options["detector"]).label
    arms = choose_arms(run, options["seed"])
    data = choose_data(run, options["data"])
    attacks = choose_attacks(run, arms, options["attacks"], notes)
    new_figure(1, 1)  # without matplotlib, fail now, not after minutes of work
    check_writable(out)
    store, progress = Store(options["cache"] or default_root()), Bars()
    split = options["split"] or run.record["config"]["split"]
    request = Request(
        run=run,
        arms=arms,
        attacks=attacks,
        split=run.dataset(data, store, progress).split(split),
        limit=options["samples"],
        out=out,
        batch_size=options["batch_size"],
        store=store,
        progress=progress,
        notes=notes,
        detector=detector,
    )
    return request, f"{data}, {split} split"
