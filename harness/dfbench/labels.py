"""What metrics are called for readers, and short names for defenses that stand side by side."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench.errors import UsageError
from dfbench.grammar import Expr, format_expr, parse_sum

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "f1_macro": "macro-F1",
    "f1_fake": "F1 of fake",
    "f1_real": "F1 of real",
    "auc": "AUC",
    "tpr_at_fpr_1pct": "TPR@FPR1%",
    "nauc": "nAUC",
    "nauc_seed": "nAUC, attacked points only",
}
"""What metrics and areas are called in tables and figures; others by their names."""


def title(metric: str) -> str:
    """A metric's name as a heading."""
    return TITLES.get(metric, metric)


def short_labels(labels: Iterable[str]) -> dict[str, str]:
    """Each label without the parameters that it shares with every other of the same name.

    ``none(epochs=4)`` alone becomes ``none``; ``dual(tv=0, epochs=2)`` beside ``dual(epochs=2)``, ``dual(tv=0)``.
    Labels that do not read as defenses, as a foreign record may have them, stay as they are.
    """
    labels = list(labels)
    try:
        sums = {label: parse_sum(label) for label in labels}
    except UsageError:
        return {label: label for label in labels}
    return {
        label: "+".join(_short(sums.values(), parts, i) for i in range(len(parts))) for label, parts in sums.items()
    }


def _short(sums: Iterable[list[Expr]], parts: list[Expr], i: int) -> str:
    """Part ``i`` of a sum, beside the same part of the other sums of the same components."""
    names = [part.name for part in parts]
    alike = [other[i].params for other in sums if [part.name for part in other] == names]
    own = parts[i].params
    told = {key: value for key, value in own.items() if any(key not in p or p[key] != value for p in alike)}
    return format_expr(parts[i].name, told)


def in_full(short: dict[str, str]) -> tuple[str, ...]:
    """A note that tells the whole labels, where any was shortened."""
    shortened = [f"{name} is {label}" for label, name in short.items() if name != label]
    return (f"In full: {'; '.join(shortened)}.",) if shortened else ()
