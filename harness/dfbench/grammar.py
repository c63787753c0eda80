"""The one grammar in which components are written: on the command line, in TOML, in records and in tables.

::

    component := name [ "(" [ parameter { "," parameter } ] ")" ]      pgd(eps=4/255, steps=20)
    sum       := component { "+" component }                           dual+pim(alpha=0.5)
    parameter := name "=" value
    value     := int | float | fraction | true | false | none | list | bare text | quoted text

Bare text is anything without blanks, quotes, commas and brackets: ``/data/faces``, ``resnet18.a1_in1k``. Text in
single or double quotes may hold anything; there a backslash escapes the quote and itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NoReturn

from dfbench.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
"""What a component may be called."""

_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"""[^\s"',()\[\]]+""")
_INT = re.compile(r"[+-]?[0-9]+")
_FRACTION = re.compile(r"([+-]?[0-9.]+(?:e[+-]?[0-9]+)?)/([0-9.]+(?:e[+-]?[0-9]+)?)", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "none": None, "True": True, "False": False, "None": None}


@dataclass(frozen=True)
class Expr:
    """A component as written: its name and the parameters given, in the order given.

    ``raw`` holds the text of each bare value, so that a text parameter takes ``path=2024`` as it stands.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict, compare=False, repr=False)


def parse(text: str) -> Expr:
    """Read one component.

    Raises:
        UsageError: the text is no component; the message quotes it with the position and the cure.
    """
    reader = _Reader(text)
    expr = reader.component()
    if reader.peek() == "+":
        reader.fail("a sum of components is not possible here; give one component")
    if reader.peek():
        reader.fail("expected the end of the component")
    return expr


def parse_sum(text: str) -> list[Expr]:
    """Read components joined by ``+``.

    Raises:
        UsageError: as :func:`parse`.
    """
    reader = _Reader(text)
    exprs = [reader.component()]
    while reader.accept("+"):
        exprs.append(reader.component())
    if reader.peek():
        reader.fail("expected '+' and another component, or the end")
    return exprs


def variants(text: str) -> list[str]:
    """The sums that a text with lists of values stands for, ``pim(alpha=[0.5, 1], r=[0.1, 0.2])``: one for each
    combination, the last list running fastest. A text without lists stands for itself.

    Raises:
        UsageError: as :func:`parse_sum`, or a list is empty.
    """
    exprs = parse_sum(text)
    lists = [(i, name, value) for i, e in enumerate(exprs) for name, value in e.params.items() if type(value) is list]
    if not lists:
        return [text]
    if empty := [name for _, name, values in lists if not values]:
        raise UsageError(f"{text}: the list of the parameter {empty[0]!r} is empty: give at least one value")
    found = []
    for chosen in product(*(values for _, _, values in lists)):
        params = [dict(expr.params) for expr in exprs]
        for (i, name, _), value in zip(lists, chosen, strict=True):
            params[i][name] = value
        found.append("+".join(format_expr(expr.name, own) for expr, own in zip(exprs, params, strict=True)))
    return found


def format_value(value: Any) -> str:
    """Write a value so that reading it gives it back exactly.

    A float that is k/255, with k of at most three decimals, is written so where that is shorter: ``0.25/255``.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(format_value, value)) + "]"
    if isinstance(value, float):
        plain, k = repr(value), round(value * 255, 3) if abs(value) < 1e6 else value
        fraction = f"{k:g}/255"
        return fraction if len(fraction) < len(plain) and float(f"{k:g}") / 255 == value else plain
    if isinstance(value, str):
        if _BARE.fullmatch(value) and isinstance(_bare_value(value), str):
            return value
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def format_expr(name: str, params: dict[str, Any]) -> str:
    """Write a component: ``pgd(eps=4/255, steps=20)``, or ``pgd`` without parameters."""
    if not params:
        return name
    return f"{name}({', '.join(f'{key}={format_value(value)}' for key, value in params.items())})"


def _bare_value(text: str) -> Any:
    """The value of unquoted text: a word, a number, a fraction, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        if _INT.fullmatch(text):
            return int(text)
        if match := _FRACTION.fullmatch(text):
            return float(match[1]) / float(match[2])
        return float(text) if "_" not in text else text
    except ZeroDivisionError as error:
        raise UsageError("a fraction cannot have 0 below the line") from error
    except ValueError:
        return text


class _Reader:
    """A cursor over the text; blanks between tokens do not count."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, why: str) -> NoReturn:
        where = f"at character {self.at + 1} ({self.text[self.at]!r})" if self.at < len(self.text) else "at its end"
        raise UsageError(f"cannot read {self.text!r} {where}: {why}")

    def peek(self) -> str:
        """The next character that is no blank, or the empty string at the end."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at : self.at + 1]

    def accept(self, char: str) -> bool:
        if self.peek() != char:
            return False
        self.at += 1
        return True

    def match(self, pattern: re.Pattern[str], why: str) -> str:
        self.peek()
        found = pattern.match(self.text, self.at)
        if found is None:
            self.fail(why)
        self.at = found.end()
        return found[0]

    def component(self) -> Expr:
        expr = Expr(self.match(NAME, "expected the name of a component, as in pgd or pgd(eps=4/255)"))
        if self.accept("("):
            while not self.accept(")"):
                self.parameter(expr)
                if self.peek() not in (",", ")"):
                    self.fail("expected ',' or ')'; text with blanks, commas or brackets must be in quotes")
                self.accept(",")
        return expr

    def parameter(self, expr: Expr) -> None:
        self.peek()
        start = self.at
        name = self.match(_PARAMETER, f"expected a parameter, as in {expr.name}(name=value), or ')'")
        if not self.accept("="):
            self.at = start
            self.fail(f"a parameter is given by its name, as in {expr.name}(name=value)")
        if name in expr.params:
            self.at = start
            self.fail(f"the parameter {name!r} is given twice")
        self.peek()
        start = self.at
        expr.params[name] = self.value()
        if self.text[start] not in "\"'[":
            expr.raw[name] = self.text[start : self.at]

    def value(self) -> Any:
        if self.peek() in ("'", '"'):
            return self.quoted()
        if self.accept("["):
            return self.items()
        start = self.at
        text = self.match(_BARE, "expected a value: a number, a fraction like 4/255, true, false, none, text or [list]")
        try:
            return _bare_value(text)
        except UsageError as error:
            self.at = start
            self.fail(str(error))

    def items(self) -> list[Any]:
        items: list[Any] = []
        while not self.accept("]"):
            items.append(self.value())
            if self.peek() not in (",", "]"):
                self.fail("expected ',' or ']'")
            self.accept(",")
        return items

    def quoted(self) -> str:
        start, quote = self.at, self.text[self.at]
        found = re.compile(rf"{quote}((?:\\.|[^{quote}\\])*){quote}", re.DOTALL).match(self.text, start)
        if found is None:
            self.fail("this quote is never closed")
        self.at = found.end()
        return re.sub(rf"\\([\\{quote}])", r"\1", found[1])
