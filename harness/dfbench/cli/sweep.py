"""``dfbench sweep``: a file of models, defenses, named scenarios, data, seeds and tables, carried out as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dfbench.cli.execution import check_not_both, execute, options, request

_EPILOG = """\b
Examples:
  dfbench sweep benchmarks/dual.toml
  dfbench sweep benchmarks/dual.toml --data ffpp --eval-data ffpp --eval-data celebdf2
  dfbench sweep benchmarks/dual.toml --seeds 0,1,2 --out runs/dual
  dfbench sweep benchmarks/dual.toml --dry-run

\b
A file:
  model = ["hybrid"]
  defense = ["none", "dual"]
  data = "mini(size=96)"
  seeds = [0, 1, 2]
  cam = true
  [recipe]
  epochs = 8
  [[scenario]]
  name = "PGD 1/255, then JPEG"
  attack = "pgd(eps=1/255)"
  corruption = "jpeg(quality=50)"
  [[table]]
  template = "scenarios"

[recipe] holds training parameters of every defense that does not set them itself. A list of values, as in
"fgsm(eps=[0.001, 0.01])" or "pim(r=[0.1, 0.2])", stands for a row or an arm for each.

An option replaces what the file says of it. A sweep that was interrupted goes on where it stopped; one whose file grew
by a line computes that line."""


@click.command("sweep", epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@options
def command(file: Path, **options: Any) -> int:
    """Carry out a TOML file: models x defenses x scenarios x data x seeds, into one record and its tables."""
    from dfbench.sweepfile import load_sweep

    given = load_sweep(file)
    check_not_both(given, options, file)
    return execute(request(given, options), options, lambda config: file.stem)
