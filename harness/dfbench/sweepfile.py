"""Sweep files: everything the command line can say, as TOML, with named scenarios and named tables."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path
from typing import Any

from dfbench.errors import UsageError, did_you_mean

_LISTS = ("model", "defense", "attack", "corruption", "data", "eval_data")
_KEYS = {*_LISTS, "scenario", "table", "split", "seeds", "allow_leak", "cam", "checks", "recipe"}
_SCENARIO = {"name", "attack", "corruption"}
_TABLE = {"name", "template", "scenarios"}


def load_sweep(path: Path) -> dict[str, Any]:
    """Read a sweep file as keywords of :func:`dfbench.config.build_config`, only those that it sets.

    ``model``, ``defense``, ``attack``, ``corruption``, ``data`` and ``eval_data`` are texts or lists of texts;
    ``seeds`` a list of whole numbers; ``split`` and ``checks`` texts; ``allow_leak`` and ``cam`` truth values;
    ``[recipe]`` training parameters of every defense. ``attack`` and ``corruption`` form a matrix; ``[[scenario]]``
    entries with ``name``, ``attack`` and ``corruption`` list rows instead.
    ``[[table]]`` entries have a ``name``, a ``template`` and, for a part of the rows, ``scenarios``.

    Raises:
        UsageError: missing, not TOML, with a key that is not known, or with a value of another type.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"no such file: {path}") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from error
    _check_keys(path, "", content, _KEYS)
    asked: dict[str, Any] = {}
    for key, keyword in (("model", "models"), ("defense", "defenses"), ("data", "data"), ("eval_data", "eval_data")):
        if key in content:
            asked[keyword] = _texts(path, key, content[key])
    if "scenario" in content and {"attack", "corruption"} & content.keys():
        raise UsageError(f"{path}: 'attack' and 'corruption' form a matrix, [[scenario]] lists rows: keep one of both")
    if "scenario" in content:
        rows = _entries(path, "scenario", content["scenario"], _SCENARIO)
        asked["scenarios"] = [(r.get("attack", "none"), r.get("corruption", "none"), r.get("name", "")) for r in rows]
    elif {"attack", "corruption"} & content.keys():
        both = (_texts(path, key, content.get(key, "none")) for key in ("attack", "corruption"))
        asked["scenarios"] = [(attack, corruption, "") for attack, corruption in product(*both)]
    if "table" in content:
        asked["tables"] = [_table(path, row) for row in _entries(path, "table", content["table"], _TABLE)]
    for key, fits, what in (
        ("split", lambda value: isinstance(value, str), 'a text, e.g. split = "val"'),
        ("checks", lambda value: isinstance(value, str), 'a text, e.g. checks = "full"'),
        ("allow_leak", lambda value: isinstance(value, bool), "true or false"),
        ("cam", lambda value: isinstance(value, bool), "true or false"),
        ("recipe", lambda value: isinstance(value, dict), "a table: [recipe] followed by lines such as epochs = 8"),
        ("seeds", _whole_numbers, "a list of whole numbers, e.g. seeds = [0, 1, 2]"),
    ):
        if key in content:
            if not fits(content[key]):
                raise UsageError(f"{path}: {key!r} must be {what}")
            asked[key] = content[key]
    return asked


def _whole_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int and 0 <= one < 2**31 for one in value)


def _texts(path: Path, key: str, value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f'{path}: {key!r} must be a text or a list of texts, e.g. {key} = ["none"]')
    return texts


def _entries(path: Path, key: str, value: object, known: set[str]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise UsageError(f"{path}: write every {key} as [[{key}]] followed by its lines")
    for row in value:
        _check_keys(path, f" in [[{key}]]", row, known)
        for name, given in row.items():
            if name != "scenarios" and not (isinstance(given, str) and given.strip()):
                raise UsageError(f"{path}: {name!r} in [[{key}]] must be a text, not {given!r}")
    return value


def _table(path: Path, row: dict[str, Any]) -> tuple[str, str, list[str]]:
    if "template" not in row:
        raise UsageError(f'{path}: a [[table]] has no template, e.g. template = "scenarios"')
    scenarios = _texts(path, "scenarios", row["scenarios"]) if "scenarios" in row else []
    return row.get("name", row["template"]), row["template"], scenarios


def _check_keys(path: Path, where: str, content: dict[str, Any], known: set[str]) -> None:
    for key in content:
        if key not in known:
            raise UsageError(f"{path}: unknown key {key!r}{where}; {did_you_mean(key, known)}")
