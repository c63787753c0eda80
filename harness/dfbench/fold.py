"""A detector's copy with batch norm folded into the convolutions and channels_last weights: same function, faster."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

TOLERANCE = 1e-3
"""Largest difference of a logit on the probe batch, relative to the largest logit (at least 1), that is rounding."""


@dataclass(frozen=True)
class Pair:
    """A convolution whose output goes into a batch norm, by qualified names."""

    conv: str
    norm: str


class FoldedCopy:
    """``module`` computes what the original computes; ``sync`` follows the original's weights.

    Make it with :meth:`of`, which verifies the copy.
    """

    def __init__(self, original: nn.Module, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self.module = copy.deepcopy(original)
        for pair in pairs:
            conv = _conv(self.module, pair.conv)
            if conv.bias is None:
                conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels), requires_grad=False)
            parent, _, name = pair.norm.rpartition(".")
            self.module.get_submodule(parent).register_module(name, _after_norm(self.module.get_submodule(pair.norm)))
        self.module.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.sync(original)

    @classmethod
    def of(cls, original: nn.Module) -> tuple[FoldedCopy | None, str]:
        """A verified copy of a model in evaluation mode, or None and the reason why there is none.

        The pairs are found by watching one probe batch, so no architecture needs to be known; the copy is kept only
        where its logits on that batch equal the original's to ``TOLERANCE``.
        """
        size = getattr(original, "min_size", None)
        if size is None:
            return None, "the model states no min_size, so no probe image can be made"
        tensor = next(original.parameters(), None)
        if tensor is None:
            return None, "the model has no parameters"
        numbers = torch.Generator().manual_seed(0)
        probe = torch.rand(2, 3, size, size, generator=numbers).to(tensor.device)
        with torch.no_grad():
            pairs, expected = _conv_norm_pairs(original, probe)
            try:
                folded = cls(original, pairs)
                got = folded.module(probe.contiguous(memory_format=torch.channels_last))
            except (RuntimeError, AttributeError, TypeError) as error:
                return None, f"the prepared copy does not run: {error}"
        difference = float((got - expected).abs().max())
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            return None, f"the prepared copy's logits differ by {difference:.1e} from the model's own"
        return folded, ""

    @torch.no_grad()
    def sync(self, original: nn.Module) -> None:
        """Take over the present parameters and buffers of ``original``."""
        mine = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        theirs = {**dict(original.named_parameters()), **dict(original.named_buffers())}
        for pair in self.pairs:
            conv, norm = _conv(original, pair.conv), _norm(original, pair.norm)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            mine.pop(f"{pair.conv}.weight").copy_(weight)
            mine.pop(f"{pair.conv}.bias").copy_(bias)
        if mine:
            torch._foreach_copy_(list(mine.values()), [theirs[name] for name in mine])


def _conv_norm_pairs(model: nn.Module, probe: Tensor) -> tuple[list[Pair], Tensor]:
    """Pairs in which each part is called once and the norm's input is the very tensor the convolution returned."""
    calls: dict[str, int] = {}
    made_by: dict[int, tuple[str, Tensor]] = {}  # holds the tensor: a freed tensor's id may be given again
    found: list[Pair] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(module, nn.Conv2d):
                made_by[id(output)] = (name, output)
            elif args and id(args[0]) in made_by:
                found.append(Pair(made_by[id(args[0])][0], name))

        return hook

    handles = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) or _can_fold(module)
    ]
    try:
        logits: Tensor = model(probe)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in found if calls[pair.conv] == calls[pair.norm] == 1], logits


def _can_fold(module: nn.Module) -> bool:
    """A batch norm with running statistics, plain or with timm's activation appended (BatchNormAct2d)."""
    if not isinstance(module, nn.BatchNorm2d) or module.training or module.running_var is None:
        return False
    return type(module) is nn.BatchNorm2d or (hasattr(module, "drop") and hasattr(module, "act"))


def _after_norm(norm: nn.Module) -> nn.Module:
    """What is left of a batch norm once its affine part is folded away."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    rest = [part for name, part in norm.named_children() if name in ("drop", "act") and type(part) is not nn.Identity]
    return rest[0] if len(rest) == 1 else nn.Sequential(*rest)


def _conv(model: nn.Module, name: str) -> nn.Conv2d:
    module = model.get_submodule(name)
    assert isinstance(module, nn.Conv2d)
    return module


def _norm(model: nn.Module, name: str) -> nn.BatchNorm2d:
    module = model.get_submodule(name)
    assert isinstance(module, nn.BatchNorm2d)
    return module
