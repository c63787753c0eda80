"""Grad-CAM: where in the image the evidence for a class lies (Selvaraju et al., ICCV 2017, eqs. 1 and 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfbench.errors import ContractError
from dfbench.view import ModelView


def grad_cam(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Grad-CAM maps (B, h, w) alone; see :func:`explained`."""
    return explained(model, x, target)[0]


def explained(model: nn.Module, x: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Grad-CAM maps at the sub-module ``model.cam_layer``, for the logit of a class, and the logits of the same pass.

    Each channel of the layer's output is weighted by the spatial mean of the logit's gradient; the weighted sum goes
    through a ReLU and is divided by its maximum. To compare a clean with an attacked image, give the class predicted
    on the clean one for both.

    The model runs in evaluation mode and full precision; its modes, hooks, flags and gradients are afterwards what
    they were, also after an error. The backward pass ends at the layer, so that a map costs little more than a forward
    pass. A map does not depend on the other images of the batch.

    Args:
        model: a detector, see :class:`~dfbench.contracts.Model`.
        x: images (B, 3, H, W) in [0, 1].
        target: for each image the class whose logit is explained (B,), int64; None for the predicted one.

    Returns:
        Maps (B, h, w) in [0, 1] on the layer's own grid, float32. A map that nothing speaks for stays zero; every
        other one reaches 1. Then the logits (B, 2), detached: the model's own, up to float rounding.

    Raises:
        ContractError: the model names no CAM layer, its output is no map (B, C, h, w), it is not called exactly once
            in a forward pass, or a gradient is NaN or infinite.
    """
    name = str(getattr(model, "cam_layer", ""))
    layer = dict(model.named_modules()).get(name) if name else None
    if layer is None:
        raise ContractError(f"the model names no layer whose output is a map for Grad-CAM (cam_layer is {name!r})")
    leaves: list[Tensor] = []

    def start_graph(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise ContractError(f"the CAM layer {name!r} must give a tensor (B, C, h, w), not {type(output).__name__}")
        # Nothing before the layer carries a gradient (frozen parameters, detached images): the graph starts here.
        leaves.append(output.detach().requires_grad_(True))
        return leaves[-1].clone()  # what follows may work in place, which a leaf does not allow

    with ModelView.of_training(model) as view, torch.inference_mode(False), torch.enable_grad():
        handle = layer.register_forward_hook(start_graph)
        try:
            logits = view(x.detach())
        finally:
            handle.remove()
        if len(leaves) != 1 or leaves[0].ndim != 4:
            got = f"gave {tuple(leaves[0].shape)}" if len(leaves) == 1 else f"was called {len(leaves)} times"
            raise ContractError(
                f"the CAM layer {name!r} must give one map (B, C, h, w) in a forward pass, but it {got}"
            )
        if target is None:
            target = predicted(logits)
        # As weights of the logits, not as indices to gather: those could not have been made in inference mode.
        chosen = F.one_hot(target, logits.shape[1]).to(logits)
        (gradient,) = torch.autograd.grad(logits, leaves[0], chosen)
    return _maps(leaves[0].detach().float(), gradient.float(), name), logits.detach()


def predicted(logits: Tensor) -> Tensor:
    """The class (B,) that logits (B, 2) speak for; a tie counts as fake, as a score of exactly 0.5 does."""
    return (logits[:, 1] >= logits[:, 0]).long()


def _maps(activation: Tensor, gradient: Tensor, name: str) -> Tensor:
    weights = gradient.mean((2, 3), keepdim=True)
    maps = (weights * activation).sum(1).relu()
    peaks = maps.amax((1, 2), keepdim=True)
    if not bool(torch.isfinite(peaks).all()):
        raise ContractError(f"Grad-CAM at {name!r} is NaN or infinite: the model's weights or its input are damaged")
    return maps / peaks.where(peaks > 0, torch.ones_like(peaks))
