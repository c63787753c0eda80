"""Adaptive attacks: a model as it looks through a corruption, and averaged over whatever is random.

An attack on a model behind a codec must differentiate the codec. The codec itself runs forward, and its gradient is
taken from its surrogate, or from the identity where it has none (backward pass differentiable approximation, Athalye
et al., ICML 2018, arXiv:1802.00420). Where model or corruption are random, logits and gradients are means over several
draws (expectation over transformation, ibid.).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dfbench.config import Scenario
from dfbench.contracts import Attack, Corruption
from dfbench.errors import ContractError, UsageError
from dfbench.keys import digest
from dfbench.pgd import GradientFn, finite_gradient
from dfbench.registry import load_registry
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (B, 2), labels (B,)) -> loss per sample (B,)."""


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The other class's logit minus the true one's, (B,): above 0 where the answer is wrong.

    Linear in the logits, so that it has a gradient where the cross-entropy of a saturated model has none. For two
    classes the cross-entropy is ``softplus(margin)``: both rank the same image's perturbations alike.
    """
    return (logits[:, 1] - logits[:, 0]) * (1 - 2 * y)


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy per sample, (B,)."""
    return F.cross_entropy(logits, y, reduction="none")


LOSSES: dict[str, Loss] = {"margin": margin, "ce": cross_entropy}
"""What an attack can raise, by name."""


class AdaptiveView:
    """Logits and gradients of a model for corrupted images, each the mean over ``eot`` draws.

    Args:
        logits_of: differentiable logits (B, 2) of images (B, 3, H, W), e.g. a :class:`~dfbench.view.ModelView`.
        corruption: what the images meet before the model; None for nothing.
        rng: the corruption's random numbers, for the samples that are asked about; each draw is fresh. A random model
            draws by itself.
        eot: draws per answer.
    """

    def __init__(
        self, logits_of: Callable[[Tensor], Tensor], corruption: Corruption | None, rng: SampleRng, eot: int = 1
    ) -> None:
        self.logits_of, self.corruption, self.rng, self.eot = logits_of, corruption, rng, eot

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy (B,) and its gradient (B, 3, H, W), as :meth:`dfbench.view.ModelView.gradient`."""
        _, loss, grad = self._mean(x, y, cross_entropy, self.rng)
        return loss, grad

    def answer(self, x: Tensor, y: Tensor, rows: Tensor, loss: Loss | None) -> tuple[Tensor, Tensor | None]:
        """Mean logits (b, 2) and, where a loss is given, its mean gradient (b, 3, H, W), both detached.

        Args:
            x, y: images and labels of some samples.
            rows: which samples these are, by their positions among those of ``rng`` (b,).
            loss: what the gradient is of; None for logits alone, at the price of a forward pass.

        Raises:
            ContractError: one of them is not finite.
        """
        rng = self._only(rows)
        if loss is None:
            with torch.no_grad():
                return _finite(torch.stack([self._draw(x, rng) for _ in range(self.eot)]).mean(0)), None
        logits, value, grad = self._mean(x, y, loss, rng)
        return logits, finite_gradient(lambda *_: (value, grad), x, y)

    def _mean(self, x: Tensor, y: Tensor, loss: Loss, rng: SampleRng) -> tuple[Tensor, Tensor, Tensor]:
        sums: list[Tensor] = []
        for _ in range(self.eot):  # one graph at a time: many draws need no more memory than one
            leaf = x.detach().requires_grad_(True)
            with torch.enable_grad():
                logits = self._draw(leaf, rng)
                value = loss(logits, y)
                (grad,) = torch.autograd.grad(value.sum(), leaf)
            found = [logits.detach(), value.detach(), grad]
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
        logits, value, grad = (total / self.eot for total in sums)
        return logits, value, grad

    def _draw(self, x: Tensor, rng: SampleRng) -> Tensor:
        if self.corruption is None:
            return self.logits_of(x)
        with torch.no_grad():
            corrupted = self.corruption(x.detach().clone(), rng)
        return self.logits_of(_StraightThrough.apply(self.corruption.surrogate(x), corrupted))

    def _only(self, rows: Tensor) -> SampleRng:
        """The random streams of some samples, which go on where they are."""
        rng = SampleRng(self.rng.seed, ())
        rng.ids = tuple(self.rng.ids[i] for i in rows.tolist())
        rng.generators = [self.rng.generators[i] for i in rows.tolist()]
        return rng


def _finite(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise ContractError("the model gave NaN or infinite logits to an attack: its weights or arithmetic are damaged")
    return logits


class _StraightThrough(torch.autograd.Function):
    """The second argument's value, the first one's gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class AdaptiveAttack(Attack):
    """An attack with the parameters ``through`` and ``eot``.

    Args:
        through: a corruption as users write it, ``jpeg(quality=50)``, that gradients and successes are taken through;
            empty for none. A random one is drawn anew for every answer: nobody knows what an upload will draw.
        eot: draws that each gradient is averaged over, for a random model or corruption.

    Raises:
        UsageError: ``through`` is no corruption, or its parameters do not fit.
        MissingDependency: the corruption needs a package that is not installed.
    """

    corruption: Corruption | None = None

    def __init__(self, through: str = "", eot: int = 1) -> None:
        self.eot = eot
        if through:
            try:
                component = load_registry().component("corruption", through)
            except UsageError as error:
                raise UsageError(f"through={through!r}: {error}") from error
            self.corruption = component.build()
            assert self.corruption is not None
            self.through = Scenario(None, component).corruption_label
            self.fingerprint = digest(component.identity())

    @property
    def adaptive(self) -> bool:
        """Whether it looks at anything but the model's single answer."""
        return self.corruption is not None or self.eot > 1

    def adapted(self, view: ModelView, rng: SampleRng) -> AdaptiveView:
        """The model as this attack looks at it; ``rng`` is the attack's, and is not drawn from."""
        ours = SampleRng(derive_seed(rng.seed, "through"), rng.ids)
        return AdaptiveView(view, self.corruption, ours, self.eot)

    def gradient_of(self, view: ModelView, rng: SampleRng) -> GradientFn:
        """The gradient that it follows: the view's own, which attacks on one batch share, unless it is adaptive."""
        return self.adapted(view, rng).gradient if self.adaptive else view.gradient
