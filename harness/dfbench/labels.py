"""What metrics are called for readers, and short names for defenses that stand side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dfbench.errors import UsageError
from dfbench.grammar import format_expr, parse_sum

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "f1_macro": "macro-F1",
    "f1_fake": "F1 of fake",
    "f1_real": "F1 of real",
    "auc": "AUC",
    "tpr_at_fpr_1pct": "TPR@FPR1%",
    "accuracy_fake": "accuracy on fakes",
    "accuracy_real": "accuracy on reals",
    "worst_case_accuracy": "worst-case accuracy",
    "ece": "ECE",
    "nauc": "nAUC",
    "nauc_seed": "nAUC, attacked points only",
}
"""What metrics and areas are called in tables and figures; others by their names."""


def title(metric: str) -> str:
    """A metric's name as a heading."""
    return TITLES.get(metric, metric)


Values = Mapping[str, Sequence[Mapping[str, Any]]]
"""By a defense's label, for each part of its sum all its parameters, those of the recipe with the first part's."""

FEW = 2
"""Parameters that vary, up to which every label tells all of them, those at their defaults too."""


def values_of(record: Mapping[str, Any]) -> Values:
    """The parameters of the defenses of a record."""
    return {
        plan["label"]: [
            {**(plan["recipe"] if number == 0 else {}), **part["params"]}
            for number, part in enumerate(plan["objectives"])
        ]
        for plan in record["config"].get("defenses", ())
    }


def short_labels(labels: Iterable[str], values: Values | None = None) -> dict[str, str]:
    """Each label without the parameters that it shares with every other of the same name.

    ``none(epochs=4)`` alone becomes ``none``; ``dual(tv=0, epochs=2)`` beside ``dual(epochs=2)``, ``dual(tv=0)``.
    Labels that do not read as defenses, as a foreign record may have them, stay as they are.

    Args:
        labels: of the defenses that stand side by side.
        values: their parameters. Where only few vary, each label then tells them all: ``pim(alpha=0.5, r=0.05)``
            beside ``pim(alpha=0.5, r=0.1)``, although the former are the defaults.
    """
    labels = list(labels)
    try:
        sums = {label: parse_sum(label) for label in labels}
    except UsageError:
        return {label: label for label in labels}
    names = {label: [part.name for part in parts] for label, parts in sums.items()}
    short = {}
    for label, parts in sums.items():
        alike = [other for other in labels if names[other] == names[label]]
        told = [
            format_expr(part.name, _told(label, i, {other: sums[other][i].params for other in alike}, values or {}))
            for i, part in enumerate(parts)
        ]
        short[label] = "+".join(told)
    return short


def _told(label: str, i: int, given: Mapping[str, Mapping[str, Any]], values: Values) -> dict[str, Any]:
    """What the short label tells of part ``i``.

    Args:
        label: the label.
        i: the part of its sum.
        given: what the labels of the same components tell of this part.
        values: as for :func:`short_labels`.
    """
    own = given[label]
    varied = [
        key
        for key in dict.fromkeys(key for params in given.values() for key in params)
        if any(params.get(key) != own.get(key) for params in given.values())
    ]
    known = values[label][i] if label in values and len(varied) <= FEW else {}
    return {key: value for key, value in {**known, **own}.items() if key in varied}


def in_full(short: dict[str, str]) -> tuple[str, ...]:
    """A note that tells the whole labels, where any was shortened."""
    shortened = [f"{name} is {label}" for label, name in short.items() if name != label]
    return (f"In full: {'; '.join(shortened)}.",) if shortened else ()
