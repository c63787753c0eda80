from __future__ import annotations

import math

import numpy as np
import pytest

from dfbench_metrics import nauc, nauc_seed

FGSM = (0.001, 0.005, 0.010, 0.015)
PGD = (0.0001, 0.0005, 0.0010)

PUBLISHED = [
    (FGSM, (0.4618489, 0.2477684, 0.0989056, 0.1277308), 0.1902),
    (FGSM, (0.4740994, 0.4648175, 0.3827723, 0.2547095), 0.3727),
    (PGD, (0.2558961, 0.1260492, 0.0683146), 0.1250),
]


@pytest.mark.parametrize("eps, values, area", PUBLISHED)
def test_the_published_areas_come_out_of_their_unrounded_inputs(
    eps: tuple[float, ...], values: tuple[float, ...], area: float
) -> None:
    assert round(nauc_seed(eps, values), 4) == area


def test_a_perfect_detector_has_an_area_of_one() -> None:
    assert nauc((0.0, *FGSM), [1.0] * 5) == pytest.approx(1)


def test_the_published_definition_gives_a_perfect_detector_less_than_one() -> None:
    assert nauc_seed(FGSM, [1.0] * 4) == pytest.approx(0.9333, abs=1e-4)


def test_the_published_definition_leaves_the_clean_point_out() -> None:
    assert nauc_seed((0.0, *PGD), (0.99, 0.3, 0.2, 0.1)) == nauc_seed(PGD, (0.3, 0.2, 0.1))


def test_the_area_is_that_of_the_trapezoids() -> None:
    eps, values = np.array([0, 0.002, 0.003, 0.01]), np.array([0.9, 0.5, 0.2, 0.1])
    assert nauc(eps.tolist(), values.tolist()) == pytest.approx(np.trapezoid(values, eps) / 0.01)


def test_replicates_are_worked_off_together() -> None:
    rows = np.random.default_rng(0).random((4, 50))
    assert np.allclose(nauc((0.0, *PGD), list(rows)), [nauc((0.0, *PGD), one.tolist()) for one in rows.T])


@pytest.mark.parametrize("function", [nauc, nauc_seed])
@pytest.mark.parametrize(
    "eps, values",
    [
        ((0.0, 0.005, 0.001), (1, 1, 1)),
        ((0.0, 0.001, 0.001), (1, 1, 1)),
        ((-0.001, 0.001, 0.005), (1, 1, 1)),
        ((0.0, math.nan, 0.005), (1, 1, 1)),
        ((0.0, 0.001, math.inf), (1, 1, 1)),
        ((0.0, 0.001, 0.005), (1, math.nan, 1)),
        ((0.0, 0.001, 0.005), (1, 1)),
        ((0.0,), (1,)),
        ((), ()),
    ],
    ids=["unsorted", "twice", "negative", "NaN", "infinite", "NaN value", "lengths", "one point", "nothing"],
)
def test_a_faulty_curve_is_refused(function, eps: tuple[float, ...], values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        function(eps, values)


def test_an_area_without_the_clean_point_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the point measured at eps 0"):
        nauc(FGSM, [1.0] * 4)


def test_the_published_definition_needs_two_attacked_points() -> None:
    with pytest.raises(ValueError, match="two points at an eps above 0"):
        nauc_seed((0.0, 0.001), (1.0, 0.5))
