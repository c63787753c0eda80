"""Numbers of a record as entries of a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dfbench.labels import title
from dfbench.recordcells import excludes_0
from dfbench.tables import Entry

NONE = Entry("n/a")
"""A number that has no value."""

EMPTY = Entry("")
"""Nothing was asked for here."""

FAILED = Entry("failed")
"""The cell failed; the record tells why."""

WORST = "worst_case_accuracy"
"""What a cell of an attack that stops at the first success has in place of accuracy."""


WORST_NOTE = (
    "Worst-case accuracy: of an attack that leaves a sample alone as soon as it is wrong, the share of samples that "
    "withstood all of it. It is no accuracy under one fixed attack, and has no AUC."
)


def is_worst_case(measured: Mapping[str, Any]) -> bool:
    """Whether it is of an attack that stops at the first success: it has metrics of its own, and no others."""
    return WORST in measured["metrics"]


def heading(metric: str) -> str:
    """A metric's name as a heading."""
    return "worst-case acc." if metric == WORST else title(metric)


def asked(measured: Mapping[str, Any], metric: str) -> bool:
    """Whether a metric was asked for at all: the accuracy of a fixed attack and the worst case exclude each other."""
    return metric in measured["metrics"] or not (is_worst_case(measured) or metric.startswith("worst_case_"))


def number(measured: Mapping[str, Any], metric: str, *, interval: bool = False, bold: bool = False) -> Entry:
    """A metric's value; over several trainings its mean and SD, else with its interval where that is asked for.

    Args:
        measured: of a record: ``metrics``, ``intervals`` where it is of one training, ``n``.
        metric: its name.
        interval: whether the text shows the interval.
        bold: whether the entry stands out.
    """
    if not asked(measured, metric):
        return EMPTY
    found = measured["metrics"].get(metric)
    if isinstance(found, Mapping):
        return mean(found, measured["n"], bold=bold)
    low, high = measured.get("intervals", {}).get(metric) or (None, None)
    return single(found, low, high, measured["n"], interval=interval, bold=bold)


def single(
    value: float | None, low: float | None, high: float | None, n: int, *, interval: bool = True, bold: bool = False
) -> Entry:
    """A value with three decimals and its interval."""
    if value is None:
        return NONE
    brief = f"{value:.3f}"
    text = f"{brief} [{low:.2f}, {high:.2f}]" if interval and low is not None else brief
    return Entry(text, bold, brief, value, low, high, n=n)


def mean(found: Mapping[str, Any], n: int | None, *, bold: bool = False, form: str = ".3f") -> Entry:
    """A mean over trainings with its standard deviation, both of them with the decimals (and sign) of ``form``."""
    value, sd = found["mean"], found["sd"]
    if value is None:
        return NONE
    text = f"{value:{form}}" if sd is None else f"{value:{form}} ± {sd:{form.removeprefix('+')}}"
    return Entry(text, bold, value=value, sd=sd, n=n)


def area(
    curves: Sequence[Mapping[str, Any]],
    name: str,
    metric: str,
    seeds: Sequence[int],
    *,
    over: bool,
    versus: bool = False,
) -> Entry:
    """The normalised area of a metric's curve with its interval, or mean and SD of those of several trainings.

    Args:
        curves: of a record, one for each training of a defense; or what they have in ``versus_baseline``, with their
            ``n`` and ``seed``.
        name: ``nauc`` or ``nauc_seed``.
        metric: the metric.
        seeds: those that are averaged.
        over: whether the run has several trainings, so that one alone has no interval either.
        versus: whether they are differences: with their sign, bold where the interval of the only one excludes 0.
    """
    if not curves:
        return EMPTY
    n = curves[0]["n"]
    found = [curve[name][metric] for curve in curves if curve["seed"] in seeds and curve[name].get(metric)]
    if not found:
        return NONE
    if over:
        values = [one["value"] for one in found]
        spread = {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}
        return mean(spread, n, form="+.3f" if versus else ".3f")
    if versus:
        return signed(found[0], n, bold=excludes_0(found[0]["interval"])) or NONE
    low, high = found[0]["interval"] or (None, None)
    return single(found[0]["value"], low, high, n)


def signed(found: Mapping[str, Any], n: int, *, bold: bool = False) -> Entry | None:
    """A paired difference with its interval; None where there is none.

    Args:
        found: ``{"value", "interval"}``, or nothing.
        n: how many samples it was measured on.
        bold: whether it stands out.
    """
    if not found:
        return None
    value, interval = found["value"], found["interval"]
    low, high = interval or (None, None)
    brief = f"{value:+.3f}"
    text = brief if low is None else f"{brief} [{low:+.2f}, {high:+.2f}]"
    return Entry(text, bold, brief, value, low, high, n=n)
