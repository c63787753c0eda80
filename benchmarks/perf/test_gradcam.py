"""The logits and the Grad-CAM map of each image of a batch, beside the forward pass that gives the logits alone, and
captum.

The map costs the backward pass as far as the CAM layer: little where that layer is near the end (EfficientNet), about a
forward pass where most of the model lies behind it (the Transformer of the hybrid in its first width).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from dfbench.gradcam import explained
from dfbench_models.classifiers import EfficientNet
from dfbench_models.hybrid import Hybrid, HybridSeed

BATCH = 8
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDS = {"rounds": 5, "warmup_rounds": 1, "iterations": 1}


@functools.cache
def detector(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().to(DEVICE).eval()


@torch.inference_mode()
def forward(model: nn.Module, x: Tensor) -> None:
    model(x)


def captum(model: nn.Module, x: Tensor) -> None:
    target = model(x).argmax(1)
    LayerGradCam(model, model.get_submodule(str(model.cam_layer))).attribute(x, target, relu_attributions=True)


class Maps:
    """The rows of one table."""

    kind: type[nn.Module]
    size: int

    def test_logits(self, benchmark) -> None:
        self.measure(benchmark, forward)

    def test_logits_and_maps(self, benchmark) -> None:
        self.measure(benchmark, explained)

    def test_logits_and_maps_of_captum(self, benchmark) -> None:
        self.measure(benchmark, captum)

    def measure(self, benchmark, what: Callable[[nn.Module, Tensor], object]) -> None:
        model = detector(self.kind)
        x = torch.rand(BATCH, 3, self.size, self.size, generator=torch.Generator().manual_seed(0)).to(DEVICE)

        def run() -> None:
            what(model, x)
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()

        benchmark.pedantic(run, **ROUNDS)


@pytest.mark.benchmark(group=f"Grad-CAM, {BATCH} images, efficientnet at 224 x 224")
class TestEfficientNet(Maps):
    kind, size = EfficientNet, 224


@pytest.mark.benchmark(group=f"Grad-CAM, {BATCH} images, hybrid at 96 x 96")
class TestHybridSmall(Maps):
    kind, size = Hybrid, 96


@pytest.mark.benchmark(group=f"Grad-CAM, {BATCH} images, hybrid at 224 x 224")
class TestHybrid(Maps):
    kind, size = Hybrid, 224


@pytest.mark.benchmark(group=f"Grad-CAM, {BATCH} images, hybrid-seed at 224 x 224")
class TestHybridSeed(Maps):
    kind, size = HybridSeed, 224
