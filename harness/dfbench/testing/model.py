"""The check of a detector."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from dfbench import threat
from dfbench.contracts import Spec
from dfbench.registry import Component
from dfbench.testing.common import check_pickle, component_of, conforming, images
from dfbench.view import ModelView


def check_model(what: Spec | Component, *, size: int | None = None, **params: Any) -> None:
    """The contract holds; samples do not see each other; copies, checkpoints and prepared views are the same model.

    Args:
        what: the model's spec, with ``params`` as keywords, or its component.
        size: side of the images; the model's ``min_size`` if None.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, params)
    with conforming(component) as who:
        model = _build(component)
        assert isinstance(model, nn.Module), f"{who} builds a {type(model).__name__}; it must be an nn.Module"
        modes = [module.training for module in model.modules()]
        size = size or int(getattr(model, "min_size", 64))
        threat.check_model(model, size, name=component.label)
        assert modes == [module.training for module in model.modules()], f"{who} changes its own mode in forward"
        x = images(4, size, size).x
        logits = _logits(model, x)
        _check_equal(logits, _logits(model, x), f"{who} gives other logits when run again in evaluation mode")
        alone = torch.cat([_logits(model, x[i : i + 1]) for i in range(len(x))])
        _check_equal(logits, alone, f"{who} gives a sample other logits when it is alone in its batch")
        _check_equal(logits, _logits(_build(component), x), f"{who} is another model when built again from one seed")
        _check_equal(logits, _logits(copy.deepcopy(model), x), f"{who} is another model when copied")
        _check_equal(
            logits, _logits(_reloaded(component, model), x), f"{who} does not keep all it learns in state_dict()"
        )
        _check_equal(logits, ModelView(model)(x).detach(), f"{who} is another model as a prepared ModelView")
        model.train()
        trained = model(x)
        assert trained.shape == (4, 2), f"{who} returns shape {tuple(trained.shape)} in training mode, not (B, 2)"
        assert trained.requires_grad, f"{who} has no parameter that learns"
        check_pickle(component, who)


def _build(component: Component, seed: int = 0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return component.build()


def _reloaded(component: Component, model: nn.Module) -> nn.Module:
    other: nn.Module = _build(component, seed=1)
    other.load_state_dict(model.state_dict())
    return other


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(x.clone())
    for module, training in modes:
        module.training = training
    return logits


def _check_equal(expected: Tensor, got: Tensor, message: str) -> None:
    scale = float(expected.abs().max()) + 1.0
    distance = float((expected - got).abs().max())
    assert distance <= 1e-4 * scale, f"{message} (they differ by {distance:.3g})"
