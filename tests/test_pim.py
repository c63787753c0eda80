"""Gradient regularization: the direction, the second pass, and training with it."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from conftest import TINY
from detectors import noise_images, small_detector
from torch import Tensor, nn

from dfbench.config import parse_defense
from dfbench.contracts import Dataset, Defense, TrainContext
from dfbench.errors import TrainingError, UsageError
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.train import train
from dfbench_defenses.pim import PIM

TIMM = "timm(name={}, weights=none)"
HYBRID = "hybrid(width=32, layers=1, heads=2, weights=none)"
NEXT = "backbone.net.blocks.1"
"""What the site's output goes into, in EfficientNets."""


def build(text: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return load_registry().component("model", text).build().train()


def pim(**params: Any) -> Defense:
    text = ", ".join(f"{name}={value}" for name, value in params.items())
    made: Defense = load_registry().component("defense", f"pim({text})").build()
    return made


def context_of(model: nn.Module, objective: Defense | None, **more: Any) -> TrainContext:
    context = TrainContext(model, nn.CrossEntropyLoss(), 2, 10, seed=0, **more)
    if objective is not None:
        objective.setup(context)
        context.objectives = (objective,)
    return context


def clean(context: TrainContext, x: Tensor, y: Tensor) -> Tensor:
    """One pass's clean loss, from the same random numbers every time."""
    torch.manual_seed(1)
    return context.terms(x, lambda logits: {"clean": context.criterion(logits, y)})["clean"]


def some(count: int, size: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return noise_images(count, size).to(dtype), torch.arange(count) % 2


def spread(f: Tensor) -> Tensor:
    """Means and deviations (B, 2C) of a map, written out."""
    centred = f - f.mean((2, 3), keepdim=True)
    return torch.cat([f.mean((2, 3)), centred.square().mean((2, 3)).sqrt()], 1)


def measured_delta(context: TrainContext, x: Tensor, y: Tensor, following: str = NEXT) -> Tensor:
    """How far the second pass's statistics are from the first's (B, 2C), seen from the module after the site."""
    inputs: list[Tensor] = []
    handle = context.model.get_submodule(following).register_forward_pre_hook(
        lambda module, args: inputs.append(args[0].detach())
    )
    clean(context, x, y)
    handle.remove()
    first, second = inputs
    return spread(second) - spread(first)


def entries(channels: int) -> list[int]:
    """Six of the means and six of the deviations."""
    return [*range(0, channels, channels // 6)][:6] + [*range(channels, 2 * channels, channels // 6)][:6]


def differences(model: nn.Module, site: str, x: Tensor, y: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences (12,) of the loss in some statistics of the first sample, by the definition of the method."""
    context = context_of(model, None)
    move = torch.zeros(0)

    def hook(module: nn.Module, args: Any, f: Tensor) -> Tensor:
        mu, sigma = spread(f)[:, :, None, None].chunk(2, 1)
        d_mu, d_sigma = torch.zeros_like(mu), torch.zeros_like(sigma)
        d_mu[0, :, 0, 0], d_sigma[0, :, 0, 0] = move.chunk(2)
        return (f - mu) / sigma * (sigma + d_sigma) + (mu + d_mu)

    channels = {}
    probe = model.get_submodule(site).register_forward_hook(lambda m, a, f: channels.__setitem__("n", f.shape[1]))
    with torch.no_grad():
        clean(context, x, y)
        probe.remove()
        handle = model.get_submodule(site).register_forward_hook(hook)
        slopes = []
        for i in entries(channels["n"]):
            values = []
            for sign in (1, -1):
                move = torch.zeros(2 * channels["n"], dtype=x.dtype)
                move[i] = sign * step
                values.append(clean(context, x, y).item())
            slopes.append((values[0] - values[1]) / (2 * step))
        handle.remove()
    return torch.tensor(slopes, dtype=x.dtype)


@pytest.mark.parametrize("name, size", [(TIMM.format("test_efficientnet"), 64), (HYBRID, 96)], ids=["timm", "hybrid"])
def test_the_direction_is_the_gradient_of_the_loss_by_finite_differences(name: str, size: int) -> None:
    model = build(name).double()
    x, y = some(2, size, torch.float64)
    delta = measured_delta(context_of(model, pim(r=1e-3)), x, y)[0]
    got = delta[entries(len(delta) // 2)]
    expected = differences(model, model.shallow_layer, x, y)
    for part in (slice(None), slice(0, 6), slice(6, 12)):  # both, means, deviations
        assert float(torch.cosine_similarity(got[part], expected[part], dim=0)) > 0.99


def test_the_direction_of_the_formulation_that_cancels_is_nothing() -> None:
    """With mu and sigma as the variables that also build f_norm, what is left of the gradient is rounding."""
    model = build(TIMM.format("test_efficientnet")).double()
    x, y = some(4, 64, torch.float64)
    leaves: list[Tensor] = []

    def cancelling(module: nn.Module, args: Any, f: Tensor) -> Tensor:
        mu, sigma = (part.requires_grad_() for part in spread(f.detach())[:, :, None, None].chunk(2, 1))
        leaves.extend((mu, sigma))
        return (f - mu) / sigma * sigma + mu

    context = context_of(model, pim())
    clean(context, x, y)
    ours = context.objectives[0].logged()["pim_gradient"]
    handle = model.get_submodule(model.shallow_layer).register_forward_hook(cancelling)
    theirs = torch.autograd.grad(clean(context_of(model, None), x, y), leaves)
    handle.remove()
    assert float(torch.cat([g.flatten() for g in theirs]).norm()) < 1e-6 * ours


def test_the_loss_rises_along_the_gradient_more_than_along_random_directions_of_equal_norm() -> None:
    model = build(TIMM.format("test_efficientnet"))
    x, y = some(8, 64)
    plain = clean(context_of(model, None), x, y).item()
    along = clean(context_of(model, pim(alpha=1, r=0.2)), x, y).item() - plain
    context = context_of(model, pim(alpha=1, r=0.2, direction="random"))
    rises = []
    for context.step in range(20):
        rises.append(clean(context, x, y).item() - plain)
    assert len(set(rises)) == 20
    assert along > 0
    assert along > max(rises)
    assert along > 3 * abs(sum(rises) / 20)


@pytest.mark.parametrize("direction", ["gradient", "random"])
@pytest.mark.parametrize("scope", ["sample", "batch"])
def test_the_move_has_the_norm_asked_for(direction: str, scope: str) -> None:
    model = build(TIMM.format("test_efficientnet")).double()
    x, y = some(4, 64, torch.float64)
    context = context_of(model, pim(r=0.01, direction=direction, norm_scope=scope))
    delta = measured_delta(context, x, y)
    norms = delta.norm(dim=1) if scope == "sample" else delta.norm()[None]
    assert norms.tolist() == pytest.approx([0.01] * len(norms), rel=1e-4)


def test_the_log_tells_the_relative_size_of_the_move() -> None:
    model = build(TIMM.format("test_efficientnet")).double()
    x, y = some(4, 64, torch.float64)
    context = context_of(model, pim(r=0.01))
    maps: list[Tensor] = []
    with torch.no_grad():
        handle = model.get_submodule(model.shallow_layer).register_forward_hook(lambda m, a, f: maps.append(f))
        clean(context_of(model, None), x, y)
        handle.remove()
    clean(context, x, y)
    expected = float((0.01 / spread(maps[0]).norm(dim=1)).mean())
    assert context.objectives[0].logged()["pim_relative"] == pytest.approx(expected, rel=1e-6)


# --- the second pass ----------------------------------------------------------------------------------------------


def test_both_passes_are_weighted_as_asked() -> None:
    model = build(TIMM.format("test_efficientnet"))
    x, y = some(8, 64)
    first = clean(context_of(model, None), x, y).item()
    second = clean(context_of(model, pim(alpha=1)), x, y).item()
    assert abs(second - first) > 1e-4
    both = clean(context_of(model, pim(alpha=0.25)), x, y).item()
    assert both == pytest.approx(0.75 * first + 0.25 * second, abs=1e-6)


def test_the_gradient_of_the_weights_is_that_of_both_passes() -> None:
    """Against the definition written out: statistics, their gradient and the moved map, all of it differentiable."""
    model, r = build(TIMM.format("test_efficientnet")), 2.0
    site, weights = model.get_submodule(model.shallow_layer), list(model.parameters())
    x, y = some(8, 64)

    def passed(hook: Any) -> Tensor:
        handle = site.register_forward_hook(hook)
        loss = nn.functional.cross_entropy(model(x), y)
        handle.remove()
        return loss

    def of_weights(loss: Tensor) -> Tensor:
        return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, weights, retain_graph=True)])

    maps: list[Tensor] = []
    first = passed(lambda module, args, f: maps.append(f))
    (f,) = maps
    (along,) = torch.autograd.grad(first, f, retain_graph=True)
    f_norm = (f - f.mean((2, 3), keepdim=True)) / f.std((2, 3), correction=0, keepdim=True)
    g = torch.cat([along.sum((2, 3)), (along * f_norm).sum((2, 3))], 1).detach()
    d_mu, d_sigma = (r * g / g.norm(dim=1, keepdim=True))[:, :, None, None].chunk(2, 1)

    def move(module: nn.Module, args: Any, f: Tensor) -> Tensor:
        mu, sigma = f.mean((2, 3), keepdim=True), f.std((2, 3), correction=0, keepdim=True)
        return (f - mu) / sigma * (sigma + d_sigma) + (mu + d_mu)

    expected = 0.75 * of_weights(first) + 0.25 * of_weights(passed(move))
    found = of_weights(clean(context_of(model, pim(alpha=0.25, r=r)), x, y))
    assert float((found - expected).norm() / expected.norm()) < 1e-3


def test_a_move_that_is_lost_to_rounding_stops_training() -> None:
    model, objective = build(TIMM.format("test_efficientnet")), pim(r=1e-3)
    context = context_of(model, objective, precision="bf16")
    context.step = context.steps_per_epoch - 1
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(TrainingError, match=r"rounding in bf16 left [0-9]+% of the move"),
    ):
        clean(context, *some(8, 64))


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_batch_norm_counts_the_images_once(alpha: float) -> None:
    x, y = some(8, 64)
    states = []
    for objective in (None, pim(alpha=alpha)):
        model = build(TIMM.format("test_efficientnet"))
        clean(context_of(model, objective), x, y)
        states.append(dict(model.named_buffers()))
    counted = [name for name in states[0] if name.endswith("num_batches_tracked")]
    assert all(int(states[1][name]) == 1 for name in counted)
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_no_hook_outlasts_a_pass() -> None:
    model = build(TIMM.format("test_efficientnet"))
    clean(context_of(model, pim()), *some(4, 64))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def dropping() -> Any:
    """A network with dropout and with stochastic depth."""
    model = build(TIMM.format("test_efficientnet"))
    model.backbone.net = timm.create_model(
        "test_efficientnet", num_classes=2, drop_rate=0.5, drop_path_rate=0.5
    ).train()
    return model


def test_both_passes_drop_the_same() -> None:
    """Unmoved (r = 0), the second pass is then the first, while other masks give another loss."""
    model = dropping()
    x, y = some(8, 64)
    plain = clean(context_of(model, None), x, y).item()
    assert clean(context_of(model, pim(alpha=1, r=0)), x, y).item() == pytest.approx(plain, abs=1e-6)
    with torch.no_grad():
        other = nn.functional.cross_entropy(model(x), y)
    assert abs(float(other) - plain) > 1e-3


def test_the_random_numbers_after_a_regularised_pass_are_those_after_a_plain_one() -> None:
    model = dropping()
    x, y = some(8, 64)
    states = []
    for objective in (None, pim()):
        clean(context_of(model, objective), x, y)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_vanished_gradient_moves_nothing_and_makes_no_nan() -> None:
    model = build(TIMM.format("test_efficientnet"))
    x, y = some(4, 64)
    context = context_of(model, pim(alpha=1))
    plain = context_of(model, None)
    for each in (context, plain):
        each.criterion = lambda logits, y: 0 * nn.functional.cross_entropy(logits, y) + logits.detach().square().mean()
    assert clean(context, x, y).item() == pytest.approx(clean(plain, x, y).item(), rel=1e-6)


def test_a_gradient_that_vanishes_for_a_whole_epoch_stops_training() -> None:
    model = build(TIMM.format("test_efficientnet"))
    x, y = some(4, 64)
    context = context_of(model, pim())
    context.steps_per_epoch = 3
    context.criterion = lambda logits, y: 0 * nn.functional.cross_entropy(logits, y)
    for context.step in range(2):
        clean(context, x, y)
    context.step = 2
    with pytest.raises(
        TrainingError, match=r"pim: the gradient of the loss at 'backbone.net.blocks.0' vanished in every"
    ):
        clean(context, x, y)


def test_a_loss_that_is_not_finite_is_left_to_the_loop_to_name() -> None:
    model = build(TIMM.format("test_efficientnet"))
    x, y = some(4, 64)
    context = context_of(model, pim())
    context.criterion = lambda logits, y: logits.sum() * float("nan")
    assert bool(clean(context, x, y).isnan())


# --- half precision -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision, dtype", [("fp16", torch.float16), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize("size_of_loss", [1.0, 1e-5])
def test_half_precision_keeps_the_direction_also_of_a_small_loss(
    precision: str, dtype: torch.dtype, size_of_loss: float
) -> None:
    """The gradients that flow back from a loss of 1e-5 are below the smallest number of fp16."""
    model = build(TIMM.format("test_efficientnet"))
    x, y = some(4, 64)
    deltas = []
    for told, enabled in (("fp32", False), (precision, True)):
        context = context_of(model, pim(r=1.0, norm_scope="batch"), precision=told)
        context.criterion = lambda logits, y: size_of_loss * nn.functional.cross_entropy(logits, y)
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            deltas.append(measured_delta(context, x, y).float().flatten())
    assert float(torch.cosine_similarity(*deltas, dim=0)) > 0.9


def test_a_loss_too_large_for_the_first_scale_gets_a_lower_one() -> None:
    model = build(TIMM.format("test_efficientnet"))
    x, y = some(4, 64)
    context = context_of(model, pim(), precision="fp16")
    context.criterion = lambda logits, y: 1e3 * nn.functional.cross_entropy(logits, y)
    with torch.autocast("cpu", dtype=torch.float16):
        assert bool(torch.isfinite(clean(context, x, y)))
    assert context.objectives[0].logged()["pim_gradient"] > 0


# --- the site -----------------------------------------------------------------------------------------------------


def test_a_model_without_shallow_layer_is_an_error_that_names_sites() -> None:
    with pytest.raises(
        UsageError, match=r"names no shallow feature map .*site=.*, for example backbone.net.patch_embed"
    ):
        context_of(build(TIMM.format("test_vit")), pim())


def test_a_site_that_is_no_feature_map_is_an_error_that_names_sites() -> None:
    with pytest.raises(
        UsageError, match=r"site='backbone.net.blocks.99' gives no feature map .*for example backbone.net"
    ):
        context_of(build(TIMM.format("test_efficientnet")), pim(site="backbone.net.blocks.99"))


def test_the_sites_that_are_named_can_be_used() -> None:
    x, y = some(4, 32)
    with pytest.raises(UsageError, match="for example ") as caught:
        context_of(small_detector().train(), pim())
    names = str(caught.value).split("for example ")[1].split(", ")
    assert len(names) >= 2
    for name in names:
        clean(context_of(small_detector().train(), PIM(site=name)), x, y)


def test_looking_for_the_site_leaves_the_model_as_it_is() -> None:
    model = build(TIMM.format("test_efficientnet"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    context_of(model, pim())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


# --- training -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset: Dataset = load_registry().component("dataset", f'folder(path="{faces}", size=64)').build()
    dataset.prepare(str(tmp_path_factory.mktemp("data")), Silent())
    return dataset


def run(data: Dataset, defense: str, state: Path | None = None, observe: Any = lambda row: None) -> tuple[Any, Any]:
    """Train the tiny model with a defense, its recipe shortened."""
    plan = parse_defense(load_registry(), defense)
    model = build(TINY)
    outcome = train(
        model, [component.build() for component in plan.components], plan.recipe, data, seed=0,
        device=torch.device("cpu"), state_file=state or Path(tempfile.mkdtemp()) / "s", progress=Silent(), title="",
        observe=observe,
    )  # fmt: skip
    return model, outcome


SHORT = "epochs=2, batch_size=24, start=''"


@pytest.mark.parametrize("kind", ["none", "pgd-at", "dual", "trades"])
def test_a_composed_training_interrupted_after_an_epoch_ends_in_the_same_weights(
    data: Dataset, tmp_path: Path, kind: str
) -> None:
    def interrupt(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    defense = f"{kind}({SHORT})+pim(r=0.1)"
    whole, outcome = run(data, defense)
    assert outcome["log"][-1]["loss"]["pim_gradient"] > 0
    with pytest.raises(KeyboardInterrupt):
        run(data, defense, tmp_path / "s", interrupt)
    assert len(torch.load(tmp_path / "s", weights_only=True)["log"]) > 0
    resumed, _ = run(data, defense, tmp_path / "s")
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_with_alpha_0_training_is_plain_training_bit_for_bit(data: Dataset) -> None:
    plain, _ = run(data, f"none({SHORT})")
    same, _ = run(data, f"pim({SHORT}, alpha=0)")
    assert all(torch.equal(tensor, same.state_dict()[name]) for name, tensor in plain.state_dict().items())


def test_every_loss_of_a_composed_training_is_regularised(data: Dataset) -> None:
    """Each pass of the detector in training mode is followed by its moved twin."""
    calls: list[int] = []

    class Counting(Defense):
        def setup(self, context: TrainContext) -> None:
            context.model.register_forward_hook(lambda m, a, out: calls.append(len(out)) if m.training else None)

    plan = parse_defense(load_registry(), f"pgd-at({SHORT}, clean_weight=1, precision=fp32)+pim")
    objectives = [Counting(), *(component.build() for component in plan.components)]
    with tempfile.TemporaryDirectory() as folder:
        train(build(TINY), objectives, plan.recipe, data, seed=0, device=torch.device("cpu"),
              state_file=Path(folder) / "s", progress=Silent(), title="")  # fmt: skip
    assert calls == [24] * (2 * 2 * 2 * 2)  # passes twice; clean and attacked; two steps; two epochs


@pytest.mark.parametrize("precision, alpha", [("bf16", 1), ("fp16", 0.5)])
def test_training_works_in_half_precision(data: Dataset, precision: str, alpha: float) -> None:
    _, outcome = run(data, f"pim(epochs=1, batch_size=24, precision={precision}, alpha={alpha})")
    assert outcome["log"][0]["loss"]["pim_gradient"] > 0


def test_the_trained_detector_is_a_plain_one(data: Dataset) -> None:
    model, _ = run(data, "pim(epochs=1, batch_size=16)")
    other = build(TINY, seed=5).eval().to(memory_format=torch.channels_last)
    other.load_state_dict(model.state_dict())
    x, _ = some(4, 64)
    with torch.no_grad():
        assert torch.equal(model(x), other(x))


def test_a_regularised_detector_learns(data: Dataset) -> None:
    _, outcome = run(data, "pim(epochs=8, batch_size=16, lr=1e-2)")
    losses = [row["loss"]["clean"] for row in outcome["log"]]
    assert losses[-1] < losses[0]
    assert max(row["validation"]["auc"] for row in outcome["log"]) > 0.9


def test_pim_is_trained_on_equal_terms_with_the_baseline() -> None:
    registry = load_registry()
    ours, base = (asdict(parse_defense(registry, name).recipe) for name in ("pim", "none"))
    assert ours.pop("precision") == "fp32"  # which "auto" is, but for CUDA
    assert base.pop("precision") == "auto"
    assert ours == base


def test_the_reported_parameters_are_those_that_train() -> None:
    objective = parse_defense(load_registry(), "pim(alpha=0.75, r=0.2, norm_scope=batch)").components[0]
    built = objective.build()
    assert {name: getattr(built, name) for name in objective.params} == objective.params
    assert (objective.params["alpha"], objective.params["r"]) == (0.75, 0.2)
