"""Normalisation happens inside the detector, once and only once, on every path that images take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectors import noise_images
from torch import Tensor, nn

from dfbench.contracts import TrainContext
from dfbench.gradcam import grad_cam
from dfbench.rng import SampleRng
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks.gradient import FGSM, MIFGSM, PGD
from dfbench_attacks.unet import UNetAttack
from dfbench_defenses.pim import PIM
from dfbench_models.classifiers import EfficientNet, TimmClassifier
from dfbench_models.hybrid import Hybrid

Y = torch.tensor([0, 1])


def attacked(attack: Callable[[], object], *, exact: bool = False) -> Callable[[nn.Module, Tensor], object]:
    def path(model: nn.Module, x: Tensor) -> object:
        return checked(attack(), ModelView(model, exact=exact), x, Y, SampleRng(0, ["a", "b"]))

    return path


def torchattacks_pgd(model: nn.Module, x: Tensor) -> object:
    pytest.importorskip("torchattacks")
    from dfbench_attacks import adapter

    return attacked(lambda: adapter.PGD(steps=2))(model, x)


def trained(model: nn.Module, x: Tensor) -> None:
    objective = PIM()
    context = TrainContext(model.train(), nn.CrossEntropyLoss(), 1, 2, 0, objectives=(objective,))
    objective.setup(context)
    context.terms(x, lambda logits: {"clean": nn.functional.cross_entropy(logits, Y)})


PATHS: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "scores": lambda model, x: model(x),
    "prepared view": lambda model, x: ModelView(model)(x),
    "exact view": lambda model, x: ModelView(model, exact=True)(x),
    "fgsm": attacked(lambda: FGSM(0.01)),
    "fgsm, exact": attacked(lambda: FGSM(0.01), exact=True),
    "pgd": attacked(lambda: PGD(0.01, steps=2)),
    "mifgsm": attacked(lambda: MIFGSM(0.01, steps=2)),
    "unet": attacked(lambda: UNetAttack()),
    "torchattacks": torchattacks_pgd,
    "grad-cam": lambda model, x: grad_cam(model, x, Y),
    "training with pim": trained,
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "build",
    [
        lambda: EfficientNet(weights="none"),
        lambda: Hybrid(width=64, layers=1, weights="none"),
        lambda: TimmClassifier("resnet18", weights="none"),
    ],
    ids=["efficientnet", "hybrid", "timm"],
)
def test_images_are_normalised_once(build: Callable[[], nn.Module], path: str) -> None:
    model = build().eval()
    given: list[Tensor] = []
    reached: list[Tensor] = []
    first = next(part for part in model.backbone.net.modules() if isinstance(part, nn.Conv2d))
    # Views are copies of the model, and copies keep its hooks.
    model.backbone.register_forward_pre_hook(lambda _, args: given.append(args[0].detach().clone()))
    first.register_forward_pre_hook(lambda _, args: reached.append(args[0].detach().clone()))
    PATHS[path](model, noise_images(2, 96))
    if path == "unet":  # draws without asking the detector: there is nothing to normalise
        PATHS["prepared view"](model, noise_images(2, 96))
    mean, std = model.backbone.mean, model.backbone.std
    assert len(given) == len(reached) > 0
    for x, seen in zip(given, reached, strict=True):
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
        assert torch.allclose(seen, (x - mean) / std, atol=1e-6)


def test_the_normalisation_is_that_of_the_networks_own_weights() -> None:
    import timm

    for name in ("resnet18", "efficientnet_b0"):
        cfg = timm.models.get_pretrained_cfg(name)
        model = TimmClassifier(name, weights="none")
        assert model.backbone.mean.flatten().tolist() == pytest.approx(cfg.mean)
        assert model.backbone.std.flatten().tolist() == pytest.approx(cfg.std)


def test_nothing_outside_of_the_models_normalises() -> None:
    """The mean of ImageNet's first channel stands nowhere else in the sources."""
    root = Path(__file__).parents[1]
    sources = [path for folder in ("harness", "plugins") for path in (root / folder).rglob("*.py")]
    assert len(sources) > 100
    assert [path.name for path in sources if "0.485" in path.read_text(encoding="utf-8")] == []
