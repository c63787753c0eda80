"""What ``dfbench run`` and ``dfbench sweep`` share: their options, and the way from a request to its results."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import click

from dfbench.errors import UsageError

DEFAULTS: dict[str, Any] = {
    "models": ["hybrid"],
    "defenses": ["none"],
    "scenarios": [("none", "none", "")],
    "data": ["mini"],
}


def _seeds(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or not all(0 <= seed < 2**31 for seed in seeds):
        raise click.BadParameter(f"{text!r} is not a list of whole numbers from 0, such as 0,1,2", context, parameter)
    return seeds


_OPTIONS = (
    click.option("--model", "models", multiple=True, metavar="MODEL", help="Detector; repeatable."),
    click.option("--defense", "defenses", multiple=True, metavar="DEFENSE", help="Way of training; repeatable."),
    click.option("--attack", "attacks", multiple=True, metavar="ATTACK", help="Attack; repeatable."),
    click.option("--corruption", "corruptions", multiple=True, metavar="CORRUPTION", help="What follows; repeatable."),
    click.option("--data", multiple=True, metavar="DATA", help="Data set that is trained on; repeatable."),
    click.option(
        "--eval-data", multiple=True, metavar="DATA", help="Evaluated data set; repeatable.  [default: --data]"
    ),
    click.option("--split", type=click.Choice(["train", "val", "test"]), help="Evaluated split.  [default: test]"),
    click.option(
        "--seeds", "--seed", "seeds", callback=_seeds, metavar="N,N,...",
        help="Seeds of everything random; several give mean and deviation over trainings.  [default: 0]",
    ),
    click.option("--table", "tables", multiple=True, metavar="TEMPLATE", help="Table that is shown; repeatable."),
    click.option("--out", type=click.Path(path_type=Path), help="Output folder.  [default: in runs/]"),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1; auto takes CUDA if there."),
    click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Of evaluation."),
    click.option("--cache", type=click.Path(path_type=Path), help="Cache folder.  [default: ~/.cache/dfbench]"),
    click.option("--cam", is_flag=True, help="Also measure how Grad-CAM maps change; costs two passes per image."),
    click.option(
        "--checks", type=click.Choice(["fast", "full", "none"]),
        help="Whether attacks did what they could: fast takes a fifth of their time at most.  [default: fast]",
    ),
    click.option("--allow-leak", is_flag=True, help="Train on leaky splits all the same; every table is then marked."),
    click.option("--deterministic", is_flag=True, help="Deterministic algorithms alone; slower on CUDA."),
    click.option("--log", type=click.Choice(["tensorboard"]), help="Trainings as events, in OUT/tensorboard."),
    click.option("--dry-run", is_flag=True, help="Print plan, passes and time (prepares the data set)."),
    click.option("--strict-plugins", is_flag=True, envvar="DFBENCH_STRICT_PLUGINS", help="Stop on a broken plugin."),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
)  # fmt: skip


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def request(given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Keywords of ``build_config``: the defaults, over them ``given`` (a file's), over these the command line's."""
    asked = {**DEFAULTS, **given}
    for name in ("models", "defenses", "data", "eval_data", "seeds", "split", "checks"):
        if options[name]:
            asked[name] = options[name]
    if options["attacks"] or options["corruptions"]:
        pairs = product(options["attacks"] or ["none"], options["corruptions"] or ["none"])
        asked["scenarios"] = [(attack, corruption, "") for attack, corruption in pairs]
    if options["tables"]:
        asked["tables"] = [(template, template, []) for template in options["tables"]]
    asked.update({flag: True for flag in ("allow_leak", "cam") if options[flag]})
    return asked


def execute(asked: dict[str, Any], options: dict[str, Any], name: Callable[[Any], str]) -> int:
    """Run a request from its names to its files; the exit code.

    Args:
        asked: keywords of ``build_config``.
        options: the command line's.
        name: from the configuration, the name of the output folder that is made in ``runs/`` where none is given.
    """
    from dfbench.config import build_config
    from dfbench.registry import load_registry

    registry = load_registry(strict=options["strict_plugins"])
    config = build_config(registry, **asked)
    out = options["out"] or Path("runs") / f"{name(config)}-{config.key}"

    from rich.console import Console
    from rich.text import Text

    from dfbench.device import be_deterministic, resolve
    from dfbench.events import TensorBoard
    from dfbench.outputs import FileNames, check_writable, write_results
    from dfbench.plan import show_plan
    from dfbench.progress import Bars
    from dfbench.record import build_record
    from dfbench.render import show, write_tables
    from dfbench.store import Store, default_root
    from dfbench.sweep import Sweep

    for table in config.tables:
        table.template.build()  # one that does not fit is an error now, not after the training
    device = resolve(options["device"])
    if options["deterministic"]:
        be_deterministic()
    if not options["dry_run"]:
        check_writable(out)
    log = TensorBoard(out / "tensorboard", FileNames(config)) if options["log"] else None
    sweep = Sweep(
        config,
        Store(options["cache"] or default_root()),
        device=device,
        batch_size=options["batch_size"],
        progress=Bars(),
        debug=options["debug"],
        observe=log,
    )
    if options["dry_run"]:
        show_plan(sweep)
        return 0
    outcomes = sweep.run()
    record = build_record(
        registry, config, outcomes, device=str(device), command=shlex.join(["dfbench", *sys.argv[1:]])
    )
    write_results(out, record, config, outcomes)
    write_tables(out, registry, record)
    console = Console()
    aside = show(registry, record, console, whole=bool(options["tables"]))
    more = f"; table.md also has {', '.join(aside)}" if aside else ""
    console.print(
        Text(f"written to {out}: record.json, scores.parquet, table.md, tables/, checkpoints/, attackers/{more}")
    )
    return 5 if any(cell["status"] == "failed" for cell in record["cells"]) else 0


def check_not_both(given: dict[str, Any], options: dict[str, Any], file: Path) -> None:
    """Refuse ``--attack`` and ``--corruption`` beside tables of a file that name its own scenarios."""
    replaced = options["attacks"] or options["corruptions"]
    if replaced and not options["tables"] and any(scenarios for _, _, scenarios in given.get("tables", [])):
        raise UsageError(
            f"--attack and --corruption replace the scenarios that the tables of {file} name: choose other tables with "
            "--table, e.g. --table results"
        )
