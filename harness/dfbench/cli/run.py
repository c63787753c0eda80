"""``dfbench run``: any models with any defenses, through any attacks and corruptions, into one table."""

from __future__ import annotations

import shlex
import sys
from itertools import product
from pathlib import Path
from typing import Any

import click

_EPILOG = """\b
Examples:
  dfbench run --model hybrid --defense dual --attack pgd
  dfbench run --model hybrid --defense none --defense dual \\
      --attack none --attack "pgd(eps=0.5/255)" --attack unet \\
      --corruption none --corruption "jpeg(quality=50)" --data mini --out runs/first
  dfbench run --model "timm(name=resnet18, weights=none)" --defense "none(epochs=2)" \\
      --data "folder(path=faces)" --dry-run
  dfbench run --data ffpp --eval-data ffpp --eval-data celebdf2
  dfbench run --config benchmarks/mini-demo.toml --out runs/demo

Options repeat and form a matrix. The baseline defense 'none' and the clean row are always there to compare with.
A component is written NAME or NAME(parameter=value, ...); fractions such as 4/255 are allowed; a training recipe
parameter is written inside the defense: "dual(epochs=12, lr=1e-4)". `dfbench plugins show NAME` lists parameters.

The same command again answers from the cache; interrupted, it goes on where it stopped."""


@click.command("run", epilog=_EPILOG)
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Detector; repeatable.  [default: hybrid]")
@click.option("--defense", "defenses", multiple=True, metavar="DEFENSE", help="Way of training; repeatable.")
@click.option("--attack", "attacks", multiple=True, metavar="ATTACK", help="Attack; repeatable.  [default: none]")
@click.option("--corruption", "corruptions", multiple=True, metavar="CORRUPTION", help="What follows; repeatable.")
@click.option("--data", metavar="DATA", help="Data set that is trained on.  [default: mini]")
@click.option(
    "--eval-data", "eval_data", multiple=True, metavar="DATA", help="Evaluated data set; repeatable.  [default: --data]"
)
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Evaluated split.  [default: test]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Seed of everything random.  [default: 0]")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with these options; the command line wins.")
@click.option("--out", type=click.Path(path_type=Path), help="Output folder.  [default: runs/<model>-<data>-<key>]")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1; auto takes CUDA where it is.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Batch size of evaluation.")
@click.option("--cache", type=click.Path(path_type=Path), help="Cache folder.  [default: ~/.cache/dfbench]")
@click.option("--allow-leak", is_flag=True, help="Train on leaky splits all the same; every table is then marked.")
@click.option("--dry-run", is_flag=True, help="Print the plan and its cost in passes (prepares the data set).")
@click.option("--strict-plugins", is_flag=True, envvar="DFBENCH_STRICT_PLUGINS", help="Stop on a broken plugin.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(**options: Any) -> int:
    """Train and evaluate models x defenses x attacks x corruptions; write record, scores, checkpoints and table."""
    from dfbench.config import build_config
    from dfbench.registry import load_registry

    registry = load_registry(strict=options["strict_plugins"])
    config = build_config(registry, **_request(options))
    model, data = config.models[0].spec.name, config.data.spec.name
    out = options["out"] or Path("runs") / f"{model.replace('/', '-')}-{data.replace('/', '-')}-{config.key}"

    from dfbench.device import resolve
    from dfbench.progress import Bars
    from dfbench.record import build_record, check_writable, write_results
    from dfbench.runner import Runner
    from dfbench.store import Store, default_root
    from dfbench.tables import markdown

    device = resolve(options["device"])
    if not options["dry_run"]:
        check_writable(out)
    runner = Runner(
        config,
        Store(options["cache"] or default_root()),
        device=device,
        batch_size=options["batch_size"],
        progress=Bars(),
        debug=options["debug"],
    )
    if options["dry_run"]:
        from dfbench.plan import show_plan

        show_plan(runner)
        return 0
    outcome = runner.run()
    record = build_record(registry, outcome, device=str(device), command=shlex.join(["dfbench", *sys.argv[1:]]))
    write_results(out, record, outcome, markdown(record))
    _show(record, out)
    return 5 if any(cell["status"] == "failed" for cell in record["cells"]) else 0


def _request(options: dict[str, Any]) -> dict[str, Any]:
    """The request as names: the file's, then the command line's over it, then the defaults."""
    from dfbench.config import load_toml
    from dfbench.errors import UsageError

    content = load_toml(options["config"]) if options["config"] else {}

    def several(option: str, key: str, default: list[str]) -> list[str]:
        value = list(options[option]) or content.get(key, default)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise UsageError(f"{options['config']}: {key!r} must be a list of texts, e.g. {key} = {default!r}")
        return value

    scenarios = list(product(several("attacks", "attack", ["none"]), several("corruptions", "corruption", ["none"])))
    if "scenario" in content:
        if options["attacks"] or options["corruptions"]:
            raise UsageError(
                "--attack and --corruption form a matrix; the file lists [[scenario]] rows: use one of both"
            )
        scenarios = [(row.get("attack", "none"), row.get("corruption", "none")) for row in content["scenario"]]
    if not isinstance(allow_leak := content.get("allow_leak", False), bool):
        raise UsageError(f"{options['config']}: 'allow_leak' must be true or false")
    return {
        "models": several("models", "model", ["hybrid"]),
        "defenses": several("defenses", "defense", ["none"]),
        "scenarios": scenarios,
        "data": options["data"] or content.get("data", "mini"),
        "eval_data": several("eval_data", "eval_data", []),
        "split": options["split"] or content.get("split", "test"),
        "seed": content.get("seed", 0) if options["seed"] is None else options["seed"],
        "allow_leak": options["allow_leak"] or allow_leak,
    }


def _show(record: dict[str, Any], out: Path) -> None:
    """Print the tables, with as many columns as the terminal has room for, and the warnings."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from dfbench.tables import BRIEF, FULL, has_manipulations, header, tables

    console = Console()
    columns = FULL if console.width >= 150 else BRIEF
    for result in tables(record):
        table = Table(
            title=Text(result.title, style="bold"),
            caption=Text("\n".join(result.captions)),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        body = result.rows(columns)
        compared = any(row[-1] for row in body)  # without a defended arm there is nothing to compare
        for number, name in enumerate(header(columns)[: None if compared else -1]):
            widest = min(26, max(len(row[number]) for row in body)) if number < 3 else None
            table.add_column(Text(name), justify="left" if number < 3 else "right", overflow="fold", min_width=widest)
        previous = None
        for row in body:
            if previous not in (None, row[:2]):
                table.add_section()
            shown = row if row[:2] != previous else ["", "", *row[2:]]
            previous = row[:2]
            cells = shown if compared else shown[:-1]
            table.add_row(*(Text(t.strip("*"), style="bold" if t.startswith("**") else "") for t in cells))
        console.print(table)
    for text in record["warnings"]:
        console.print(Text(f"warning: {text}", style="yellow"))
    more = "; table.md also has each manipulation by itself" if has_manipulations(record) else ""
    console.print(Text(f"written to {out}: record.json, scores.parquet, table.md, checkpoints/{more}"))
