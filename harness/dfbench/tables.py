"""The result table: for each model, every scenario with every defense, beside the constant predictor's floor."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

FULL = (
    ("accuracy", "accuracy", True),
    ("balanced_accuracy", "balanced acc.", False),
    ("f1_macro", "macro-F1", False),
    ("auc", "AUC", True),
    ("tpr_at_fpr_1pct", "TPR@FPR1%", False),
)
"""Columns of a table with room: metric, title, whether its interval is shown."""

BRIEF = (("accuracy", "accuracy", False), ("auc", "AUC", False))
"""Columns that fit a terminal of 80 characters."""

Columns = tuple[tuple[str, str, bool], ...]


def header(columns: Columns = FULL) -> list[str]:
    """Column names of the result table."""
    titles = [title + (" [95%]" if interval else "") for _, title, interval in columns]
    return ["attack", "corruption", "defense", *titles, "AUC - baseline [95%]" if columns is FULL else "AUC gain"]


def rows(record: dict[str, Any], model: str, columns: Columns = FULL) -> list[list[str]]:
    """The table of one model, as text cells."""
    return [_row(cell, columns) for cell in record["cells"] if cell["model"] == model]


def floor_line(record: dict[str, Any], model: str) -> str:
    """What the numbers must be read against: n, the split, and the accuracy of a detector that ignores its input."""
    cell = next((c for c in record["cells"] if c["model"] == model and c["metrics"]), None)
    if cell is None:
        return "No cell was finished."
    constant = max(cell["metrics"]["always_fake_accuracy"], cell["metrics"]["always_real_accuracy"])
    return (
        f"{cell['data']}, {cell['split']} split, n = {cell['n']}. A detector that always answers one class scores "
        f"accuracy {constant:.3f} and balanced accuracy and AUC 0.500: read every row against that floor."
    )


def markdown(record: dict[str, Any]) -> str:
    """``table.md``: one table per model, and the warnings."""
    parts = []
    for model in dict.fromkeys(cell["model"] for cell in record["cells"]):
        parts.append(f"## {model}\n\n{floor_line(record, model)}\n")
        parts.append(tabulate(rows(record, model), headers=header(), tablefmt="github", disable_numparse=True) + "\n")
    intervals = record["intervals"]
    parts.append(
        f"Intervals: {intervals['level']:.0%}, {intervals['method']}, {intervals['replicates']} replicates; "
        "differences are paired, and bold where the interval excludes 0.\n"
    )
    if record["warnings"]:
        parts.append("Warnings:\n\n" + "\n".join(f"- {text}" for text in record["warnings"]) + "\n")
    return "\n".join(parts)


def _row(cell: dict[str, Any], columns: Columns) -> list[str]:
    attack = cell["attack"] + (f" ({cell['note']})" if cell["note"] else "")
    start = [attack, cell["corruption_column"], cell["defense"]]
    if cell["status"] == "failed":
        return [*start, "failed", *[""] * len(columns)]
    numbers = []
    for name, _, with_interval in columns:
        value, interval = cell["metrics"].get(name), cell["intervals"].get(name)
        text = "n/a" if value is None else f"{value:.3f}"
        if interval and with_interval:
            text += f" [{interval[0]:.2f}, {interval[1]:.2f}]"
        numbers.append(text)
    return [*start, *numbers, _difference(cell, with_interval=columns is FULL)]


def _difference(cell: dict[str, Any], *, with_interval: bool) -> str:
    versus = cell["versus_baseline"]
    found = versus["difference"].get("auc") if versus else None
    if not found:
        return ""
    text = f"{found['value']:+.3f}"
    if not found["interval"]:
        return text
    low, high = found["interval"]
    text += f" [{low:+.2f}, {high:+.2f}]" if with_interval else ""
    return f"**{text}**" if low > 0 or high < 0 else text
