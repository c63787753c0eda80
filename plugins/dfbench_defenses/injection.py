"""The perturbation injection module: the channel statistics of a feature map, and the map with them moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dfbench.view import ModelView

_SMALLEST_STD = 1e-6
"""A constant channel has no spread to scale: below this, its normalised values are rounding."""


def statistics(f: Tensor) -> Tensor:
    """Spatial mean and (population) standard deviation of each sample and channel of a map (B, C, h, w), detached.

    Returns:
        (B, 2C): C means, then C deviations; float32 at least, whatever the map's precision.
    """
    wide = _wide(f.detach())
    return torch.cat([wide.mean((2, 3)), wide.std((2, 3), correction=0)], dim=1)


def normalised(f: Tensor) -> Tensor:
    """The map (B, C, h, w) with mean 0 and deviation 1 in each sample and channel; float32 at least."""
    wide = _wide(f)
    mu, sigma = wide.mean((2, 3), keepdim=True), wide.std((2, 3), correction=0, keepdim=True)
    return (wide - mu) / sigma.clamp_min(_SMALLEST_STD)


def inject(f: Tensor, f_norm: Tensor, delta: Tensor) -> Tensor:
    """The map with its statistics moved by ``delta`` (B, 2C): ``f_norm * (sigma + d_sigma) + (mu + d_mu)``.

    Computed as ``f + f_norm * d_sigma + d_mu``: so that a zero delta leaves the map as it is, and the gradient with
    respect to ``delta`` is that of the statistics. Were ``mu`` and ``sigma`` variables that build ``f_norm`` as well,
    their two parts would cancel to nothing.
    """
    d_mu, d_sigma = delta[:, :, None, None].chunk(2, dim=1)
    return f + (f_norm * d_sigma + d_mu).to(f.dtype)


def _wide(f: Tensor) -> Tensor:
    return f.to(torch.promote_types(f.dtype, torch.float32))


@dataclass
class Seen:
    """What :func:`watched` saw of a pass."""

    statistics: Tensor
    """See :func:`statistics`."""
    zero: Tensor
    """The leaf (B, 2C) of zeros that was injected: the loss's gradient with respect to it is the statistics' own."""


@contextmanager
def watched(site: nn.Module) -> Iterator[list[Seen]]:
    """Inject zeros into the output of ``site``; inside the ``with``, a list of what each call of it saw."""
    seen: list[Seen] = []

    def hook(module: nn.Module, args: tuple[Tensor, ...], f: Tensor) -> Tensor:
        seen.append(Seen(stats := statistics(f), torch.zeros_like(stats, requires_grad=True)))
        return inject(f, normalised(f.detach()), seen[-1].zero)  # times zero: no gradient flows through f_norm

    handle = site.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def moved(site: nn.Module, delta: Tensor) -> Iterator[list[Tensor]]:
    """Inject ``delta`` (B, 2C) into the output of ``site``; inside the ``with``, a list of how far the statistics of
    each call of it really moved (B, 2C), which in half precision is less than asked for."""
    found: list[Tensor] = []

    def hook(module: nn.Module, args: tuple[Tensor, ...], f: Tensor) -> Tensor:
        out = inject(f, normalised(f), delta)
        found.append(statistics(out) - statistics(f))
        return out

    handle = site.register_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()


def feature_maps(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Sub-modules that give, once per pass, a feature map that the logits depend on; in the order they are called.

    Returns:
        (C, h, w) at the model's smallest image side, by qualified name.
    """
    outputs: dict[str, list[Tensor]] = {}

    def watch(name: str) -> Callable[..., None]:
        return lambda module, args, output: outputs.setdefault(name, []).append(output)

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules()]
    try:
        with ModelView.of_training(model) as view:
            side: Any = model.min_size
            x = torch.full((1, 3, side, side), 0.5, device=view.device, requires_grad=True)
            logits = view(x)
    finally:
        for handle in handles:
            handle.remove()
    found = {
        name: made[0]
        for name, made in outputs.items()
        if len(made) == 1 and isinstance(made[0], Tensor) and made[0].ndim == 4 and made[0].requires_grad
    }
    reached = torch.autograd.grad(logits.sum(), list(found.values()), allow_unused=True) if found else ()
    used = zip(found.items(), reached, strict=True)
    return {name: tuple(f.shape[1:]) for (name, f), grad in used if grad is not None}
