"""The strong ensemble and its members: as strong as torchattacks' ports of AutoAttack's parts, within their budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
import torchattacks
from conftest import TINY
from detectors import noise_images, own_labels, small_detector
from scipy.optimize import linprog
from torch import Tensor, nn
from trained import detector, faces, fit

from dfbench.adaptive import LOSSES, AdaptiveView, margin
from dfbench.breaking import Pursuit, doubt
from dfbench.contracts import Attack
from dfbench.errors import ContractError
from dfbench.registry import load_registry
from dfbench.rng import SampleRng
from dfbench.square import square
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks.apgd import APGD, ApgdSearch, checkpoints
from dfbench_attacks.fab import FAB, to_hyperplane
from dfbench_attacks.square import Square
from dfbench_attacks.strong import Strong

N, STEPS, QUERIES = 48, 20, 60
HARD = 8 / 255
"""What the hardened detector was trained against."""
SCENES = [(0.0, 4 / 255), (0.0, 5 / 255), (HARD, 12 / 255)]
"""Detectors, by what they were trained against, and bounds at which some samples break and some do not."""
PEERS: dict[str, Callable[[nn.Module, float], torchattacks.attack.Attack]] = {
    "apgd": lambda model, eps: torchattacks.APGD(model, eps=eps, steps=STEPS),
    "fab": lambda model, eps: torchattacks.FAB(model, eps=eps, steps=STEPS, n_classes=2),
    "square": lambda model, eps: torchattacks.Square(model, eps=eps, n_queries=QUERIES),
}
"""The components of AutoAttack as torchattacks ports them, at equal steps and queries."""
OURS: list[tuple[str, Callable[[float], Attack]]] = [
    ("apgd", lambda eps: APGD(eps, STEPS)),
    ("apgd", lambda eps: APGD(eps, STEPS, loss="ce")),
    ("fab", lambda eps: FAB(eps, STEPS)),
    ("square", lambda eps: Square(eps, QUERIES)),
]


def ids(count: int) -> list[str]:
    return [f"sample {number}" for number in range(count)]


def run(attack: Attack, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, ModelView]:
    view = ModelView(model)
    return checked(attack, view, x, y, SampleRng(0, ids(len(x)))), view


def right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        answers: Tensor = model(x).argmax(1) == y
    return answers


def theirs(name: str, model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Which samples withstand a component of torchattacks; what it finds beyond eps does not count."""
    x_adv = PEERS[name](model, eps)(x, y)
    far = (x_adv - x).abs().flatten(1).amax(1) > eps + 1e-6
    return right(model, torch.where(far[:, None, None, None], x, x_adv), y)


@cache
def withstood(name: str, trained_with: float, eps: float) -> Tensor:
    return theirs(name, detector(trained_with), *faces(N, seed=7), eps)


# --- strength -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, ours", OURS)
def test_each_member_is_as_strong_as_its_counterpart_in_torchattacks(
    name: str, ours: Callable[[float], Attack]
) -> None:
    """To two samples of all 144: random starts differ, and so does what becomes of samples just at the border."""
    mine = other = 0
    for trained_with, eps in SCENES:
        model, (x, y) = detector(trained_with), faces(N, seed=7)
        mine += int(right(model, run(ours(eps), model, x, y)[0], y).sum())
        other += int(withstood(name, trained_with, eps).sum())
    assert mine <= other + 2


@pytest.mark.parametrize("trained_with, eps", SCENES)
def test_the_ensemble_is_as_strong_as_all_of_torchattacks_components_together(trained_with: float, eps: float) -> None:
    model, (x, y) = detector(trained_with), faces(N, seed=7)
    x_adv, _ = run(Strong(eps, STEPS, queries=QUERIES), model, x, y)
    together = torch.stack([withstood(name, trained_with, eps) for name in PEERS]).all(0)
    assert 0 < int(together.sum()) < N
    assert int(right(model, x_adv, y).sum()) <= int(together.sum())


@pytest.mark.slow
@pytest.mark.parametrize("trained_with, eps", [(0.0, 2.5 / 255), (0.0, 3 / 255), (2 / 255, 5 / 255)])
def test_the_ensemble_is_as_strong_as_torchattacks_on_a_real_architecture(trained_with: float, eps: float) -> None:
    torch.manual_seed(0)
    model = load_registry().component("model", TINY).build()
    fit(model, steps=60, eps=trained_with, size=64, lr=3e-3)
    x, y = faces(32, seed=7, size=64)
    x_adv, _ = run(Strong(eps, STEPS, queries=QUERIES), model, x, y)
    together = torch.stack([theirs(name, model, x, y, eps) for name in PEERS]).all(0)
    assert int(right(model, x_adv, y).sum()) <= int(together.sum())


def test_apgd_keeps_the_best_point_of_all_it_looked_at() -> None:
    model, (x, y) = detector(), faces(16, seed=7)
    view, seen = ModelView(model), []

    class Seen(ModelView):
        def __call__(self, x: Tensor) -> Tensor:
            logits = super().__call__(x)
            seen.append(margin(logits.detach(), y))
            return logits

    x_adv = APGD(4 / 255, 10, restarts=2)(Seen(model), x, y, SampleRng(0, ids(16)))
    assert len(seen) == 22
    torch.testing.assert_close(margin(view(x_adv), y), torch.stack(seen).amax(0), atol=1e-4, rtol=0)


def test_the_checkpoints_of_apgd_are_those_of_the_paper() -> None:
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


def test_apgd_halves_its_step_where_the_loss_oscillates_and_goes_back_to_the_best_point() -> None:
    x = torch.full((1, 3, 2, 2), 0.5)
    search = ApgdSearch(x, x, eps=0.1, steps=100, loss=LOSSES["margin"])
    best = x
    for number in range(23):
        point = search.ask()
        best = point.clone() if number == 1 else best
        search.tell(torch.tensor([1.0 if number == 1 else -float(number % 2)]), torch.ones_like(x))
    assert float(search.length) == pytest.approx(0.1)
    torch.testing.assert_close(search.best_point, best)


def test_the_step_to_a_hyperplane_is_the_shortest_that_linear_programming_finds() -> None:
    numbers = np.random.default_rng(0)
    for case in range(8):
        x, w = numbers.random(12), numbers.normal(size=12)
        lacking = numbers.normal() * 0.7
        tensors = [torch.from_numpy(one).float().view(1, 3, 2, 2) for one in (x, w)]
        step = to_hyperplane(*tensors, torch.tensor([lacking], dtype=torch.float32)).flatten().double().numpy()
        # Minimise t over (step, t): <w, step> = lacking, |step_i| <= t, 0 <= x + step <= 1.
        rows = np.hstack([np.vstack([np.eye(12), -np.eye(12)]), -np.ones((24, 1))])
        best = linprog([0] * 12 + [1], A_ub=rows, b_ub=np.zeros(24), A_eq=[[*w, 0]], b_eq=[lacking],
                       bounds=[*zip(-x, 1 - x, strict=True), (0, None)])  # fmt: skip
        assert best.status == 0, case
        assert w @ step == pytest.approx(lacking, abs=1e-5)
        assert np.abs(step).max() == pytest.approx(best.fun, abs=1e-5)


def test_a_hyperplane_out_of_reach_or_nowhere_moves_pixels_to_the_border_or_not_at_all() -> None:
    x, w = torch.full((2, 3, 2, 2), 0.25), torch.ones(2, 3, 2, 2)
    w[1] = 0
    step = to_hyperplane(x, w, torch.tensor([100.0, 1.0]))
    torch.testing.assert_close(step[0], torch.full((3, 2, 2), 0.75))
    assert not bool(step[1].any())


# --- cost and what is told ------------------------------------------------------------------------------------------


def test_a_fully_broken_model_costs_at_most_five_backward_passes_per_sample() -> None:
    model, (x, y) = detector(), faces(N, seed=7)
    attack = Strong(8 / 255)
    x_adv, view = run(attack, model, x, y)
    assert not bool(right(model, x_adv, y).any())
    assert view.backwards <= 5 * N
    assert view.forwards <= 6 * N


@pytest.mark.parametrize("restarts, eot", [(1, 1), (2, 1), (1, 2)])
def test_a_model_that_withstands_costs_the_declared_budget_and_no_more(restarts: int, eot: int) -> None:
    model, (x, y) = detector(), faces(8, seed=7)
    attack = Strong(0.1 / 255, steps=4, restarts=restarts, queries=6, eot=eot)
    _, view = run(attack, model, x, y)
    assert (view.forwards / 8, view.backwards / 8) == attack.passes()
    assert attack.passes() == (eot * (1 + restarts * 3 * 5 + 6), eot * restarts * 3 * 4)


def test_the_facts_add_up_to_what_the_model_was_asked() -> None:
    model, (x, y) = detector(), faces(N, seed=7)
    attack = Strong(4 / 255, steps=10, queries=20)
    _, view = run(attack, model, x, y)
    assert sum(attack.facts["forwards"]) == view.forwards
    assert sum(attack.facts["backwards"]) == view.backwards
    assert max(attack.facts["forwards"]) == attack.passes()[0]


def test_the_facts_tell_what_broke_each_sample_and_when() -> None:
    model, (x, y) = detector(), faces(N, seed=7)
    attack = Strong(4 / 255, steps=10, queries=20)
    x_adv, _ = run(attack, model, x, y)
    answers = right(model, x_adv, y).tolist()
    assert {"apgd-margin", ""} <= set(attack.facts["broken_by"]) <= {"apgd-margin", "apgd-ce", "fab", "square", ""}
    for by, at, answer in zip(attack.facts["broken_by"], attack.facts["broken_at"], answers, strict=True):
        assert answer == (by == "") == (at == -1)


def test_what_is_wrong_without_an_attack_costs_one_forward_pass_and_stays_as_it_is() -> None:
    model, (x, y) = detector(), faces(8, seed=7)
    attack = Strong(8 / 255)
    x_adv, view = run(attack, model, x, 1 - y)
    assert torch.equal(x_adv, x)
    assert (view.forwards, view.backwards) == (8, 0)
    assert attack.facts["broken_by"] == ["clean"] * 8
    assert attack.facts["broken_at"] == [0] * 8


@pytest.mark.parametrize("attack", [Strong(4 / 255, steps=10, queries=20), Square(24 / 255, queries=20)])
def test_neither_batch_size_nor_order_changes_what_becomes_of_a_sample(attack: Attack) -> None:
    model, (x, y) = detector(), faces(N, seed=7)
    names = ids(N)
    x_adv, _ = run(attack, model, x, y)
    whole = dict(attack.facts)
    for rows in (list(range(N))[::-3], [5]):
        again = attack(ModelView(model), x[rows], y[rows], SampleRng(0, [names[i] for i in rows]))
        assert float(((again - x_adv[rows]).abs() > 1e-6).float().mean()) < 0.02  # pixels that rounding turns
        for column, values in attack.facts.items():
            assert values == [whole[column][i] for i in rows], column


def test_a_sample_leaves_only_when_rounding_cannot_turn_it_back() -> None:
    model, (x, y) = detector(), faces(N, seed=7)
    attack = Strong(4 / 255, steps=10, queries=20)
    x_adv, view = run(attack, model, x, y)
    spent = torch.tensor(attack.facts["forwards"])
    with torch.no_grad():
        logits = view(x_adv)
    early = spent < attack.passes()[0]
    assert bool(early.any())
    assert bool((margin(logits, y) > 0.9 * doubt(logits))[early].all())


class _Barely(nn.Module):
    """A detector whose margin cannot rise above a thousandth, which may be rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        z = (x.mean((1, 2, 3)) - 0.501).clamp(max=0.001) * self.scale
        return torch.stack([-z / 2, z / 2], 1)


def test_a_sample_that_is_wrong_by_no_more_than_rounding_is_attacked_to_the_end_and_counts_as_broken() -> None:
    x, y = torch.full((2, 3, 8, 8), 0.5), torch.zeros(2, dtype=torch.long)
    attack = Strong(8 / 255, steps=4, queries=6)
    x_adv, view = run(attack, _Barely(), x, y)
    assert view.forwards == 2 * attack.passes()[0]
    assert attack.facts["broken_by"] == ["apgd-margin"] * 2
    assert not bool(right(_Barely(), x_adv, y).any())


# --- models that mislead gradients ----------------------------------------------------------------------------------


class _Behind(nn.Module):
    """A detector between a function of the image and one of its logits."""

    def __init__(self, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.before, self.after = detector(), before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.model(self.before(x)))


def test_saturated_logits_leave_the_cross_entropy_without_a_gradient_and_the_margin_with_one() -> None:
    model, (x, y) = _Behind(lambda x: x, lambda z: 1000 * z), faces(16, seed=7)
    assert bool(right(model, run(APGD(8 / 255, 10, loss="ce"), model, x, y)[0], y).all())
    attack = Strong(8 / 255, steps=10, queries=20)
    assert not bool(right(model, run(attack, model, x, y)[0], y).any())
    assert set(attack.facts["broken_by"]) == {"apgd-margin"}


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return (x * 32).round() / 32

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        return torch.zeros_like(grads[0])


def test_a_zero_gradient_leaves_a_sample_to_square() -> None:
    model, (x, y) = _Behind(_Steps.apply, lambda z: z), faces(16, seed=7)
    attack = Strong(32 / 255, steps=4, queries=300)
    x_adv, _ = run(attack, model, x, y)
    assert "square" in attack.facts["broken_by"]
    assert int(right(model, x_adv, y).sum()) < 16


def test_logits_that_are_not_numbers_are_an_error() -> None:
    model, (x, y) = _Behind(lambda x: x, lambda z: z / 0), faces(2, seed=7)
    with pytest.raises(ContractError, match="NaN or infinite"):
        Strong()(ModelView(model, exact=True), x, y, SampleRng(0, ids(2)))


# --- the ball, and Square ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [APGD(steps=5), FAB(steps=5), Square(queries=20), Strong(steps=5, queries=20)])
def test_images_stay_in_the_ball_and_in_the_unit_range_at_its_border(attack: Attack) -> None:
    model, x = small_detector(), noise_images(8)
    x[0], x[1] = 0, 1
    run(attack, model, x, own_labels(model, x))  # checked


@pytest.mark.parametrize("attack", [APGD(eps=0), FAB(eps=0), Square(eps=0), Strong(eps=0)])
def test_eps_zero_returns_equal_images_that_are_no_alias(attack: Attack) -> None:
    model, x = small_detector(), noise_images(2)
    x_adv = attack(ModelView(model), x, own_labels(model, x), SampleRng(0, ids(2)))
    assert torch.equal(x_adv, x)
    assert x_adv is not x


def test_square_asks_about_named_samples_that_still_stand_and_takes_no_gradient() -> None:
    model, (x, y) = detector(), faces(16, seed=7)
    asked: list[tuple[str, ...]] = []
    wrong: dict[str, int] = {}

    def logits_of(x: Tensor, names: list[str]) -> Tensor:
        assert not torch.is_grad_enabled()
        assert len(x) == len(names)
        logits = model(x)
        for row in (logits.argmax(1) != y[[int(name.split()[1]) for name in names]]).nonzero().flatten().tolist():
            wrong.setdefault(names[row], len(asked))
        asked.append(tuple(names))
        return logits

    found = square(logits_of, x, y, SampleRng(0, ids(16)), eps=24 / 255, queries=60)
    assert len(asked) == 61
    assert asked[0] == asked[1] == tuple(ids(16))
    assert 0 < len(asked[-1]) < 16
    assert found.broken_at.tolist() == [wrong.get(name, -1) for name in ids(16)]
    assert torch.equal(found.broken_at < 0, right(model, found.x_adv, y))


def test_a_later_start_goes_on_counting_where_the_one_before_it_ended() -> None:
    model, (x, y) = detector(), faces(8, seed=7)
    pursuit = Pursuit(AdaptiveView(ModelView(model), None, SampleRng(0, ids(8))).answer, x, y, eps=0.5)
    pursuit.chase("again", lambda rows: ApgdSearch(x, x, eps=0.5, steps=1, loss=margin), offset=7)
    assert pursuit.broken_at.tolist() == [9] * 8  # the second image that it asked about


def test_square_changes_pixels_by_eps_or_not_at_all() -> None:
    model, (x, y) = detector(), faces(8, seed=7)
    x = x.clamp(0.2, 0.8)
    x_adv, _ = run(Square(0.1, queries=50), model, x, y)
    moved = (x_adv - x).abs()
    assert bool(((moved < 1e-6) | ((moved - 0.1).abs() < 1e-6)).all())
    assert bool(moved.any())
