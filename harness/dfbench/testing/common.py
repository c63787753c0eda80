"""What the checks share: the component under test, a small real detector, images, and errors as assertions."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dfbench.contracts import Batch, Spec, Weights
from dfbench.errors import DfbenchError, MissingDependency
from dfbench.grammar import Expr
from dfbench.plugins import Provider, Registered
from dfbench.registry import Component
from dfbench.schema import bind


def component_of(what: Spec | Component, params: dict[str, Any]) -> Component:
    """The component under test, its parameters bound; a component is taken as it is."""
    if isinstance(what, Component):
        assert not params, "give parameters with a spec; a component has its own"
        return what
    provider = Provider("the package under test", "", "", "")
    return Component(
        Registered(what, provider), bind(Expr(what.name, params), what.params, f"{what.kind} {what.name!r}")
    )


@contextmanager
def conforming(component: Component) -> Iterator[str]:
    """Turns every dfbench error inside into an AssertionError; gives what messages call the component."""
    who = f"the {component.spec.kind} {component.label!r}"
    try:
        yield who
    except MissingDependency:
        raise
    except DfbenchError as error:
        raise AssertionError(str(error)) from error


def check_pickle(component: Component, who: str) -> None:
    """The component and its spec cross to another process unchanged."""
    try:
        again = pickle.loads(pickle.dumps(component))
    except Exception as error:
        raise AssertionError(f"{who} cannot be pickled ({error}): keep to plain values in its spec") from error
    assert again == component, f"{who} is not the same after pickling: keep to plain values in its spec"


class Detector(nn.Module):
    """A small convolutional detector with batch norm and dropout, so that a wrong mode shows."""

    weights = Weights("random")
    cam_layer = "features"
    shallow_layer = "features.2"
    min_size = 8

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.features = nn.Sequential(
                nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16)
            )
            self.head = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2) of images (B, 3, H, W) in [0, 1]."""
        logits: Tensor = self.head(self.features(4 * x - 2).mean((2, 3)))
        return logits


def images(n: int, height: int, width: int, seed: int = 0) -> Batch:
    """``n`` smooth random images with structure at several scales, uint8-exact, labels alternating."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(n, 3, height, width)
    for scale in (4, 8, 32):
        noise = torch.rand(n, 3, scale, scale, generator=generator)
        x += nn.functional.interpolate(noise, (height, width), mode="bilinear", align_corners=False) / 3
    x = (x * 255).round() / 255
    return Batch(x, torch.arange(n) % 2, tuple(f"sample-{i}" for i in range(n)))


def take(batch: Batch, indices: list[int]) -> Batch:
    """Some samples of a batch, in the order given."""
    return Batch(batch.x[indices], batch.y[indices], tuple(batch.ids[i] for i in indices))
