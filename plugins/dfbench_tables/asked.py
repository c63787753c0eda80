"""Metrics that a user asked a table for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfbench.contracts import MetricSpec
from dfbench.errors import UsageError, did_you_mean
from dfbench.registry import load_registry
from dfbench_tables.entries import is_worst_case


def metrics_of(text: str, who: str, example: str) -> list[str]:
    """The names in a list separated by commas.

    Args:
        text: as the user wrote it.
        who: what messages call the table, e.g. ``the table of scenarios``.
        example: the table as it might be asked for.

    Raises:
        UsageError: no name, or one that is no metric.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"{who} needs a metric: {example}")
    known = [spec.name for spec in load_registry().specs("metric")]
    for name in names:
        if name not in known:
            raise UsageError(f"{who}: unknown metric {name!r}: {did_you_mean(name, known)}")
    return names


def check_measured(record: Mapping[str, Any], metrics: list[str]) -> None:
    """Raises UsageError where no cell of a record has a metric, though there are cells that might."""
    for name in metrics:
        worst = name.startswith("worst_case_")
        cells = [cell["metrics"] for cell in record["cells"] if cell["metrics"] and (worst or not is_worst_case(cell))]
        known = {found for metrics in cells for found in metrics}
        if known and name not in known:
            raise UsageError(f"the record has no metric {name!r}: {did_you_mean(name, known)}")


def upwards(metric: str) -> bool | None:
    """Whether more of a metric is better; None for one that has no direction, or is not installed here."""
    known = {spec.name: spec for spec in load_registry().specs("metric") if isinstance(spec, MetricSpec)}
    return known[metric].higher_is_better if metric in known else None
