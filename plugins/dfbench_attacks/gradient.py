"""White-box gradient attacks with an L-inf bound, as torchattacks 3.5.1 defines them, without its traps.

At eps 0 they return the images unchanged; a sample whose gradient is zero stays where it is; a NaN gradient is an
error. Each can take its gradient through a corruption, and average it over draws (:mod:`dfbench.adaptive`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from dfbench.adaptive import AdaptiveAttack
from dfbench.pgd import ascend, finite_gradient, pgd
from dfbench.rng import SampleRng
from dfbench.view import ModelView


class FGSM(AdaptiveAttack):
    """Fast gradient sign method: one step of length eps (Goodfellow et al., ICLR 2015, arXiv:1412.6572).

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        through: the corruption that the gradient is taken through.
        eot: draws that it is averaged over.
    """

    eps: float

    def __init__(self, eps: float = 8 / 255, through: str = "", eot: int = 1) -> None:
        super().__init__(through, eot)
        self.eps = eps

    @property
    def starts_clean(self) -> bool:
        """Unless it is adaptive, and so follows another gradient."""
        return not self.adaptive

    def passes(self) -> tuple[float, float]:
        """A forward and a backward pass per draw."""
        return (float(self.eot), float(self.eot))

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Attack`."""
        if self.eps == 0:
            return x.clone()
        return finite_gradient(self.gradient_of(view, rng), x, y).sign().mul_(self.eps).add_(x).clamp_(0, 1)


class PGD(AdaptiveAttack):
    """Projected gradient descent on the cross-entropy (Madry et al., ICLR 2018, arXiv:1706.06083).

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        alpha: step length, in [0, 1] pixels; None means ``rel_alpha * eps``.
        steps: gradient steps.
        random_start: start at a uniformly random point of the ball, drawn per sample.
        rel_alpha: step length as a share of eps where ``alpha`` is not set: 0.25 is the usual 2/255 at 8/255.
        through: the corruption that gradients are taken through.
        eot: draws that each gradient is averaged over.
    """

    eps: float

    def __init__(
        self,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 10,
        random_start: bool = True,
        rel_alpha: float = 0.25,
        through: str = "",
        eot: int = 1,
    ) -> None:
        super().__init__(through, eot)
        self.eps = eps
        self.alpha = rel_alpha * eps if alpha is None else alpha
        self.steps = steps
        self.random_start = random_start

    @property
    def iterative(self) -> bool:
        """With more than one step."""
        return self.steps > 1

    @property
    def starts_clean(self) -> bool:
        """Without a random start, unless it is adaptive."""
        return not self.random_start and not self.adaptive

    def passes(self) -> tuple[float, float]:
        """A forward and a backward pass per step and draw."""
        return (float(self.eot * self.steps), float(self.eot * self.steps))

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Attack`."""
        if self.eps == 0:
            return x.clone()
        start = rng.uniform(x, -self.eps, self.eps) if self.random_start else None
        return pgd(self.gradient_of(view, rng), x, y, eps=self.eps, alpha=self.alpha, steps=self.steps, start=start)


class MIFGSM(AdaptiveAttack):
    """Momentum iterative FGSM (Dong et al., CVPR 2018, arXiv:1710.06081).

    Each gradient is divided by its own mean magnitude and added to the decayed momentum, whose sign is followed.

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        alpha: step length, in [0, 1] pixels; None means ``rel_alpha * eps``.
        steps: gradient steps.
        decay: factor of the momentum at each step.
        rel_alpha: step length as a share of eps where ``alpha`` is not set: 0.25 is 2/255 at 8/255.
        through: the corruption that gradients are taken through.
        eot: draws that each gradient is averaged over.
    """

    eps: float

    def __init__(
        self,
        eps: float = 8 / 255,
        alpha: float | None = None,
        steps: int = 10,
        decay: float = 1.0,
        rel_alpha: float = 0.25,
        through: str = "",
        eot: int = 1,
    ) -> None:
        super().__init__(through, eot)
        self.eps = eps
        self.alpha = rel_alpha * eps if alpha is None else alpha
        self.steps = steps
        self.decay = decay

    @property
    def iterative(self) -> bool:
        """With more than one step."""
        return self.steps > 1

    @property
    def starts_clean(self) -> bool:
        """Unless it is adaptive, and so follows another gradient."""
        return not self.adaptive

    def passes(self) -> tuple[float, float]:
        """A forward and a backward pass per step and draw."""
        return (float(self.eot * self.steps), float(self.eot * self.steps))

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Attack`."""
        x_adv, momentum = x.clone(), torch.zeros_like(x)
        if self.eps == 0:
            return x_adv
        gradient = self.gradient_of(view, rng)
        for _ in range(self.steps):
            grad = finite_gradient(gradient, x_adv, y)
            size = grad.abs().mean((1, 2, 3), keepdim=True)
            momentum = grad / torch.where(size > 0, size, 1) + momentum * self.decay  # a zero gradient is no NaN
            x_adv = ascend(x_adv, momentum, x, eps=self.eps, alpha=self.alpha)
        return x_adv
