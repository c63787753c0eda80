"""Projected gradient ascent in an L-inf ball: the step every gradient attack and adversarial training share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dfbench.errors import ContractError

GradientFn = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(images (B, 3, H, W), labels (B,)) -> loss per sample (B,) and its gradient (B, 3, H, W): ``ModelView.gradient``."""


def pgd(
    gradient: GradientFn, x: Tensor, y: Tensor, *, eps: float, alpha: float, steps: int, start: Tensor | None = None
) -> Tensor:
    """Images within ``eps`` of ``x`` that raise the loss, by signed gradient ascent.

    Every step is projected around the clean image, then onto [0, 1] (Madry et al., ICLR 2018, arXiv:1706.06083).

    Args:
        gradient: see :data:`GradientFn`.
        x, y: clean images (B, 3, H, W) in [0, 1] and their labels (B,).
        eps, alpha: radius of the ball and length of a step, in [0, 1] pixels.
        steps: gradient steps.
        start: first perturbation (B, 3, H, W) within ``eps``, usually uniform noise; None starts at the clean image.

    Raises:
        ContractError: the gradient is not finite.
    """
    x_adv = x if start is None else (x + start).clamp(0, 1)
    for _ in range(steps):
        x_adv = ascend(x_adv, finite_gradient(gradient, x_adv, y), x, eps=eps, alpha=alpha)
    return x_adv.clone() if x_adv is x else x_adv


def ascend(x_adv: Tensor, direction: Tensor, x: Tensor, *, eps: float, alpha: float) -> Tensor:
    """One step of length ``alpha`` along the sign of ``direction``, projected around the clean ``x`` and on [0, 1]."""
    step = direction.sign().mul_(alpha).add_(x_adv)
    return step.sub_(x).clamp_(-eps, eps).add_(x).clamp_(0, 1)


def finite_gradient(gradient: GradientFn, x: Tensor, y: Tensor) -> Tensor:
    """The gradient at ``x``; an error where it is not finite, since its sign would be meaningless."""
    loss, grad = gradient(x, y)
    finite = torch.isfinite(grad.flatten(1).sum(1)) & torch.isfinite(loss)
    if not bool(finite.all()):
        bad = int((~finite).sum())
        raise ContractError(
            f"the model's loss or its gradient is NaN or infinite for {bad} of {len(x)} images, so no attack can "
            "follow it: check the model's weights and arithmetic (a NaN weight, a division by zero, half precision)"
        )
    return grad


def gradient_of(model: Callable[[Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor]) -> GradientFn:
    """The gradient of any loss of the logits, for :func:`pgd` to follow in place of the cross-entropy.

    Args:
        model: differentiable logits (B, 2) of images (B, 3, H, W), e.g. a ``ModelView``.
        loss: (logits (B, 2), the labels that ``pgd`` is given) -> loss per sample (B,).
    """

    def gradient(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            value = loss(model(x), y)
            (grad,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), grad

    return gradient
