"""The model as an attack sees it: frozen, in evaluation mode, and prepared for fast gradients."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfbench.fold import FoldedCopy

REMEMBERED = 1 << 30
"""Bytes of images and gradients that a view remembers, at most: 28 gradients of 32 images of 224 x 224."""


class ModelView:
    """A frozen, differentiable view of a detector, with a count of the passes an attack spends.

    Args:
        model: the detector; left untouched.
        exact: use the model's own arithmetic; otherwise a prepared copy (batch norm folded into the convolutions,
            channels_last), equal up to float rounding and faster. A model that cannot be prepared keeps its own
            arithmetic, and ``why_exact`` says why.

    Attributes:
        module: the module that is called.
        forwards, backwards: images passed through so far, in each direction; a remembered gradient counts as if it were
            taken, so that what an attack costs does not depend on its company.
    """

    def __init__(self, model: nn.Module, *, exact: bool = False) -> None:
        self.forwards = 0
        self.backwards = 0
        self._memory: list[_Gradient] | None = None
        self._folded: FoldedCopy | None = None
        with torch.inference_mode(False):  # tensors made in inference mode could never take part in a gradient
            self.module: nn.Module = copy.deepcopy(model).eval().requires_grad_(False)
            if exact:
                self.why_exact = "asked for"
            else:
                self._folded, self.why_exact = FoldedCopy.of(self.module)
        if self._folded is not None:
            self.module = self._folded.module

    @classmethod
    @contextmanager
    def of_training(cls, model: nn.Module) -> Iterator[ModelView]:
        """The live model as a view, without a copy: evaluation mode, frozen, full precision, inside the ``with`` only.

        On leaving, also by an exception, every sub-module's mode and every parameter's ``requires_grad`` are again
        what they were. Where many gradients are taken of each state of the model (PGD in adversarial training), a
        prepared copy kept up to date by :meth:`sync` is faster.
        """
        view = cls.__new__(cls)
        view.forwards = view.backwards = 0
        view.module, view.why_exact, view._folded, view._memory = model, "the live model", None, None
        modes = [(module, module.training) for module in model.modules()]
        flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
        model.eval().requires_grad_(False)
        try:
            with torch.autocast(_device(model).type, enabled=False):
                yield view
        finally:
            for module, training in modes:
                module.training = training
            for parameter, requires_grad in flags:
                parameter.requires_grad_(requires_grad)

    def sync(self, model: nn.Module) -> None:
        """Take over the present parameters and buffers of ``model``, the model this view was made of.

        Costs a copy of the weights, no new view: adversarial training calls it before every attack.
        """
        if self._folded is not None:
            self._folded.sync(model)
        else:
            self.module.load_state_dict(model.state_dict())

    @property
    def device(self) -> torch.device:
        """Where the model lives; images must be there too."""
        return _device(self.module)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, 2) of images (B, 3, H, W); differentiable in ``x``."""
        count = len(x)
        self.forwards += count
        if self._folded is not None:
            x = _ChannelsLast.apply(x)
        logits: Tensor = self.module(x)
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count_backward(count))
        return logits

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy per sample (B,), detached, and its gradient with respect to each image (B, 3, H, W).

        The gradient is of the sum over the batch, so that a sample's gradient does not depend on the batch size.
        """
        if (known := self._recall(x, y)) is not None:
            self.forwards += len(x)
            self.backwards += len(x)
            return known.loss.clone(), known.grad.clone()
        leaf = x.detach().requires_grad_(True)
        with torch.enable_grad():
            loss = F.cross_entropy(self(leaf), y, reduction="none")
            (grad,) = torch.autograd.grad(loss.sum(), leaf)
        if self._memory is not None:
            # Copies: an attack may work in place on what it gave and got.
            self._memory.append(_Gradient(x.detach().clone(), y.clone(), loss.detach().clone(), grad.clone()))
            while sum(one.nbytes for one in self._memory) > REMEMBERED:
                self._memory.pop(0)
        return loss.detach(), grad

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Within, a gradient that was taken before at the very same images is not computed again.

        For several attacks on one batch: those that begin at the clean images share their first gradient, iterated
        ones as many steps as their images stay equal. What comes out is bit for bit what separate attacks give.
        """
        self._memory = []
        try:
            yield
        finally:
            self._memory = None

    def _recall(self, x: Tensor, y: Tensor) -> _Gradient | None:
        for number, one in enumerate(self._memory or ()):
            if one.x.shape == x.shape and torch.equal(one.x, x) and torch.equal(one.y, y):
                assert self._memory is not None
                self._memory.append(self._memory.pop(number))  # the least recently used one is forgotten first
                return one
        return None

    def _count_backward(self, count: int) -> None:
        self.backwards += count


@dataclass(frozen=True)
class _Gradient:
    """A gradient that was taken, and where."""

    x: Tensor
    y: Tensor
    loss: Tensor
    grad: Tensor

    @property
    def nbytes(self) -> int:
        return self.x.nbytes + self.grad.nbytes


class _ChannelsLast(torch.autograd.Function):
    """To the layout of the prepared copy, and the gradient back to the usual one: attacks may call ``.view`` on it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].contiguous()


def _device(module: nn.Module) -> torch.device:
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device
