"""The check of a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dfbench.contracts import MetricSpec, MetricUndefined, Spec
from dfbench.errors import did_you_mean
from dfbench.registry import Component
from dfbench.testing.common import check_pickle, component_of, conforming

Array = np.ndarray[Any, Any]

_SIMILARITIES = [
    f"cam_{measure}{floor}" for measure in ("pearson", "iinc", "iou") for floor in ("", "_random", "_shuffled")
]
"""Columns that are NaN for samples without a value."""


def check_metric(what: Spec | Component) -> None:
    """One value per replicate; a weight of k counts as k equal samples; order does not matter; inputs stay as they are.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, {})
    with conforming(component) as who:
        metric = component.load()
        rng = np.random.default_rng(0)
        columns = _columns(component, _cell(np.repeat([0, 1], [23, 17]), rng), who)
        weight = np.vstack([np.ones(40, dtype=np.int64), rng.multinomial(40, np.full(40, 1 / 40), size=5)])
        kept = [column.copy() for column in (*columns, weight)]
        values = np.asarray(metric(*columns, weight))
        same = [np.array_equal(a, b, equal_nan=True) for a, b in zip(kept, (*columns, weight), strict=True)]
        assert all(same), f"{who} changes its inputs"
        assert values.shape == (6,), f"{who} returns shape {values.shape} for weights (6, 40); it must be (6,)"
        assert np.isfinite(values[0]), f"{who} has no value on 40 ordinary samples"
        _check_same(values, metric(*columns, weight), f"{who} gives another value when computed again")
        order = rng.permutation(40)
        shuffled = metric(*(column[order] for column in columns), weight[:, order])
        _check_same(values, shuffled, f"{who} depends on the order of samples")
        for row, value in zip(weight, values, strict=True):
            one = np.ones((1, row.sum()), dtype=np.int64)
            repeated = metric(*(np.repeat(column, row) for column in columns), one)
            _check_same(value[None], repeated, f"{who} takes a weight of k for something else than k equal samples")
        for label in (0, 1):
            few = _cell(np.full(5, label), rng)
            _check_scarce(metric, _columns(component, few, who), "samples of one class", who)
        few |= {name: np.full(5, np.nan) for name in _SIMILARITIES}
        _check_scarce(metric, _columns(component, few, who), "samples without a value", who)
        check_pickle(component, who)


def _cell(y: Array, rng: np.random.Generator) -> dict[str, Array]:
    """Columns of a cell's scores, of samples with labels ``y`` (n,)."""
    n = len(y)
    score = np.clip(rng.normal(0.4 + 0.25 * y, 0.2), 0, 1).round(2)  # rounded: ties
    logit = np.log(score.clip(0.01, 0.99) / (1 - score.clip(0.01, 0.99)))
    norms = {"linf": rng.uniform(0, 8 / 255, n), "l2": rng.uniform(0, 3, n)}
    alike = {name: np.where(rng.random(n) < 0.1, np.nan, rng.random(n)) for name in _SIMILARITIES}
    flags = {name: rng.random(n) < 0.3 for name in ("cam_empty_clean", "cam_empty", "flipped")}
    decided = {"worst_score": np.where(rng.random(n) < 0.5, score, 1 - score)}
    decided |= {f"called_{name}": score >= t for name, t in (("eer", 0.45), ("fpr_1pct", 0.8))}
    logits = {"logit_real": -logit / 2, "logit_fake": logit / 2}
    return {"label": y, "score": score, **logits, **norms, **alike, **flags, **decided}


def _columns(component: Component, cell: Mapping[str, Array], who: str) -> list[Array]:
    """What the metric asks for."""
    assert isinstance(component.spec, MetricSpec), f"{who} is no metric"
    for name in component.spec.columns:
        assert name in cell, f"{who} asks for the column {name!r}, which no cell has: {did_you_mean(name, cell)}"
    return [cell[name] for name in component.spec.columns]


def _check_scarce(metric: Any, columns: Sequence[Array], on: str, who: str) -> None:
    try:
        values = np.asarray(metric(*columns, np.ones((2, 5), dtype=np.int64)))
    except MetricUndefined:
        return
    except Exception as error:
        raise AssertionError(f"{who} fails on {on}: raise MetricUndefined (got {error!r})") from error
    assert not np.isinf(values).any(), f"{who} is infinite on {on}: raise MetricUndefined"


def _check_same(expected: Array, got: Array, message: str) -> None:
    assert np.allclose(expected, got, rtol=1e-9, atol=1e-12, equal_nan=True), f"{message} ({expected} and {got})"
