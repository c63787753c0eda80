"""A training rehearsed before any training: what its objectives or its recipe refuse is told before hours are spent."""

from __future__ import annotations

import torch
from torch import nn

from dfbench.config import DefensePlan
from dfbench.contracts import Batch, TrainContext
from dfbench.errors import UsageError
from dfbench.freeze import freeze
from dfbench.precision import resolve

_STEPS = 1_000_000
"""Steps of the rehearsed epoch: no objective sees its end, and draws conclusions from two noise images."""


def rehearse(
    model: nn.Module, plan: DefensePlan, *, shape: tuple[int, int], validated: bool, device: torch.device
) -> None:
    """Set a training up and compute its losses once, on two noise images.

    Args:
        model: a detector that is not used afterwards.
        plan: the defense.
        shape: height and width of the images, in pixels.
        validated: whether the training data has a validation split.
        device: where it will be trained.

    Raises:
        UsageError: a site, a frozen part or a combination of objectives that does not exist or does not work; a
            ``patience`` without validation.
        Exception: whatever else goes wrong in the objectives.
    """
    recipe = plan.recipe
    if recipe.patience and not validated:
        raise UsageError(
            f"{plan.label}: patience needs a validation split, and the training data has none: give patience=0, or "
            "data with a val split"
        )
    objectives = [component.build() for component in plan.components]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    numbers = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, *shape, generator=numbers).to(device)
    batch = Batch(x, torch.tensor([0, 1], device=device), ("noise 0", "noise 1"))
    precision = resolve(recipe.precision, device)
    context = TrainContext(
        model, nn.functional.cross_entropy, recipe.epochs, _STEPS, 0, precision, objectives=objectives
    )
    try:
        freeze(model, recipe.freeze)
        model.train()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
            names: list[str] = ["clean"] if all(objective.clean_weight for objective in objectives) else []
            for objective in objectives:
                objective.setup(context)
            for objective in objectives:
                objective.begin_epoch(0, context)
                names += objective.losses(batch, context)
    finally:
        model.eval()
        for parameter in trained:
            parameter.requires_grad_(True)
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(
            f"{plan.label}: two of its parts add a loss called {twice[0]!r}, of which one would be lost: leave one out"
        )
