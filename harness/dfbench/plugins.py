"""Loads the plugins installed on this machine: each for itself, so that a broken one takes nothing else down.

A plugin is an entry point of the group ``dfbench`` that names a module with hooks (see ``dfbench.hookspecs``). The
built-in components come through the same door. Of a plugin that is broken in any way no component is used; it is
recorded with its distribution and the reason, which ``dfbench plugins`` prints.
"""

from __future__ import annotations

import inspect
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from dfbench import hookspecs
from dfbench.contracts import DefenseSpec, Spec
from dfbench.errors import ContractError, UsageError, did_you_mean
from dfbench.grammar import NAME
from dfbench.hookspecs import SPEC_OF_HOOK
from dfbench.recipe import RECIPE_NAMES, recipe_params
from dfbench.schema import schema_fault

GROUP = "dfbench"
RESERVED = {("attack", "none"), ("corruption", "none")}
"""The core's own: no attack, no corruption."""


@dataclass(frozen=True)
class Provider:
    """Where a plugin comes from: distribution, its version, and the entry point ``name = module``."""

    distribution: str
    version: str
    entry_point: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".rstrip()


@dataclass(frozen=True)
class Registered:
    """A component's spec and the plugin that provides it."""

    spec: Spec
    provider: Provider


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin of which nothing is used, the reason in one line, and the traceback where code failed."""

    provider: Provider
    reason: str
    traceback: str = ""

    def __str__(self) -> str:
        return f"plugin {self.provider.entry_point!r} of {self.provider} ({self.provider.module}): {self.reason}"


@dataclass
class Plugins:
    """Everything that was found: usable components in the order of discovery, and broken plugins."""

    components: list[Registered] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)

    def duplicates(self) -> dict[tuple[str, str], list[Registered]]:
        """Names that several plugins (or one plugin twice) provide, by (kind, name); none of them can be used."""
        count = Counter((c.spec.kind, c.spec.name) for c in self.components)
        return {
            key: [c for c in self.components if (c.spec.kind, c.spec.name) == key] for key, n in count.items() if n > 1
        }


def load(strict: bool = False) -> Plugins:
    """Load every installed plugin.

    Args:
        strict: refuse to go on with a broken plugin or a name that is provided twice.

    Raises:
        UsageError: ``strict``, and there is something to report; the message lists all of it.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins()
    found = [(_provider(entry_point), entry_point) for entry_point in entry_points(group=GROUP)]
    for provider, entry_point in sorted(found, key=lambda item: (item[0].distribution, item[0].entry_point)):
        try:
            plugins.components += [Registered(spec, provider) for spec in _specs(manager, entry_point, provider)]
        except ContractError as error:
            plugins.broken.append(BrokenPlugin(provider, str(error)))
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            plugins.broken.append(BrokenPlugin(provider, reason, _traceback(error)))
    problems = [str(broken) for broken in plugins.broken] + [
        duplicate_message(kind, name, found) for (kind, name), found in plugins.duplicates().items()
    ]
    if strict and problems:
        raise UsageError("strict plugins: " + "; ".join(problems))
    return plugins


def duplicate_message(kind: str, name: str, found: list[Registered]) -> str:
    """Says who provides a name that is provided more than once, and the cure."""
    providers = " and ".join(f"{c.provider} ({c.spec.target})" for c in found)
    return f"the {kind} {name!r} is provided more than once, by {providers}: uninstall or rename one of them"


def spec_fault(spec: Spec) -> str:
    """Why a spec cannot be registered, or the empty string."""
    if not isinstance(spec.name, str) or not NAME.fullmatch(spec.name):
        return f"the name {spec.name!r} may hold only letters, digits and _ - . /"
    if (spec.kind, spec.name) in RESERVED:
        return f"the name {spec.name!r} is reserved: it stands for no {spec.kind}"
    module, colon, attribute = str(spec.target).partition(":")
    if not colon or not all(part.isidentifier() for part in f"{module}.{attribute}".split(".")):
        return f"{spec.name!r} has the target {spec.target!r}; write 'package.module:Name'"
    params = spec.params
    if isinstance(spec, DefenseSpec):
        if unknown := sorted(set(spec.recipe) - RECIPE_NAMES):
            return (
                f"{spec.name!r}: no recipe parameter is called {unknown[0]!r}: {did_you_mean(unknown[0], RECIPE_NAMES)}"
            )
        params = (*params, *recipe_params(spec.recipe))  # written side by side: none(epochs=4)
    fault = schema_fault(params)
    return fault and f"{spec.name!r}: {fault}"


def _provider(entry_point: EntryPoint) -> Provider:
    try:
        distribution, version = str(entry_point.dist.name), str(entry_point.dist.version)  # type: ignore[union-attr]
    except Exception:  # a damaged installation: metadata missing or unreadable
        distribution, version = "unknown distribution", ""
    return Provider(distribution, version, entry_point.name, entry_point.value)


def _traceback(error: BaseException) -> str:
    """The traceback from the plugin's own code on: without this module and the import machinery."""
    trace = traceback.TracebackException.from_exception(error)
    own = [f for f in trace.stack if f.filename != __file__ and "importlib" not in f.filename]
    trace.stack = traceback.StackSummary.from_list(own)
    return "".join(trace.format())


def _specs(manager: pluggy.PluginManager, entry_point: EntryPoint, provider: Provider) -> list[Spec]:
    """The specs one plugin yields; raises whatever is wrong with it."""
    plugin = entry_point.load()
    if manager.is_registered(plugin):
        raise ContractError(f"the module {provider.module!r} is already registered as {manager.get_name(plugin)!r}")
    _check_hooks(plugin)
    name = f"{provider.distribution}:{provider.entry_point}"
    manager.register(plugin, name)
    try:
        return [spec for hook, function in _hooks(plugin) for spec in _yielded(hook, function)]
    except BaseException:
        manager.unregister(plugin)
        raise


def _hooks(plugin: object) -> Iterator[tuple[str, Any]]:
    """The hook functions of a plugin, each with its name."""
    for hook in SPEC_OF_HOOK:
        if function := getattr(plugin, hook, None):
            yield hook, function


def _check_hooks(plugin: object) -> None:
    """Refuse a hook that would be ignored in silence: misspelt, unmarked, or asking for arguments nobody passes."""
    for name, function in inspect.getmembers(plugin, inspect.isroutine):
        marked = hasattr(function, f"{hookspecs.PROJECT}_impl")
        if not marked and not name.startswith(f"{hookspecs.PROJECT}_"):
            continue
        if name not in SPEC_OF_HOOK:
            raise ContractError(f"there is no hook {name!r}: {did_you_mean(name, SPEC_OF_HOOK)}")
        if not marked:
            raise ContractError(f"the function {name!r} lacks the decorator @hookimpl (from dfbench import hookimpl)")
        if arguments := list(inspect.signature(function).parameters):
            raise ContractError(f"the hook {name!r} takes no arguments, but this one asks for {', '.join(arguments)}")


def _yielded(hook: str, function: Any) -> Iterator[Spec]:
    """The specs that one hook yields, each checked."""
    expected = SPEC_OF_HOOK[hook]
    specs = function()
    if specs is None:
        raise ContractError(f"the hook {hook!r} returned nothing; it must yield {expected.__name__} objects")
    for spec in specs:
        if not isinstance(spec, expected):
            raise ContractError(f"the hook {hook!r} must yield {expected.__name__} objects, not {spec!r:.200}")
        if fault := spec_fault(spec):
            raise ContractError(f"the hook {hook!r}: {fault}")
        yield spec
