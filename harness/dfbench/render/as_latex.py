"""Tables as LaTeX, in the manner of booktabs, to be read by ``\\input``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from dfbench.render.layout import shown_notes, without_repeats
from dfbench.tables import Column, Entry, NamedTables, Table

_PREAMBLE = "% needs \\usepackage{booktabs,graphicx}"

_ESCAPED = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "$": "\\$", "&": "\\&", "#": "\\#", "%": "\\%", "_": "\\_",
    "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "|": "\\textbar{}", '"': "\\symbol{34}", "'": "\\symbol{39}", "`": "\\symbol{96}", "\u00b1": "$\\pm$",
    "\u00d7": "$\\times$", "\u2212": "$-$", "\u2013": "--", "\u2014": "---", "\u2026": "\\dots{}",
}  # fmt: skip


def latex(named: NamedTables, warnings: Sequence[str] = ()) -> str:
    """A ``table`` environment for each table; one wider than the page is scaled down to it.

    Warnings of the record are comments at the top. Characters that pdfLaTeX cannot set are written as their code point.
    """
    parts = [_PREAMBLE, *(f"% warning: {' '.join(text.split())}" for text in warnings)]
    for name, tables in named:
        for number, table in enumerate(tables):
            label = "-".join(["tab:" + re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-"), str(number + 1)])
            parts.append(_environment(table, label, shown_notes(tables, number)))
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    return "".join(_ESCAPED.get(c, c if c.isprintable() and ord(c) < 0x180 else f"[U+{ord(c):04X}]") for c in
                   " ".join(text.split()))  # fmt: skip


def _environment(table: Table, label: str, notes: Sequence[str]) -> str:
    title = f"{table.part}: {table.title}" if table.part else table.title
    caption = " ".join([f"{escape(title)}.", *map(escape, table.captions)])
    align = "".join("l" if column.label else "r" for column in table.columns)
    body = " \\addlinespace\n".join(
        "\n".join(" & ".join(map(_entry, table.columns, row)) + " \\\\" for row in section)
        for section in without_repeats(table)
    )
    return "\n".join(
        [
            "\\begin{table}[htbp]",
            "\\centering",
            f"\\caption{{{caption}}}",
            f"\\label{{{label}}}",
            "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
            f"\\begin{{tabular}}{{{align}}}",
            "\\toprule",
            *_head(table.columns),
            "\\midrule",
            body,
            "\\bottomrule",
            "\\end{tabular}}",
            *(f"\\par\\smallskip{{\\footnotesize\\raggedright {escape(note)}\\par}}" for note in notes),
            "\\end{table}",
        ]
    )


def _head(columns: Sequence[Column]) -> list[str]:
    """One line of titles, beneath one of groups where there are any."""
    titles = " & ".join(_first(escape(column.title)) for column in columns) + " \\\\"
    if not any(column.group for column in columns):
        return [titles]
    cells, rules, start = [], [], 1
    for group, members in groupby(columns, lambda column: column.group):
        width = len(list(members))
        cells.append(f"\\multicolumn{{{width}}}{{c}}{{{escape(group)}}}" if group else " & ".join([""] * width))
        rules += [f"\\cmidrule(lr){{{start}-{start + width - 1}}}"] if group else []
        start += width
    return [" & ".join(cells) + " \\\\", " ".join(rules), titles]


def _entry(column: Column, entry: Entry) -> str:
    text = _first(escape(entry.text) if column.label else escape(entry.text).replace("-", "$-$"))
    return f"\\textbf{{\\boldmath {text}}}" if entry.bold else text


def _first(text: str) -> str:
    """After the end of a row LaTeX takes a bracket or a star for an argument."""
    return f"{{{text[0]}}}{text[1:]}" if text[:1] in ("[", "*") else text
