"""``dfbench plugins``: what is installed, who provides it, and what is broken. Listing imports no component."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dfbench.contracts import REQUIRED, DefenseSpec, Param
from dfbench.errors import DfbenchError, UsageError, did_you_mean
from dfbench.grammar import Expr, format_expr, format_value, parse
from dfbench.plugins import BrokenPlugin, Registered, duplicate_message
from dfbench.recipe import recipe_params
from dfbench.registry import KINDS, Component, Registry, load_registry
from dfbench.schema import default_of, describe

EXAMPLES = """\b
Examples:
  dfbench plugins                     every component, and broken plugins last
  dfbench plugins --json              the same for programs
  dfbench plugins --strict-plugins    fails if anything is broken (for CI)
  dfbench plugins show pgd            parameters, paper and provenance of one component
"""


@click.group("plugins", invoke_without_command=True, epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--strict-plugins",
    is_flag=True,
    envvar="DFBENCH_STRICT_PLUGINS",
    show_envvar=True,
    help="Fail if a plugin is broken or a name is provided twice.",
)
@click.option("--debug", is_flag=True, help="Show the tracebacks of broken plugins.")
@click.pass_context
def command(context: click.Context, as_json: bool, strict_plugins: bool, debug: bool) -> None:
    """List every component with its plugin and parameters."""
    context.obj = registry = load_registry(strict_plugins)
    if context.invoked_subcommand is not None:
        return
    if as_json:
        click.echo(json.dumps(_as_json(registry), indent=2))
    else:
        _print_list(registry, Console(highlight=False), debug)


@command.command(
    epilog="""\b
Examples:
  dfbench plugins show pgd
  dfbench plugins show "timm(name=resnet18)"    with the parameter counts of this model
  dfbench plugins show dfbench-foo              why a broken plugin is broken
"""
)
@click.argument("name")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks of errors.")
@click.pass_obj
def show(registry: Registry, name: str) -> None:
    """Show one component in full (or, of a broken plugin, its traceback)."""
    console = Console(highlight=False)
    if broken := [b for b in registry.plugins.broken if name in (b.provider.distribution, b.provider.entry_point)]:
        for plugin in broken:
            _print_broken(plugin, debug=True)
        return
    expr = parse(name)
    found = [c for c in registry.plugins.components if c.spec.name == expr.name]
    if not found:
        hint = did_you_mean(expr.name, {c.spec.name for c in registry.plugins.components})
        raise UsageError(f"no component is called {expr.name!r}: {hint}")
    for registered in found:
        _print_component(registry, registered, expr, console)


def _print_list(registry: Registry, console: Console, debug: bool) -> None:
    for kind in KINDS:
        table = Table(title=f"{kind}s", title_justify="left", box=None)
        table.add_column("component", style="bold", no_wrap=True)
        table.add_column("what it does, and its parameters", ratio=1)
        table.add_column("provided by", style="dim")
        for spec in registry.specs(kind):
            about = Text(spec.summary)
            if spec.params:
                about.append("\n" + ", ".join(map(_with_default, spec.params)), style="cyan")
            table.add_row(spec.name, about, str(registry.get(kind, spec.name).provider))
        if table.row_count:
            console.print(table, "")
    if not registry.plugins.components:
        click.echo("no component is installed: pip install dfbench-harness")
    for (kind, name), found in registry.plugins.duplicates().items():
        click.secho(duplicate_message(kind, name, found), fg="red")
    for plugin in registry.plugins.broken:
        _print_broken(plugin, debug)


def _print_broken(plugin: BrokenPlugin, debug: bool) -> None:
    click.secho(f"broken: {plugin}", fg="red")
    if debug:
        click.echo(plugin.traceback)
    elif plugin.traceback:
        click.echo(f"    traceback: dfbench plugins show {plugin.provider.distribution}")


def _print_component(registry: Registry, registered: Registered, expr: Expr, console: Console) -> None:
    spec, provider = registered.spec, registered.provider
    console.print(Text.assemble((spec.name, "bold"), f"  {spec.kind}\n{spec.summary}\n"))
    facts = Table(box=None, show_header=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("source", Text(spec.source or "none given"))
    facts.add_row("provided by", Text(f"{provider}, entry point {provider.entry_point} = {provider.module}"))
    facts.add_row("target", Text(spec.target))
    if spec.kind == "model":
        facts.add_row("size", Text(_size(registry, expr)))
    console.print(facts, "")
    if spec.params:
        console.print(_parameter_table(spec.params), "")
    if isinstance(spec, DefenseSpec):
        console.print(Text("training recipe, set in the same place:"))
        console.print(_parameter_table(recipe_params(spec.recipe)), "")
    _print_docstring(_docstring(registered), console)


def _parameter_table(params: Sequence[Param]) -> Table:
    table = Table(box=None)
    for column in ("parameter", "type", "default", "takes", "meaning"):
        table.add_column(column, style="bold" if column == "parameter" else None, overflow="fold")
    for p in params:
        default = "required" if p.default is REQUIRED else format_value(default_of(p))
        table.add_row(p.name, p.type.__name__, *map(Text, (default, describe(p), p.help)))
    return table


def _with_default(param: Param) -> str:
    return f"{param.name}={'...' if param.default is REQUIRED else format_value(default_of(param))}"


def _docstring(registered: Registered) -> str:
    try:
        return inspect.getdoc(Component(registered, {}).load()) or "The target has no docstring."
    except DfbenchError as error:
        return str(error)


def _print_docstring(text: str, console: Console) -> None:
    """Prose refilled to the terminal's width; indented lines (arguments, examples) as they are."""
    for paragraph in text.split("\n\n"):
        head = list(itertools.takewhile(lambda line: not line.startswith(" "), paragraph.splitlines()))
        console.print(Text(" ".join(head)))
        for line in paragraph.splitlines()[len(head) :]:
            console.print(Padding(Text(line.strip()), (0, 0, 0, len(line) - len(line.lstrip()))))
        console.print()


def _size(registry: Registry, expr: Expr) -> str:
    """Parameter counts of a model, built from a random start where it has the choice, so that nothing is fetched."""
    params = registry.get("model", expr.name).spec.params
    if any(p.name == "weights" and (not p.choices or "none" in p.choices) for p in params):
        expr.params.setdefault("weights", "none")
    try:
        component = registry.component("model", format_expr(expr.name, expr.params))
        sizes = [(p.numel(), p.requires_grad) for p in component.build().parameters()]
    except DfbenchError as error:
        return f"not counted: {error}"
    return (
        f"{sum(n for n, _ in sizes):,} parameters, {sum(n for n, trainable in sizes if trainable):,} of them trainable"
    )


def _as_json(registry: Registry) -> dict[str, Any]:
    return {
        "components": [_component_json(registry.get(kind, s.name)) for kind in KINDS for s in registry.specs(kind)],
        "duplicates": [duplicate_message(k, n, found) for (k, n), found in registry.plugins.duplicates().items()],
        "broken": [{**vars(b.provider), "reason": b.reason, "traceback": b.traceback} for b in registry.plugins.broken],
    }


def _component_json(registered: Registered) -> dict[str, Any]:
    spec = registered.spec
    params = [
        {
            "name": p.name,
            "type": p.type.__name__,
            "required": p.default is REQUIRED,
            "default": None if p.default is REQUIRED else default_of(p),
            "low": p.low,
            "high": p.high,
            "choices": list(p.choices),
            "help": p.help,
        }
        for p in spec.params
    ]
    about = {key: getattr(spec, key) for key in ("kind", "name", "summary", "source", "target")}
    return {**about, **vars(registered.provider), "params": params}
