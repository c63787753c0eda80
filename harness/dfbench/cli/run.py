"""``dfbench run``: any models with any defenses, through any attacks and corruptions, into one table."""

from __future__ import annotations

from typing import Any

import click

from dfbench.cli.execution import execute, options, request

_EPILOG = """\b
Examples:
  dfbench run --model hybrid --defense dual --attack pgd
  dfbench run --model hybrid --defense none --defense dual \\
      --attack none --attack "pgd(eps=0.5/255)" --attack unet \\
      --corruption none --corruption "jpeg(quality=50)" --data mini --out runs/first
  dfbench run --model "timm(name=resnet18, weights=none)" --defense "none(epochs=2)" \\
      --data "folder(path=faces)" --dry-run
  dfbench run --data ffpp --eval-data ffpp --eval-data celebdf2
  dfbench run --defense dual --attack pgd --seeds 0,1,2 --table scenarios
  dfbench run --defense pim --attack "fgsm(eps=[0.001, 0.005, 0.01])" --cam --table nauc

Options repeat and form a matrix; without any, the hybrid is trained on 'mini' and evaluated on clean images. The
baseline defense 'none' and the clean row are always there to compare with. A component is written NAME or
NAME(parameter=value, ...); fractions such as 4/255 are allowed, and a list of values stands for a row or an arm for
each: "fgsm(eps=[0.001, 0.01])". A training recipe parameter is written inside the defense: "dual(epochs=12, lr=1e-4)".
`dfbench plugins show NAME` lists parameters.

The same command again answers from the cache; interrupted, it goes on where it stopped. `dfbench sweep` reads the
same from a file, with named scenarios and tables."""


@click.command("run", epilog=_EPILOG)
@options
def command(**options: Any) -> int:
    """Train and evaluate models x defenses x attacks x corruptions; write record, scores, checkpoints and tables."""
    return execute(request({}, options), options, _name)


def _name(config: Any) -> str:
    """After the first model and training set, which tell runs apart at a glance."""
    model, data = config.runs[0].models[0].spec.name, config.data[0].spec.name
    return f"{model}-{data}".replace("/", "-")
