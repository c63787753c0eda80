"""Tables (:mod:`dfbench.tables`) in every format: for papers, programs, browsers and terminals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfbench.names import file_name
from dfbench.render.as_csv import as_csv
from dfbench.render.as_html import html
from dfbench.render.as_latex import latex
from dfbench.render.as_markdown import markdown
from dfbench.store import write_text
from dfbench.tables import NamedTables, named_tables, without_tables

if TYPE_CHECKING:
    from rich.console import Console

    from dfbench.registry import Registry

__all__ = ["FORMATS", "SUFFIXES", "markdown_of", "show", "write_tables"]

FORMATS: dict[str, Callable[[NamedTables, Sequence[str]], str]] = {
    "markdown": markdown,
    "csv": as_csv,
    "latex": latex,
    "html": html,
}
"""By name: a function from the named tables and the record's warnings to a document."""

SUFFIXES = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".html": "html"}
"""The format of a file by its suffix."""


def markdown_of(registry: Registry, record: Mapping[str, Any]) -> str:
    """``table.md`` of a record: all its tables and its warnings.

    Raises:
        UsageError, ContractError: as :func:`dfbench.tables.named_tables`.
    """
    return _overview(registry, named_tables(registry, record), record)


def write_tables(out: Path, registry: Registry, record: Mapping[str, Any]) -> None:
    """Write ``table.md``, with all tables of the record, and each by itself as ``tables/<name>.{md,csv,tex,html}``.

    Raises:
        UsageError, ContractError: as :func:`dfbench.tables.named_tables`.
        StorageError: the folder cannot be written.
    """
    named = named_tables(registry, record)
    for name, tables in named:
        for suffix, format_name in SUFFIXES.items():
            if tables:
                document = FORMATS[format_name]([(name, tables)], record["warnings"])
                write_text(out / "tables" / f"{file_name(name)}{suffix}", document)
    write_text(out / "table.md", _overview(registry, named, record))


def show(registry: Registry, record: Mapping[str, Any], console: Console, *, whole: bool = False) -> list[str]:
    """Print the tables of a record and its warnings, after a run; those that are too much for a terminal if ``whole``.

    Returns:
        What else ``table.md`` has, e.g. ``["each manipulation by itself"]``: tables that are too much for a terminal.
    """
    from dfbench.render.as_terminal import show_tables

    named = named_tables(registry, record)
    if whole:
        show_tables(named, [*record["warnings"], *without_tables(registry, record, named)], console)
        return []
    main = [(name, [table for table in tables if not table.aside]) for name, tables in named]
    show_tables(main, [*record["warnings"], *without_tables(registry, record, named)], console)
    return list(dict.fromkeys(table.aside for _, tables in named for table in tables if table.aside))


def _overview(registry: Registry, named: NamedTables, record: Mapping[str, Any]) -> str:
    renamed = any(one["name"] != one["template"] for one in record["config"]["tables"])
    told = [*record["warnings"], *without_tables(registry, record, named)]
    return markdown(named, told, headings=[name for name, _ in named] if renamed else [])
