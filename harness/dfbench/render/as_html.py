"""Tables as one self-contained page: light or dark as the reader's system is, on wide screens and narrow ones."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

from dfbench.render.layout import shown_notes, without_repeats
from dfbench.tables import Column, Entry, NamedTables, Table

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #585f68; --rule: #c9ced6; --page: #fff; --band: #f3f5f8;
  --mark: #8a4b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --soft: #a4abb5; --rule: #40464e; --page: #15171a;
  --band: #1f2327; --mark: #ffb454; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 90rem; background: var(--page); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-top: 2.6rem; } h2 { font-size: 1.3rem; margin-top: 2.2rem; } h3 { font-size: 1.1rem; }
p { max-width: 70rem; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; vertical-align: bottom; }
thead th { white-space: normal; max-width: 12rem; overflow-wrap: break-word; }
thead { border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink); }
tbody { border-bottom: 1px solid var(--rule); }
tbody:last-child { border-bottom: 2px solid var(--ink); }
tbody tr:hover { background: var(--band); }
th.group { text-align: center; max-width: none; border-bottom: 1px solid var(--rule); }
th.label { text-align: left; font-weight: 400; }
th.label:first-child, thead td:first-child { position: sticky; left: 0; background: var(--page); }
thead th.label { font-weight: 600; }
.warnings li { color: var(--mark); }
@media (max-width: 40rem) { body { margin: 1rem auto; } th, td { padding: .25rem .5rem; }
  th.group { text-align: left; }
  th.label { white-space: normal; min-width: 5.5rem; max-width: 9rem; overflow-wrap: anywhere; } }
"""


def html(named: NamedTables, warnings: Sequence[str] = ()) -> str:
    """The page, with the warnings of the record at its end. All text is escaped, and the page forbids scripts."""
    body: list[str] = []
    for name, tables in named:
        if not tables:
            continue
        body.append(f"<h1>{escape(name)}</h1>")
        part = ""
        for number, table in enumerate(tables):
            if table.part and table.part != part:
                body.append(f"<h2>{escape(table.part)}</h2>")
            part = table.part
            level = 3 if part else 2
            body.append(f"<h{level}>{escape(table.title)}</h{level}>")
            body += [f"<p>{escape(text)}</p>" for text in table.captions]
            body += _grid(table)
            body += [f"<p>{escape(text)}</p>" for text in shown_notes(tables, number)]
    if warnings:
        items = "".join(f"<li>{escape(text)}</li>\n" for text in warnings)
        body.append(f'<h2>Warnings</h2>\n<ul class="warnings">\n{items}</ul>')
    title = escape(", ".join(name for name, tables in named if tables))
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{_STYLE}</style></head>\n<body>",
            *body,
            "</body></html>\n",
        ]
    )


def _grid(table: Table) -> list[str]:
    lines = [f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}"><table>', "<thead>"]
    lines += [*_head(table.columns), "</thead>"]
    for section in without_repeats(table):
        rows = ("<tr>" + "".join(map(_entry, table.columns, row)) + "</tr>" for row in section)
        lines += ["<tbody>", *rows, "</tbody>"]
    return [*lines, "</table></div>"]


def _head(columns: Sequence[Column]) -> list[str]:
    """One line of titles, beneath one of groups where there are any."""
    titles = "".join(f'<th{_kind(column)} scope="col">{escape(column.title)}</th>' for column in columns)
    if not any(column.group for column in columns):
        return [f"<tr>{titles}</tr>"]
    groups = ""
    for group, members in groupby(columns, lambda column: column.group):
        width = len(list(members))
        groups += f'<th class="group" colspan="{width}" scope="colgroup">{escape(group)}</th>' if group else (
            f'<td colspan="{width}"></td>')  # fmt: skip
    return [f"<tr>{groups}</tr>", f"<tr>{titles}</tr>"]


def _entry(column: Column, entry: Entry) -> str:
    text = f"<strong>{escape(entry.text)}</strong>" if entry.bold else escape(entry.text)
    return f'<th class="label" scope="row">{text}</th>' if column.label else f"<td>{text}</td>"


def _kind(column: Column) -> str:
    return ' class="label"' if column.label else ""
