from __future__ import annotations

import pytest
import torch
from detectors import noise_images, own_labels, small_detector
from torch import nn

from dfbench.config import parse_defense
from dfbench.contracts import Batch, TrainContext
from dfbench.perturbation import OBJECTIVES, attacker_loss, low_frequency_energy, total_variation
from dfbench.registry import load_registry
from dfbench_defenses.adversarial import PGDTraining
from dfbench_defenses.curriculum import Curriculum
from dfbench_defenses.dual import Dual, deal


def context(model: nn.Module) -> TrainContext:
    return TrainContext(model, nn.functional.cross_entropy, epochs=4, steps_per_epoch=10, seed=0)


def batch(model: nn.Module, count: int = 16) -> Batch:
    x = noise_images(count)
    return Batch(x, own_labels(model, x), tuple(f"s{i}" for i in range(count)))


def test_the_bound_rises_while_the_detector_copes_and_falls_when_it_does_not() -> None:
    curriculum = Curriculum(low=0.001, high=0.01, target=0.55)
    for _ in range(30):
        curriculum.update(0.3)
    risen = curriculum.eps
    assert 0.001 < risen <= 0.01
    for _ in range(30):
        curriculum.update(0.9)
    assert 0.001 <= curriculum.eps < risen


def test_the_bound_stays_in_its_range() -> None:
    curriculum = Curriculum(low=0.001, high=0.002, target=0.55)
    for _ in range(500):
        curriculum.update(0.0)
    assert curriculum.eps == 0.002
    for _ in range(500):
        curriculum.update(2.0)
    assert curriculum.eps == 0.001


def test_a_detector_at_chance_level_does_not_raise_the_bound() -> None:
    curriculum = Curriculum(low=0.001, high=0.01, target=0.58)
    for _ in range(100):
        curriculum.update(0.693)
    assert curriculum.eps == 0.001


def test_training_images_raise_the_loss_within_the_current_bound() -> None:
    model = small_detector()
    objective, some = PGDTraining(steps=3, eps_start=4 / 255, eps=8 / 255), batch(model)
    objective.setup(context(model))
    attacked = objective.perturb(some, context(model))
    assert float((attacked - some.x).abs().max()) <= 4 / 255 + 1e-6
    loss = nn.functional.cross_entropy
    with torch.no_grad():
        assert loss(model(attacked), some.y) > loss(model(some.x), some.y)


def test_the_attack_follows_the_detector_as_it_changes() -> None:
    model = small_detector()
    objective, some = PGDTraining(), batch(model)
    objective.setup(context(model))
    before = objective.view(some.x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    objective.losses(some, context(model))
    with torch.no_grad():
        assert not torch.allclose(objective.view(some.x), before)
        assert torch.allclose(objective.view(some.x), model.eval()(some.x), atol=1e-4)


def test_the_learned_attacker_gets_the_detectors_gradient_and_learns_to_fool_it() -> None:
    model = small_detector()
    objective = Dual(eps=32 / 255, eps_start=32 / 255, unet_share=1.0, tv=0.0, freq=0.0, attacker_lr=3e-3)
    objective.setup(context(model))
    some = batch(model)
    success = []
    for _ in range(15):
        objective._train_attacker(some, context(model))
        success.append(objective.logged()["attacker_success"])
    assert success[0] <= 0.2
    assert success[-1] >= success[0] + 0.3


def test_the_detector_is_left_alone_by_both_attackers() -> None:
    model = small_detector()
    some = batch(model)
    model.train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    objective = Dual()
    objective.setup(context(model))
    objective.perturb(some, context(model))
    objective._train_attacker(some, context(model))
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_a_dealt_batch_keeps_every_sample_once_and_both_classes_in_proportion() -> None:
    y = torch.tensor([0, 1] * 8)
    some = Batch(torch.arange(16.0).view(16, 1, 1, 1).expand(16, 3, 2, 2), y, tuple(map(str, range(16))))
    first, second = deal(some, 0.25)
    assert (len(first.y), len(second.y)) == (12, 4)
    assert (int(first.y.sum()), int(second.y.sum())) == (6, 2)
    assert sorted((*first.ids, *second.ids), key=int) == list(some.ids)
    for part in (first, second):
        assert [float(x[0, 0, 0]) for x in part.x] == [float(i) for i in part.ids]


def test_the_losses_reach_the_detector_but_not_through_the_images() -> None:
    model = small_detector().train()
    objective, some = Dual(), batch(model)
    objective.setup(context(model))
    losses = objective.losses(some, context(model))
    assert losses.keys() == {"pgd", "unet"}
    for term in losses.values():
        (gradient,) = torch.autograd.grad(term, [next(model.parameters())], retain_graph=True)
        assert float(gradient.abs().sum()) > 0


def test_training_images_stay_in_the_ball_around_the_clean_image_not_around_the_random_start() -> None:
    """Projected around its start, PGD reaches twice the bound."""
    model = small_detector()
    training, some = PGDTraining(eps=8 / 255, eps_start=8 / 255, steps=6, alpha=8 / 255), batch(model)
    training.setup(context(model))
    delta = (training.perturb(some, context(model)) - some.x).abs()
    assert float(delta.max()) <= 8 / 255 + 1e-6
    assert float(delta.max()) > 7.9 / 255


def test_the_seed_preset_has_the_published_values() -> None:
    plan = parse_defense(load_registry(), "dual-seed")
    params = plan.components[0].params
    published = {"eps": 8 / 255, "eps_start": 8 / 255, "steps": 10, "alpha": 2 / 255, "clean_weight": 1.0,
                 "pgd_weight": 1.0, "unet_weight": 1.0, "unet_share": 1.0, "objective": "ce", "attacker_lr": 1e-4,
                 "attacker_weight_decay": 1e-5}  # fmt: skip
    assert {name: params[name] for name in published} == published
    recipe = plan.recipe
    assert (recipe.lr, recipe.weight_decay, recipe.epochs, recipe.optimizer) == (2e-4, 1e-4, 8, "adamw")
    assert (recipe.label_smoothing, recipe.schedule, recipe.clip, recipe.batch_size) == (0.05, "cosine", 1.0, 32)
    assert plan.start is not None
    assert (plan.start.label, plan.start.recipe.lr) == ("none(epochs=8)", 3e-4)


def test_the_seed_presets_weights_are_those_of_the_raw_perturbation() -> None:
    """1e-4 on the raw perturbation, as published, is this much on the perturbation in units of its bound."""
    params = parse_defense(load_registry(), "dual-seed").components[0].params
    eps, delta = 8 / 255, torch.rand(2, 3, 16, 16) * 16 / 255 - 8 / 255
    for weight, term in (("tv", total_variation), ("freq", low_frequency_energy)):
        ours, published = params[weight] * float(term(delta / eps)), 1e-4 * float(term(delta))
        assert ours == pytest.approx(published, rel=1e-4), weight


def test_either_objective_of_the_attacker_pulls_the_margin_down() -> None:
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.5]], requires_grad=True)
    y = torch.tensor([0, 1])
    for objective in OBJECTIVES:
        loss = attacker_loss(logits, y, torch.zeros(2, 3, 8, 8), eps=1.0, tv=0.0, freq=0.0, objective=objective)
        (grad,) = torch.autograd.grad(loss, logits)
        lowered = logits - 0.1 * grad
        margin = (lowered - logits)[torch.arange(2), y] - (lowered - logits)[torch.arange(2), 1 - y]
        assert bool((margin < 0).all()), objective
