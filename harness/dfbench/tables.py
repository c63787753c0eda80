"""The result table: for each model, every scenario with every defense, beside the constant predictor's floor."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

_COLUMNS = (
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced acc."),
    ("f1_macro", "macro-F1"),
    ("auc", "AUC"),
    ("tpr_at_fpr_1pct", "TPR@FPR1%"),
)
_DIFFERENCE = "auc"


def header() -> list[str]:
    """Column names of the result table."""
    titles = [title + (" [95%]" if name in ("accuracy", "auc") else "") for name, title in _COLUMNS]
    return ["attack", "corruption", "defense", *titles, "AUC - baseline [95%]"]


def rows(record: dict[str, Any], model: str) -> list[list[str]]:
    """The table of one model, as text cells."""
    return [_row(cell) for cell in record["cells"] if cell["model"] == model]


def floor_line(record: dict[str, Any], model: str) -> str:
    """What the numbers must be read against: n, the split, and the accuracy of a detector that ignores its input."""
    cell = next((c for c in record["cells"] if c["model"] == model and c["metrics"]), None)
    if cell is None:
        return "No cell was finished."
    constant = max(cell["metrics"]["always_fake_accuracy"], cell["metrics"]["always_real_accuracy"])
    return (
        f"{cell['data']}, {cell['split']} split, n = {cell['n']}. A detector that always answers one class scores "
        f"accuracy {constant:.3f} and balanced accuracy and AUC 0.500: "
        "read every row against that floor."
    )


def markdown(record: dict[str, Any]) -> str:
    """``table.md``: one table per model, with the warnings that belong to it."""
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


def _row(cell: dict[str, Any]) -> list[str]:
    attack = cell["attack"] + (f" ({cell['note']})" if cell["note"] else "")
    start = [attack, cell["corruption_column"], cell["defense"]]
    if cell["status"] == "failed":
        return [*start, "failed", *[""] * len(_COLUMNS)]
    numbers = []
    for name, _ in _COLUMNS:
        value, interval = cell["metrics"].get(name), cell["intervals"].get(name)
        text = "n/a" if value is None else f"{value:.3f}"
        if interval and name in ("accuracy", "auc"):
            text += f" [{interval[0]:.2f}, {interval[1]:.2f}]"
        numbers.append(text)
    return [*start, *numbers, _difference(cell)]


def _difference(cell: dict[str, Any]) -> str:
    versus = cell["versus_baseline"]
    if not versus or _DIFFERENCE not in versus["difference"]:
        return ""
    found = versus["difference"][_DIFFERENCE]
    text = f"{found['value']:+.3f}"
    if not found["interval"]:
        return text
    low, high = found["interval"]
    text += f" [{low:+.2f}, {high:+.2f}]"
    return f"**{text}**" if low > 0 or high < 0 else text
