"""The check of a metric."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfbench.contracts import MetricUndefined, Spec
from dfbench.registry import Component
from dfbench.testing.common import check_pickle, component_of, conforming

Array = np.ndarray[Any, Any]


def check_metric(what: Spec | Component) -> None:
    """One value per replicate; a weight of k counts as k equal samples; order does not matter; inputs stay as they are.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, {})
    with conforming(component) as who:
        metric = component.load()
        rng = np.random.default_rng(0)
        y = np.repeat([0, 1], [23, 17])
        score = np.clip(rng.normal(0.4 + 0.25 * y, 0.2), 0, 1).round(2)  # rounded: ties
        weight = np.vstack([np.ones(40, dtype=np.int64), rng.multinomial(40, np.full(40, 1 / 40), size=5)])
        kept = y.copy(), score.copy(), weight.copy()
        values = np.asarray(metric(y, score, weight))
        assert all(map(np.array_equal, kept, (y, score, weight))), f"{who} changes its inputs"
        assert values.shape == (6,), f"{who} returns shape {values.shape} for weights (6, 40); it must be (6,)"
        assert np.isfinite(values[0]), f"{who} has no value on 40 ordinary samples"
        _check_same(values, metric(y, score, weight), f"{who} gives another value when computed again")
        order = rng.permutation(40)
        _check_same(values, metric(y[order], score[order], weight[:, order]), f"{who} depends on the order of samples")
        for row, value in zip(weight, values, strict=True):
            one = np.ones((1, row.sum()), dtype=np.int64)
            repeated = metric(np.repeat(y, row), np.repeat(score, row), one)
            _check_same(value[None], repeated, f"{who} takes a weight of k for something else than k equal samples")
        for label in (0, 1):
            _check_one_class(metric, np.full(5, label), who)
        check_pickle(component, who)


def _check_one_class(metric: Any, y: Array, who: str) -> None:
    try:
        values = np.asarray(metric(y, np.linspace(0, 1, len(y)), np.ones((2, len(y)), dtype=np.int64)))
    except MetricUndefined:
        return
    except Exception as error:
        raise AssertionError(f"{who} fails on samples of one class: raise MetricUndefined (got {error!r})") from error
    assert not np.isinf(values).any(), f"{who} is infinite on samples of one class: raise MetricUndefined"


def _check_same(expected: Array, got: Array, message: str) -> None:
    assert np.allclose(expected, got, rtol=1e-9, atol=1e-12, equal_nan=True), f"{message} ({expected} and {got})"
