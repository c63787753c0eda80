"""The command line. Commands live in modules of their own and are imported when they are called."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import Any

import click

from dfbench.errors import DfbenchError

_COMMANDS = {
    "run": ("dfbench.cli.run", "Train and evaluate models x defenses x attacks x corruptions."),
    "sweep": ("dfbench.cli.sweep", "Carry out a file of models, defenses, scenarios, data, seeds and tables."),
    "table": ("dfbench.cli.table", "Tables of a finished run, for terminals, papers, programs and browsers."),
    "explain": ("dfbench.cli.explain", "Evidence from a finished run: attention, frequencies, attackers."),
    "audit": ("dfbench.cli.audit", "Whether numbers can be believed: of a finished run, or of a published table."),
    "data": ("dfbench.cli.data", "Data sets: list, check, prepare, audit, preview."),
    "plugins": ("dfbench.cli.plugins", "List every component, with where it comes from."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  dfbench run --model hybrid --defense dual --attack pgd
  dfbench sweep benchmarks/mini-demo.toml --out runs/demo
  dfbench plugins show pgd
  dfbench data preview mini --out sheet.png

Exit codes: 0 done, 1 error, 2 usage, 3 an audit found something, 4 a download is incomplete, 5 a cell failed,
130 interrupted.""",
)
@click.version_option(package_name="dfbench-harness", prog_name="dfbench")
def cli() -> None:
    """Train deepfake detectors to withstand attacks and compression, and measure honestly whether they do."""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the ``dfbench`` command: runs it and exits with the codes of :mod:`dfbench.errors`."""
    sys.exit(run_cli(sys.argv[1:] if arguments is None else arguments))


def run_cli(arguments: list[str]) -> int:
    """Run the command line; every failure is one line on standard error (with ``--debug``, the traceback too)."""
    debug = "--debug" in arguments
    try:
        result: Any = cli.main(arguments, prog_name="dfbench", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\ninterrupted: everything finished is kept (epochs, cells, clips); run the same command again to go on",
            err=True,
        )
        return 130
    except DfbenchError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except Exception as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: unexpected {type(error).__name__}: {error} (run again with --debug to see where)", err=True)
        return 1
