"""Post-conditions: what an attack, a corruption and a model must keep, checked on every batch.

A number that comes out of a broken component is worse than none, so each check raises a ContractError that names the
component, the bound and the measured value.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dfbench.contracts import Attack, Corruption
from dfbench.errors import ContractError
from dfbench.rng import SampleRng
from dfbench.view import ModelView

SLACK = 1e-6
"""Allowed excess over eps: float32 rounding of ``x + delta``."""


def checked(attack: Attack, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng, *, name: str = "") -> Tensor:
    """The attack's images for one batch, after all post-conditions hold.

    Args:
        attack, view, x, y, rng: see :class:`~dfbench.contracts.Attack`. The attack gets copies of ``x`` and ``y``.
        name: what errors call the attack; its class name if empty.

    Raises:
        ContractError: wrong shape or dtype, NaN or infinity, outside [0, 1], further than ``attack.eps`` from ``x``,
            not the identity at eps 0, or the model was changed or left in another mode.
    """
    who = f"the attack '{name or type(attack).__name__}'"
    before = model_state(view.module)
    with torch.inference_mode(False), torch.enable_grad():
        x_adv = attack(view, x.clone(), y.clone(), rng)
    _check_state(who, before, model_state(view.module))
    _check_images(who, x_adv, x)
    x_adv = x_adv.detach()
    if attack.eps is not None:
        distance = float((x_adv - x).abs().amax()) if x.numel() else 0.0
        if attack.eps == 0 and distance != 0:
            raise ContractError(
                f"{who} changed images by {distance:.3g} at eps 0; there it must return them as they are"
            )
        if distance > attack.eps + SLACK:
            raise ContractError(
                f"{who} left its eps-ball: |x_adv - x| reaches {distance:.6g}, eps is {attack.eps:.6g}; "
                "it must project around the clean image"
            )
    return x_adv


def checked_corruption(corruption: Corruption, x: Tensor, rng: SampleRng, *, name: str = "") -> Tensor:
    """The corrupted batch, after its shape, dtype, range and finiteness were checked.

    Raises:
        ContractError: one of them does not hold.
    """
    with torch.no_grad():
        corrupted = corruption(x.clone(), rng)
    _check_images(f"the corruption '{name or type(corruption).__name__}'", corrupted, x)
    return corrupted


def _check_images(who: str, got: Tensor, x: Tensor) -> None:
    """Shape, dtype and device of ``x``; finite; in [0, 1]."""
    if not isinstance(got, Tensor):
        raise ContractError(f"{who} returned {type(got).__name__}, not a tensor of images")
    for what, mine, theirs in (
        ("shape", tuple(x.shape), tuple(got.shape)),
        ("dtype", x.dtype, got.dtype),
        ("device", x.device, got.device),
    ):
        if mine != theirs:
            raise ContractError(f"{who} returned images of {what} {theirs}; it must keep {mine}")
    if not x.numel():
        return
    low, high = (float(bound) for bound in torch.aminmax(got.detach()))  # NaN in, NaN out
    if not (low > -float("inf") and high < float("inf")):
        bad = int((~torch.isfinite(got).flatten(1).all(1)).sum())
        raise ContractError(f"{who} returned NaN or infinity in {bad} of {len(got)} images")
    if low < 0 or high > 1:
        raise ContractError(f"{who} returned pixels in [{low:.6g}, {high:.6g}]; they must stay in [0, 1]")


# --- the model an attack was given --------------------------------------------------------------------------------

State = tuple[dict[str, bool], dict[str, tuple[int, int, bool]], Tensor]


def model_state(module: nn.Module) -> State:
    """What must not change: each sub-module's mode, each tensor's identity, version and requires_grad, and a checksum.

    The version counter sees every in-place operation but those on ``.data``; the checksum sees these.
    """
    modes = {name: part.training for name, part in module.named_modules()}
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    marks = {name: (id(t), t._version, t.requires_grad) for name, t in tensors.items()}
    with torch.no_grad():
        sums = [t.detach().sum(dtype=torch.float64) for t in tensors.values()]
    return modes, marks, torch.stack(sums) if sums else torch.zeros(0)


def _check_state(who: str, before: State, after: State) -> None:
    modes, marks, sums = after
    for name, training in modes.items():
        if before[0].get(name) != training:
            mode = "training" if training else "evaluation"
            raise ContractError(f"{who} left the model's '{name or 'root'}' in {mode} mode; it must restore the mode")
    changed = [name for name in {**before[1], **marks} if before[1].get(name) != marks.get(name)]
    if not changed:  # the same names in the same order
        changed = [n for n, same in zip(marks, torch.eq(before[2], sums).tolist(), strict=True) if not same]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise ContractError(f"{who} changed the model under attack ('{changed[0]}'{more}); it must leave it alone")


# --- a model from a plugin ----------------------------------------------------------------------------------------


def check_model(model: nn.Module, size: int, device: torch.device | str = "cpu", *, name: str = "") -> None:
    """Check a detector against :class:`~dfbench.contracts.Model` on two noise images of ``size`` x ``size``.

    Raises:
        ContractError: what does not hold, and the cure. The model's mode is restored.
    """
    who = f"the model '{name or type(model).__name__}'"
    for attribute in ("weights", "cam_layer", "min_size"):
        if not hasattr(model, attribute):
            raise ContractError(f"{who} has no attribute '{attribute}': set it in the constructor, see contracts.Model")
    if model.cam_layer not in dict(model.named_modules()):
        raise ContractError(f"{who} names the CAM layer '{model.cam_layer}', which is no sub-module of it")
    if size < int(model.min_size):  # type: ignore[arg-type]
        raise ContractError(
            f"{who} takes images from {model.min_size} x {model.min_size}, but the data set's are {size} x {size}: "
            "choose a larger image size or another model"
        )
    probe = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    with ModelView.of_training(model) as view, torch.inference_mode(False), torch.enable_grad():
        probe.requires_grad_(True)
        logits = view.module(probe)
        _check_logits(who, logits)
        if not logits.requires_grad:
            raise ContractError(f"{who} lets no gradient through to its input: use no detach and no no_grad in forward")
        (grad,) = torch.autograd.grad(logits[:, 1].sum() - logits[:, 0].sum(), probe)
    if not bool(torch.isfinite(grad).all()):
        raise ContractError(f"{who} gives a NaN or infinite gradient at its input")
    if not bool(grad.any()):
        raise ContractError(f"{who} gives a zero gradient at its input, which no attack can follow: check its weights")


def _check_logits(who: str, logits: Tensor) -> None:
    if not isinstance(logits, Tensor):
        raise ContractError(f"{who} returned {type(logits).__name__}; it must return logits (B, 2)")
    if tuple(logits.shape) != (2, 2):
        cure = ""
        if logits.numel() == 2:
            cure = "; one logit z per image becomes two by torch.stack([torch.zeros_like(z), z], 1)"
        got = tuple(logits.shape)
        raise ContractError(f"{who} returned shape {got} for 2 images; it must be (2, 2): real, fake{cure}")
    if not logits.is_floating_point():
        raise ContractError(f"{who} returned {logits.dtype}; logits must be floating point")
    if not bool(torch.isfinite(logits).all()):
        raise ContractError(f"{who} returned NaN or infinite logits: check its weights")
    if bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(2).to(logits), atol=1e-4):
        raise ContractError(f"{who} returned probabilities (rows sum to 1): remove the softmax, logits are asked for")
