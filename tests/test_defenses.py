from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from detectors import noise_images, own_labels, small_detector
from torch import nn

from dfbench.config import parse_defense
from dfbench.contracts import Batch, Dataset, TrainContext
from dfbench.perturbation import OBJECTIVES, attacker_loss, low_frequency_energy, total_variation
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.rng import SampleRng, derive_seed
from dfbench.train import train
from dfbench_defenses.adversarial import PGDTraining
from dfbench_defenses.agreement import Consistency, Trades, jensen_shannon, kl
from dfbench_defenses.curriculum import Curriculum
from dfbench_defenses.dual import Dual, deal
from dfbench_defenses.mixup import Mixup


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


# --- agreement of clean and attacked predictions ------------------------------------------------------------------


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    return torch.softmax(logits.double(), 1)


def test_the_divergences_are_those_of_the_definitions() -> None:
    one, other = (torch.randn(50, 2, generator=torch.Generator().manual_seed(i)) * 3 for i in (0, 1))
    p, q = probabilities(one), probabilities(other)
    m = (p + q) / 2
    torch.testing.assert_close(kl(one, other).double(), (p * (p / q).log()).sum(1), rtol=1e-4, atol=1e-6)
    expected = ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1)) / 2
    torch.testing.assert_close(jensen_shannon(one, other).double(), expected, rtol=1e-4, atol=1e-6)


def test_the_jensen_shannon_divergence_is_symmetric_and_at_most_ln_2() -> None:
    sure = torch.tensor([[200.0, -200.0], [0.0, 0.0]])
    opposite = torch.tensor([[-200.0, 200.0], [0.0, 0.0]])
    assert jensen_shannon(sure, opposite).tolist() == pytest.approx([math.log(2), 0], abs=1e-6)
    assert torch.equal(jensen_shannon(sure, opposite), jensen_shannon(opposite, sure))


def published_trades(model: nn.Module, x: torch.Tensor, start: torch.Tensor, eps: float, alpha: float) -> torch.Tensor:
    """The attack of TRADES as its paper describes it, ten steps, written out."""
    clean = probabilities(model(x)).detach().float()
    attacked = (x + start).detach()
    for _ in range(10):
        attacked.requires_grad_()
        log_q = torch.log_softmax(model(attacked), 1)
        (grad,) = torch.autograd.grad((clean * (clean.log() - log_q)).sum(), attacked)
        attacked = attacked.detach() + alpha * grad.sign()
        attacked = torch.min(torch.max(attacked, x - eps), x + eps).clamp(0, 1)
    return attacked


def test_the_attack_of_trades_at_the_published_values_is_the_published_one() -> None:
    model = small_detector()
    objective, some = Trades(eps=8 / 255, eps_start=8 / 255, steps=10, alpha=2 / 255), batch(model)
    objective.setup(context(model))
    got = objective.perturb(some, context(model))
    rng = SampleRng(derive_seed(0, "trades", 0), some.ids)
    start = 0.001 * rng.normal(some.x)
    expected = published_trades(objective.view, some.x, start, 8 / 255, 2 / 255)
    # A gradient near 0 may take either sign in another order of additions: a few pixels may differ, no more.
    assert float((got - expected).abs().gt(1e-6).float().mean()) < 0.01


@pytest.mark.parametrize("kind", [Trades, Consistency])
def test_attacked_images_stay_in_the_ball_and_change_the_prediction(kind: type[Trades] | type[Consistency]) -> None:
    model = small_detector()
    objective, some = kind(eps_start=4 / 255, eps=8 / 255, steps=4), batch(model)
    objective.setup(context(model))
    attacked = objective.perturb(some, context(model))
    assert 3.9 / 255 < float((attacked - some.x).abs().max()) <= 4 / 255 + 1e-6
    noisy = (some.x + 4 / 255 * torch.sign(torch.randn(some.x.shape))).clamp(0, 1)
    with torch.no_grad():
        clean = model(some.x)
        assert kl(clean, model(attacked)).mean() > 3 * kl(clean, model(noisy)).mean()


@pytest.mark.parametrize("kind", [Trades, Consistency])
def test_the_terms_are_the_clean_loss_and_the_weighted_divergence(kind: type[Trades] | type[Consistency]) -> None:
    model = small_detector()
    objective, some = kind(steps=2), batch(model)
    objective.setup(context(model))
    attacked = objective.perturb(some, context(model))
    terms = objective.losses(some, context(model))
    clean, moved = model(some.x), model(attacked)
    assert float(terms["clean"].detach()) == pytest.approx(float(nn.functional.cross_entropy(clean, some.y).detach()))
    expected = 6 * kl(clean, moved).mean() if kind is Trades else 12 * jensen_shannon(clean, moved).mean()
    assert float(terms[objective.term].detach()) == pytest.approx(float(expected.detach()), rel=1e-3)


def test_clean_and_attacked_images_are_normalised_together() -> None:
    """One pass: batch norm counts one batch, of both."""
    model = small_detector()
    objective, some = Trades(), batch(model)
    objective.setup(context(model))
    norm = model.train().features[1]
    before = int(norm.num_batches_tracked)
    objective.losses(some, context(model))
    assert int(norm.num_batches_tracked) == before + 1


def test_adversarial_objectives_start_from_the_same_bound_and_recipe() -> None:
    plans = [parse_defense(load_registry(), name) for name in ("pgd-at", "trades", "consistency", "dual")]
    shared = ("eps", "eps_start", "target", "steps", "alpha", "val_eps")
    assert len({tuple(plan.components[0].params[name] for name in shared) for plan in plans}) == 1
    assert len({plan.recipe for plan in plans}) == 1


def test_objectives_composed_draw_different_starts() -> None:
    model = small_detector()
    some, images = batch(model), []
    for objective in (PGDTraining(), Consistency()):
        objective.setup(context(model))
        images.append(objective.perturb(some, context(model)))
    assert not torch.equal(*images)


# --- mixup --------------------------------------------------------------------------------------------------------


def mixed(step: int = 0, alpha: float = 0.2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What mixup gives the detector, its loss, and the images it was made of."""
    model = small_detector()
    seen: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    some, at = batch(model), context(model)
    seen.clear()
    at.step = step
    terms = Mixup(alpha).losses(some, at)
    return seen[0], terms["mixup"].detach(), some.x


def test_mixup_blends_each_image_with_one_other_by_one_share() -> None:
    blended, _, x = mixed()
    a, b = blended.flatten(1), x.flatten(1)
    solution = torch.linalg.lstsq(b.T, a.T).solution.T  # (blended, of each image)
    shares = solution.topk(2, dim=1).values
    torch.testing.assert_close(shares.sum(1), torch.ones(16), rtol=1e-3, atol=1e-3)
    whole = solution.diagonal().isclose(torch.tensor(1.0), atol=1e-3)  # paired with itself
    assert int(whole.sum()) <= 4
    assert len({round(float(s), 3) for s in solution.diagonal()[~whole]}) == 1


def test_mixup_draws_anew_at_each_step_and_the_same_for_the_same_step() -> None:
    assert torch.equal(mixed(step=3)[0], mixed(step=3)[0])
    assert not torch.equal(mixed(step=3)[0], mixed(step=4)[0])


def test_the_mixed_loss_weighs_both_labels_by_their_share() -> None:
    model = small_detector()
    some, at = batch(model), context(model)
    rng = np.random.default_rng(derive_seed(0, "mixup", 0))
    share, partner = float(rng.beta(0.2, 0.2)), rng.permutation(16)
    logits = model(share * some.x + (1 - share) * some.x[partner])
    targets = share * nn.functional.one_hot(some.y, 2) + (1 - share) * nn.functional.one_hot(some.y[partner], 2)
    expected = nn.functional.cross_entropy(logits, targets.float())
    assert float(Mixup().losses(some, at)["mixup"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_mixup_replaces_the_clean_loss() -> None:
    assert Mixup().clean_weight == 0
    assert parse_defense(load_registry(), "mixup").recipe == parse_defense(load_registry(), "none").recipe


# --- training -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("defense", ["trades", "consistency", "mixup", "pgd-at+mixup"])
def test_each_objective_lowers_its_loss_and_gives_a_detector(defense: str, faces: Path, tmp_path: Path) -> None:
    registry = load_registry()
    data: Dataset = registry.component("dataset", f'folder(path="{faces}", size=64)').build()
    data.prepare(str(tmp_path), Silent())
    torch.manual_seed(0)
    model = registry.component("model", TINY).build()
    first, *others = defense.split("+")
    plan = parse_defense(registry, "+".join([f"{first}(epochs=8, batch_size=16, lr=1e-2, start='', ema=0)", *others]))
    outcome = train(
        model, [component.build() for component in plan.components], plan.recipe, data, seed=0,
        device=torch.device("cpu"), state_file=tmp_path / "s", progress=Silent(), title="",
    )  # fmt: skip
    losses = [sum(row["loss"][name] for name in row["loss"] if name in LOSSES) for row in outcome["log"]]
    assert min(losses[-2:]) < losses[0]
    assert max(row["validation"]["auc"] for row in outcome["log"]) > 0.8


LOSSES = ("clean", "trades", "consistency", "mixup", "pgd")
