"""What torchattacks offers, read from its sources with ``ast``: listing components must not import it, nor torch."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dfbench.contracts import Param

INSTALL = "pip install --no-deps torchattacks==3.5.1"
OURS = ("self", "model", "seed", "n_classes", "verbose")
"""Constructor arguments that the harness sets itself: the model, two classes, and a seed per sample."""

NAMES = (
    "VANILA", "GN", "FGSM", "BIM", "RFGSM", "PGD", "EOTPGD", "FFGSM", "TPGD", "MIFGSM", "UPGD", "APGD", "APGDT",
    "DIFGSM", "TIFGSM", "Jitter", "NIFGSM", "PGDRS", "SINIFGSM", "VMIFGSM", "VNIFGSM", "SPSA", "JSMA", "EADL1",
    "EADEN", "PIFGSM", "PIFGSMPP", "CW", "PGDL2", "DeepFool", "PGDRSL2", "SparseFool", "OnePixel", "Pixle", "FAB",
    "AutoAttack", "Square", "MultiAttack", "LGV",
)  # fmt: skip
"""The names of torchattacks 3.5.1, for a clear error where it is not installed."""


@dataclass(frozen=True)
class Entry:
    """An attack class of torchattacks.

    Args:
        name: of the class.
        summary: the title of its paper.
        source: the paper's address.
        params: what a user can set; types from the defaults and the docstring.
        norms: the norms its docstring names, e.g. ``("Linf", "L2")``.
        owned: which of ``OURS`` its constructor takes.
    """

    name: str
    summary: str = ""
    source: str = ""
    params: tuple[Param, ...] = ()
    norms: tuple[str, ...] = ()
    owned: tuple[str, ...] = ()

    def bound(self, given: dict[str, Any]) -> float | None:
        """The L-inf bound at these parameters; None where the attack is bounded otherwise, or not at all."""
        if "Linf" not in self.norms or given.get("norm", "Linf") != "Linf":
            return None
        eps = given.get("eps", given.get("max_epsilon"))
        return None if eps is None else float(eps)


@cache
def entries() -> dict[str, Entry]:
    """Every attack class that the installed torchattacks exports; bare names where it is not installed."""
    spec = importlib.util.find_spec("torchattacks")
    if spec is None or spec.origin is None:
        return {name: Entry(name, f"not installed: {INSTALL}") for name in NAMES}
    root = Path(spec.origin)
    exported = _literal_list(ast.parse(root.read_text(encoding="utf-8")), "__all__")
    classes: dict[str, ast.ClassDef] = {}
    for path in sorted(root.parent.glob("*/*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
    return {name: _entry(classes[name]) for name in exported if name in classes}


def installed_version() -> str:
    """The version of torchattacks, or the empty string."""
    try:
        return version("torchattacks")
    except PackageNotFoundError:
        return ""


def _literal_list(tree: ast.Module, name: str) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return [str(item) for item in ast.literal_eval(node.value)]
    return []


def _entry(node: ast.ClassDef) -> Entry:
    doc = ast.get_docstring(node) or ""
    title = re.search(r"""["']([^"'\n]{8,})["']""", doc.partition("Arguments")[0])
    address = re.search(r"\[(https?://[^\]\s]+)\]", doc)
    measure = re.search(r"Distance Measure\s*:\s*(.+)", doc)
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    names = [a.arg for a in init.args.args] if init else []
    defaults = init.args.defaults if init else []
    params = [_param(name, default, doc) for name, default in zip(names[-len(defaults) :], defaults, strict=False)]
    return Entry(
        node.name,
        title[1] if title else "",
        address[1] if address else "",
        tuple(param for param in params if param is not None),
        tuple(re.findall(r"L(?:inf|\d)", measure[1])) if measure else (),
        tuple(name for name in OURS if name in names),
    )


def _param(name: str, default: ast.expr, doc: str) -> Param | None:
    """None for a parameter that cannot be written in a component expression (a tuple, a class), or is ours."""
    value = _number(default)
    if value is None:
        try:
            value = ast.literal_eval(default)
        except ValueError:
            return None
    if name in OURS or type(value) not in (bool, int, float, str):
        return None
    said = re.search(rf"^\s*{name} \((\w+)\)\s*:\s*(.*)$", doc, re.MULTILINE)
    text = re.sub(r"\s*\(Default:?.*$", "", said[2]).rstrip(". ") if said else ""
    kind = type(value)
    if kind is int and said and said[1] == "float" and not text.startswith("number of"):  # c=1 may be 0.5
        kind = float
    listed = re.search(r"\s*(\['[^\]]+\])", text)
    choices = tuple(ast.literal_eval(listed[1])) if listed else ()
    if listed and value in choices:
        text = text.replace(listed[0], "").rstrip(". ")
    else:
        choices = ()
    return Param(name, kind, kind(value), text, low=0 if name in ("eps", "max_epsilon") else None, choices=choices)


def _number(node: ast.expr) -> int | float | None:
    """The value of a number or a fraction like ``8 / 255``; None for anything else."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _number(node.left), _number(node.right)
        return left / right if left is not None and right else None
    return None
