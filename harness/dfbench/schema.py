"""A component's parameters: is the schema sound, and do the values a user gave fit it?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dfbench.contracts import REQUIRED, Param
from dfbench.errors import UsageError, did_you_mean
from dfbench.grammar import Expr, format_value

_TYPES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def bind(expr: Expr, params: Sequence[Param], what: str) -> dict[str, Any]:
    """All parameters of a component, those not given at their defaults, in the order of the schema.

    Args:
        expr: what the user wrote.
        params: the component's schema.
        what: how messages call the component, e.g. ``attack 'pgd'``.

    Raises:
        UsageError: a parameter is unknown, missing, of another type, out of range, NaN or infinite.
    """
    known = [param.name for param in params]
    for name in expr.params:
        if name not in known:
            hint = did_you_mean(name, known) if known else "it has no parameters"
            raise UsageError(f"the {what} has no parameter {name!r}: {hint}")
    bound: dict[str, Any] = {}
    for param in params:
        if param.name in expr.params:
            bound[param.name] = _fit(param, expr.params[param.name], expr.raw.get(param.name), what)
        elif param.default is REQUIRED:
            raise UsageError(
                f"the {what} needs the parameter {param.name!r} ({describe(param)}): "
                f"write {expr.name}({param.name}=...)" + (f", {param.help}" if param.help else "")
            )
        else:
            bound[param.name] = default_of(param)
    return bound


def default_of(param: Param) -> Any:
    """The default as a user's value would be bound: a float parameter's default is a float."""
    if param.type is float and isinstance(param.default, int):
        return float(param.default)
    return param.default


def describe(param: Param) -> str:
    """What a parameter takes, in words: ``a number from 0 to 1``."""
    if param.choices:
        text = "one of " + ", ".join(map(format_value, param.choices))
    else:
        text = _TYPES[param.type]
        low, high = (
            format_value(int(b) if b == int(b) else b) if b is not None else "" for b in (param.low, param.high)
        )
        if low and high:
            text += f" from {low} to {high}"
        elif low or high:
            text += f" of at least {low}" if low else f" of at most {high}"
    return text + (" or none" if param.default is None else "")


def schema_fault(params: Sequence[Param]) -> str:
    """Why a schema is unusable, or the empty string."""
    names = [param.name for param in params]
    for param in params:
        if not isinstance(param.name, str) or not param.name.isidentifier():
            return f"the parameter name {param.name!r} is no Python identifier"
        if names.count(param.name) > 1:
            return f"the parameter {param.name!r} is declared twice"
        if param.type not in _TYPES:
            return f"the parameter {param.name!r} has the type {param.type!r}; allowed are int, float, bool and str"
        if param.default is not REQUIRED:
            try:
                _fit(param, param.default, None, "component")
            except UsageError:
                return f"the default {param.default!r} of the parameter {param.name!r} is not {describe(param)}"
    return ""


def _fit(param: Param, value: Any, raw: str | None, what: str) -> Any:
    """``value`` as the parameter's type; bare text such as ``path=2024`` or ``weights=none`` is text where asked."""
    if value is None and param.default is None:
        return None
    if param.type is str and raw is not None:
        value = raw
    if param.type is float and type(value) is int:
        value = float(value) if abs(value) < 2**1000 else math.inf
    ok = type(value) is param.type
    ok = ok and not (isinstance(value, float) and not math.isfinite(value))
    ok = ok and (param.low is None or value >= param.low) and (param.high is None or value <= param.high)
    ok = ok and (not param.choices or value in param.choices)
    if ok:
        return value
    given = format_value(value) if raw is None else raw
    hint = ""
    if param.choices and isinstance(value, str):
        hint = "; " + did_you_mean(value, [c for c in param.choices if isinstance(c, str)])
    elif isinstance(value, list):
        hint = "; give one value, not a list"
    raise UsageError(f"the {what}: the parameter {param.name!r} must be {describe(param)}, not {given}{hint}")
