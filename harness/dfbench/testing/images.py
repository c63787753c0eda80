"""The checks of attacks and corruptions: post-conditions, determinism, and samples that do not see each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dfbench.contracts import Attack, Batch, Corruption, LearnedAttack, Spec
from dfbench.progress import Silent
from dfbench.registry import Component
from dfbench.rng import SampleRng
from dfbench.testing.common import Detector, check_pickle, component_of, conforming, images, take
from dfbench.threat import checked, checked_corruption
from dfbench.view import ModelView

SEED = 7

Transform = Callable[[Batch], Tensor]


def check_attack(
    what: Spec | Component, *, model: nn.Module | None = None, size: int = 32, batch: Batch | None = None, **params: Any
) -> None:
    """The post-conditions hold, and the result depends on nothing but model, image, label, seed and sample id.

    Args:
        what: the attack's spec, with ``params`` as keywords, or its component.
        model: the detector to attack; a small convolutional one if None.
        size: side of the images.
        batch: images to attack; smooth random ones if None.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, params)
    batch = batch or images(4, size, size)
    with conforming(component) as who:
        view = ModelView(model or Detector(), exact=True)
        attack = _build(component, Attack, who)
        if isinstance(attack, LearnedAttack) and attack.needs_fit:
            _fit(attack, view, batch)
        if "eps" in component.params:
            assert attack.eps == component.params["eps"], f"{who} has eps {attack.eps}: set self.eps to the parameter"

        def run(part: Batch) -> Tensor:
            return checked(attack, view, part.x, part.y, SampleRng(SEED, part.ids), name=component.label)

        # A pixel whose gradient is near zero may turn with the rounding of another batch size; many may not.
        _check_independence(run, batch, who, allowed=0.02)
        _check_zero_eps(component, view, batch)
        check_pickle(component, who)


def check_corruption(what: Spec | Component, *, size: int = 64, **params: Any) -> None:
    """The post-conditions hold, also at odd sizes, and the result depends on nothing but image, seed and sample id.

    Args:
        what: the corruption's spec, with ``params`` as keywords, or its component.
        size: side of the images.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, params)
    with conforming(component) as who:
        corruption = _build(component, Corruption, who)

        def run(part: Batch) -> Tensor:
            return checked_corruption(corruption, part.x, SampleRng(SEED, part.ids), name=component.label)

        _check_independence(run, images(4, size, size), who, allowed=0.0)
        run(images(2, size + 1, size + 5))
        check_pickle(component, who)


def _build(component: Component, base: type, who: str) -> Any:
    built = component.build()
    assert isinstance(built, base), (
        f"{who} builds a {type(built).__name__}; it must be a dfbench.contracts.{base.__name__}"
    )
    return built


def _fit(attack: LearnedAttack, view: ModelView, batch: Batch) -> None:
    def batches(epoch: int) -> Iterator[Batch]:
        yield batch

    attack.fit(view, batches, SEED, Silent())


def _check_independence(run: Transform, batch: Batch, who: str, *, allowed: float) -> None:
    """The same bits again; the same images whatever else is in the batch, and in whatever order.

    ``allowed`` is the share of pixels that rounding may turn when the batch changes.
    """
    torch.manual_seed(1)
    first = run(batch)
    torch.manual_seed(2)
    assert torch.equal(first, run(batch)), f"{who} gives another result when run again: draw random numbers from rng"
    backwards = list(range(len(batch.ids)))[::-1]
    parts = [("in another order", run(take(batch, backwards))[backwards])]
    alone = torch.cat([run(take(batch, [i])) for i in range(len(batch.ids))])
    parts.append(("alone in its batch", alone))
    for where, other in parts:
        turned = float(((first - other).abs() > 1e-4).float().mean())
        assert turned <= allowed, f"{who} treats a sample otherwise {where} ({turned:.1%} of the pixels differ)"


def _check_zero_eps(component: Component, view: ModelView, batch: Batch) -> None:
    """At eps 0 an attack returns its images; ``checked`` compares them."""
    if component.params.get("eps") is None or not any(p.name == "eps" and not p.low for p in component.spec.params):
        return
    attack = Component(component.registered, {**component.params, "eps": 0.0}).build()
    if isinstance(attack, LearnedAttack) and attack.needs_fit:
        _fit(attack, view, batch)
    checked(attack, view, batch.x, batch.y, SampleRng(SEED, batch.ids), name=component.label)
