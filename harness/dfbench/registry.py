"""Finds components by name, and turns what a user wrote into one that is ready to build."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfbench.contracts import DatasetSpec, Spec
from dfbench.errors import ContractError, DfbenchError, UsageError, did_you_mean
from dfbench.grammar import Expr, format_expr, parse, parse_sum, variants
from dfbench.hookspecs import SPEC_OF_HOOK
from dfbench.plugins import Plugins, Registered, duplicate_message, load
from dfbench.schema import bind, default_of
from dfbench.sources import source_hash

if TYPE_CHECKING:
    from dfbench.corpus import Corpus

KINDS = tuple(spec.kind for spec in SPEC_OF_HOOK.values())


@dataclass(frozen=True)
class Component:
    """A component with all its parameters, checked but not yet imported. Can be pickled.

    Args:
        registered: the spec and its provider.
        params: every parameter of the schema, in its order.
    """

    registered: Registered
    params: dict[str, Any]

    def __hash__(self) -> int:
        return hash((self.spec.kind, self.label))

    @property
    def spec(self) -> Spec:
        """The component's spec."""
        return self.registered.spec

    @property
    def label(self) -> str:
        """The name with the parameters that differ from their defaults; reads back as this component."""
        given = {p.name: self.params[p.name] for p in self.spec.params if self.params[p.name] != default_of(p)}
        return format_expr(self.spec.name, given)

    def identity(self) -> dict[str, Any]:
        """What decides the component's results, for cache keys: kind, name, parameters, and version.

        The version is the declared one, or else the SHA-256 of the target's package (nothing is imported).
        """
        version = self.spec.version or source_hash(self.spec.target.partition(":")[0])
        return {"kind": self.spec.kind, "name": self.spec.name, "params": dict(self.params), "version": version}

    def load(self) -> Any:
        """The target itself, imported: a class or factory; for a metric, its function.

        Raises:
            MissingDependency: an optional package is not installed.
            ContractError: the target cannot be imported.
        """
        return self._import(self.spec.target)

    def build(self) -> Any:
        """Import the target and call it with the parameters.

        Raises:
            MissingDependency: an optional package is not installed.
            ContractError: the target cannot be imported, or fails when called.
        """
        return self._call(self.spec.target, **self.params)

    def _import(self, path: str) -> Any:
        module, _, name = path.partition(":")
        try:
            target: Any = importlib.import_module(module)
            for part in name.split("."):
                target = getattr(target, part)
        except DfbenchError:
            raise
        except Exception as error:
            raise self._broken("cannot be imported", path, error) from error
        return target

    def _call(self, path: str, /, *arguments: Any, **keywords: Any) -> Any:
        target = self._import(path)
        try:
            return target(*arguments, **keywords)
        except DfbenchError:
            raise
        except Exception as error:
            raise self._broken("cannot be built", path, error) from error

    def _broken(self, what: str, path: str, error: Exception) -> ContractError:
        return ContractError(
            f"the {self.spec.kind} {self.label!r} of {self.registered.provider} {what} "
            f"(target {path}): {type(error).__name__}: {error}"
        )


class Registry:
    """Every component that the loaded plugins provide."""

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self._duplicates = plugins.duplicates()
        self._found = {(c.spec.kind, c.spec.name): c for c in plugins.components}

    def specs(self, kind: str) -> list[Spec]:
        """The usable specs of a kind (one of ``KINDS``), by name."""
        return sorted((self._found[key].spec for key in self._usable(kind)), key=lambda spec: spec.name)

    def get(self, kind: str, name: str) -> Registered:
        """The component of a kind by its name.

        Raises:
            UsageError: there is none, or several plugins provide it.
        """
        if (kind, name) in self._duplicates:
            raise UsageError(duplicate_message(kind, name, self._duplicates[kind, name]))
        if (kind, name) not in self._found:
            raise UsageError(self._unknown(kind, name))
        return self._found[kind, name]

    def component(self, kind: str, text: str) -> Component:
        """The component that ``text`` describes, e.g. ``pgd(eps=4/255)``, its parameters checked.

        Raises:
            UsageError: unreadable text, unknown name, or parameters that do not fit.
        """
        return self._bound(kind, parse(text))

    def variants(self, kind: str, text: str) -> list[Component]:
        """The components that ``text`` describes where a parameter may have a list of values, ``fgsm(eps=[0.1, 0.2])``:
        one for each combination, each once.

        Raises:
            UsageError: as :meth:`component`, or a list is empty.
        """
        return list(dict.fromkeys(self.component(kind, one) for one in variants(text)))

    def corpus(self, name: str, root: Path, compression: str = "") -> Corpus:
        """The download of a data set, see :class:`~dfbench.corpus.Corpus`.

        Raises:
            UsageError: no such data set, or it is not made from a download.
            DataError: ``root`` does not have the layout, or not the compression level.
            ContractError: the reader cannot be imported, or fails when called.
        """
        if (expr := parse(name)).params:
            raise UsageError(f"parameters are for prepared data: write {expr.name!r} alone beside --root")
        registered = self.get("dataset", name)
        readers = {spec.name: spec.corpus for spec in self.specs("dataset") if isinstance(spec, DatasetSpec)}
        known = [dataset for dataset, reader in readers.items() if reader]
        if name not in known:
            raise UsageError(
                f"the data set {name!r} is not made from a download; these are: {', '.join(known) or 'none'}"
            )
        corpus: Corpus = Component(registered, {})._call(readers[name], root, compression)
        return corpus

    def components(self, kind: str, text: str) -> list[Component]:
        """The components of a sum such as ``dual+pim(alpha=0.5)``, in the order written."""
        return [self._bound(kind, expr) for expr in parse_sum(text)]

    def _bound(self, kind: str, expr: Expr) -> Component:
        registered = self.get(kind, expr.name)
        return Component(registered, bind(expr, registered.spec.params, f"{kind} {expr.name!r}"))

    def _usable(self, kind: str) -> list[tuple[str, str]]:
        return [key for key in self._found if key[0] == kind and key not in self._duplicates]

    def _unknown(self, kind: str, name: str) -> str:
        others = [other for other in KINDS if (other, name) in self._found]
        if others:
            hint = f"it is {_a(others[0])}, not {_a(kind)}"
        else:
            hint = did_you_mean(name, [known for _, known in self._usable(kind)])
        message = f"unknown {kind} {name!r}: {hint}"
        if not self.plugins.components:
            message += "; no plugin is installed at all: pip install dfbench-harness"
        if broken := self.plugins.broken:
            names = ", ".join(sorted({str(b.provider) for b in broken}))
            message += f"; components of broken plugins are missing ({names}): dfbench plugins tells why"
        return message


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


@cache
def load_registry(strict: bool = False) -> Registry:
    """The registry of this process, loaded once.

    Raises:
        UsageError: ``strict``, and a plugin is broken or a name is provided twice.
    """
    return Registry(load(strict))
