"""The training recipe: everything about the loop that is not the objective.

Recipe parameters are written like any other, inside the defense: ``none(epochs=4, lr=1e-4)``. A defense declares its
own defaults (``DefenseSpec.recipe``), so that ``dual`` starts from the trained baseline without being told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from dfbench.contracts import Param


@dataclass(frozen=True)
class Recipe:
    """One training recipe, all values resolved. Defaults follow METHODS' baseline recipe where they transfer."""

    epochs: int = 8
    batch_size: int = 32
    optimizer: str = "adamw"
    lr: float = 3e-4
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    label_smoothing: float = 0.05
    clip: float = 1.0
    freeze_bn: bool = False
    freeze: str = ""
    ema: float = 0.0
    patience: int = 0
    augment: str = "flip"
    precision: str = "auto"
    start: str = ""


_HELP = {
    "epochs": ("passes over the training split", 1, 10000),
    "batch_size": ("samples per step", 2, 4096),
    "optimizer": ("optimiser of the detector",),
    "lr": ("peak learning rate", 0.0, 10.0),
    "weight_decay": ("decoupled weight decay (adamw) or L2 penalty (adam)", 0.0, 1.0),
    "schedule": ("learning rate: cosine to 0, hold (constant, then linear to 0 over the last 35%), or constant",),
    "label_smoothing": ("label smoothing of the cross-entropy", 0.0, 0.9),
    "clip": ("gradient norm clipping; 0 turns it off", 0.0, 1000.0),
    "freeze_bn": ("keep batch-norm statistics as they were at the start",),
    "freeze": (
        "parts that are not trained, batch-norm statistics included: prefixes of parameter names at their dots, "
        'separated by commas, e.g. "backbone.net.conv_stem,backbone.net.blocks.0"',
    ),
    "ema": ("decay of a moving average of the weights, which is then what is kept; 0 turns it off", 0.0, 1.0),
    "patience": ("epochs without a better validation score after which training stops; 0: never", 0, 10000),
    "augment": (
        "augmentation of training images, both classes alike: flip (horizontal), or standard (random resized crop of "
        "at least 0.9 of the area, flip, colour jitter 0.1, 0.1, 0.1, 0.05, rotation within 10 degrees)",
    ),
    "precision": ("arithmetic of training: fp32, bf16, fp16 (with a gradient scaler); auto: bf16 on CUDA, else fp32",),
    "start": ('start from the checkpoint of this defense, e.g. "none"; empty: from the model\'s own weights',),
}
_CHOICES = {
    "optimizer": ("adamw", "adam"),
    "schedule": ("cosine", "hold", "constant"),
    "augment": ("none", "flip", "standard"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
}


RECIPE_NAMES = frozenset(field.name for field in fields(Recipe))


def recipe_params(overrides: Mapping[str, object]) -> tuple[Param, ...]:
    """The recipe's parameters as a schema, with a defense's own defaults in place."""
    params = []
    for field in fields(Recipe):
        default = overrides.get(field.name, field.default)
        text, *bounds = _HELP[field.name]
        low, high = bounds or (None, None)
        params.append(
            Param(field.name, type(field.default), default, str(text), low, high, _CHOICES.get(field.name, ()))  # type: ignore[arg-type]
        )
    return tuple(params)
