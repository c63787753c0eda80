"""A published grid of eps (FGSM at four bounds, PGD and MIFGSM at three, and clean images) on EfficientNet at 64 x 64:
all cells together, and the same cells one by one through torchattacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torchattacks
from torch import Tensor, nn

from dfbench.contracts import Attack, Sample, Split
from dfbench.evaluate import Scene, score_cells
from dfbench.loader import Loader
from dfbench.rng import SampleRng
from dfbench.threat import checked
from dfbench.view import ModelView
from dfbench_attacks.gradient import FGSM, MIFGSM, PGD
from dfbench_models.classifiers import EfficientNet

COUNT, BATCH, SIZE, STEPS = 256, 32, 64, 5
SMALL, LARGE = (0.0001, 0.0005, 0.0010), (0.001, 0.005, 0.010, 0.015)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDS = {"rounds": 1, "warmup_rounds": 0, "iterations": 1}

OURS: dict[str, Attack] = {
    **{f"fgsm {eps}": FGSM(eps) for eps in LARGE},
    **{f"pgd {eps}": PGD(eps, steps=STEPS, rel_alpha=0.2, random_start=False) for eps in SMALL},
    **{f"mifgsm {eps}": MIFGSM(eps, steps=STEPS, rel_alpha=0.2) for eps in SMALL},
}


def theirs(model: nn.Module) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    steps = {"steps": STEPS}
    return {
        **{f"fgsm {eps}": torchattacks.FGSM(model, eps=eps) for eps in LARGE},
        **{
            f"pgd {eps}": torchattacks.PGD(model, eps=eps, alpha=0.2 * eps, random_start=False, **steps)
            for eps in SMALL
        },
        **{f"mifgsm {eps}": torchattacks.MIFGSM(model, eps=eps, alpha=0.2 * eps, **steps) for eps in SMALL},
    }


class Images(Split):
    """Smooth noise, labelled as the model sees it: right on all of them, until it is attacked."""

    def __init__(self, model: nn.Module) -> None:
        coarse = torch.rand(COUNT, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 1)
        self.images = (smooth * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        self.samples = [Sample(str(number), 0, str(number)) for number in range(COUNT)]
        with torch.inference_mode():
            labels = torch.cat([model(batch.x).argmax(1) for batch in Loader(self, BATCH, DEVICE).epoch()])
        self.samples = [Sample(str(number), int(label), str(number)) for number, label in enumerate(labels)]

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray:
        return self.images[index]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = EfficientNet().eval().to(DEVICE)
    # A head that tells the images apart: centred on them, and of both classes.
    with torch.no_grad():
        coarse = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(DEVICE)
        images = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(0, 1)
        model.backbone.net.classifier.bias -= model(images).mean(0)
        model.backbone.net.classifier.weight *= 10
        model.backbone.net.classifier.bias *= 10
    return model


@pytest.fixture(scope="module")
def split(model: nn.Module) -> Images:
    return Images(model)


class Silent:
    """No progress."""

    def task(self, title: str, total: int) -> nullcontext:
        return nullcontext(lambda *_: None)


def together(model: nn.Module, split: Split) -> dict[str, float]:
    """As ``dfbench run`` does it: prepared view, post-conditions, scores of every cell."""
    scenes = [Scene("none", None, "none", None), *(Scene(name, one, "none", None) for name, one in OURS.items())]
    scores, failures = score_cells(
        model, scenes, split, batch_size=BATCH, seed=0, device=DEVICE, progress=Silent(), title=""
    )
    assert not failures
    frames = {scene.attack_label: cell.frame for scene, cell in scores.items()}
    return {name: float(((f["score"] >= 0.5) == f["label"]).mean()) for name, f in frames.items()}


def exactly(model: nn.Module, split: Split) -> Iterator[dict[str, Tensor]]:
    """The images of each batch, on the model's own arithmetic, with post-conditions; every cell is scored."""
    view = ModelView(model, exact=True)
    for batch in Loader(split, BATCH, DEVICE).epoch():
        rng = SampleRng(0, batch.ids)
        with view.remembering():
            images = {name: checked(one, view, batch.x, batch.y, rng) for name, one in OURS.items()}
        with torch.inference_mode():
            for x in (batch.x, *images.values()):
                model(x)
        yield images


def one_by_one(model: nn.Module, split: Split) -> dict[str, float]:
    """A loop over the split for each cell."""
    attacks = {"none": lambda x, y: x, **theirs(model)}
    accuracy = {}
    for name, attack in attacks.items():
        right = 0
        for batch in Loader(split, BATCH, DEVICE).epoch():
            x = attack(batch.x, batch.y)
            with torch.inference_mode():
                right += int((model(x).argmax(1) == batch.y).sum())
        accuracy[name] = right / COUNT
    return accuracy


@pytest.mark.benchmark(group=f"grid of eps, 11 cells, {COUNT} images of {SIZE} x {SIZE}")
class TestGrid:
    def test_dfbench(self, benchmark, model, split) -> None:
        benchmark.pedantic(together, (model, split), **ROUNDS)

    def test_dfbench_exact_view(self, benchmark, model, split) -> None:
        benchmark.pedantic(lambda: list(exactly(model, split)), **ROUNDS)

    def test_torchattacks_one_by_one(self, benchmark, model, split) -> None:
        benchmark.pedantic(one_by_one, (model, split), **ROUNDS)


def test_accuracies_are_those_of_torchattacks(model, split) -> None:
    ours, expected = together(model, split), one_by_one(model, split)
    assert ours.keys() == expected.keys()
    assert ours == pytest.approx(expected, abs=0.02)
    assert expected["none"] == 1
    assert min(expected.values()) < 0.9


def test_images_of_the_exact_view_are_those_of_torchattacks_bit_for_bit(model, split) -> None:
    attacks = theirs(model)
    for batch, images in zip(Loader(split, BATCH, DEVICE).epoch(), exactly(model, split), strict=True):
        for name, x in images.items():
            assert torch.equal(x, attacks[name](batch.x, batch.y)), name
