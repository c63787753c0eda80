"""The check of a spec: what it declares is what the target takes."""

from __future__ import annotations

import inspect
from typing import Any

from dfbench.contracts import REQUIRED, MetricSpec, Spec
from dfbench.plugins import spec_fault
from dfbench.registry import Component
from dfbench.testing.common import check_pickle, component_of, conforming


def check_spec(spec: Spec) -> None:
    """The name is legal, the schema sound and equal to the target's signature, summary and docstring are there.

    A metric's target is the metric itself and takes its columns and the weight; every other target takes the
    parameters as keywords, with the same defaults. A target with ``**keywords`` vouches for those it does not name.

    Raises:
        AssertionError: what does not hold.
    """
    fault = spec_fault(spec)
    assert not fault, f"the {spec.kind} {spec.name!r}: {fault}"
    required = {p.name: _sample(p.type, p.choices, p.low) for p in spec.params if p.default is REQUIRED}
    component = component_of(spec, required)
    with conforming(component) as who:
        assert len(spec.summary.splitlines()) == 1, f"{who} needs a summary of one line"
        check_pickle(component, who)
        target = component.load()
        assert callable(target), f"{who}: its target {spec.target} is not callable"
        assert inspect.getdoc(target), f"{who}: its target {spec.target} needs a docstring, which `plugins show` prints"
        _check_signature(component, target, who)


def _check_signature(component: Component, target: Any, who: str) -> None:
    spec, found = component.spec, inspect.signature(target).parameters
    where = f"{who}: its target {spec.target}"
    if isinstance(spec, MetricSpec):
        takes = (*spec.columns, "weight")
        assert len(found) == len(takes), f"{where} must take ({', '.join(takes)}), not ({', '.join(found)})"
        assert not spec.params, f"{who} declares parameters; a metric takes none"
        return
    named = {n: p for n, p in found.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    declared = {p.name: p.default for p in spec.params}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in found.values())
    missing = [] if open_ended else sorted(set(declared) - set(named))
    assert not missing, f"{where} does not take the declared parameters {', '.join(missing)}"
    hidden = sorted(set(named) - set(declared))
    assert not hidden, f"{where} takes {', '.join(hidden)}, which the spec does not declare"
    for name, parameter in named.items():
        default = REQUIRED if parameter.default is parameter.empty else parameter.default
        assert default == declared[name], (
            f"{where} has the default {default!r} for {name!r}, but the spec says {declared[name]!r}"
        )


def _sample(kind: type, choices: tuple[Any, ...], low: float | None) -> Any:
    """Some value that a required parameter takes."""
    return choices[0] if choices else kind(low if low is not None else 1)
