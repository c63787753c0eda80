"""Gradient regularization by a perturbation injection module (PIM)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dfbench.contracts import Defense, TrainContext
from dfbench.errors import TrainingError, UsageError
from dfbench.rng import derive_seed
from dfbench_defenses.injection import Seen, feature_maps, moved, watched

_VANISHED = 1e-12
"""A gradient norm below which there is no direction."""

_KEPT = 0.5
"""Share of the move asked for that must be left of it after rounding."""

_SCALES = {"fp16": (2.0**16, 2.0**8, 1.0)}
"""By precision, what the loss is multiplied by for the gradient to be a number of it, tried in this order."""


class PIM(Defense):
    """Trains where the loss is flat in the statistics of shallow features: ``(1 - alpha) * L + alpha * L'``.

    ``L'`` is the loss of a second pass, in which the mean and standard deviation of every channel of a shallow feature
    map are moved by ``Delta = r * g / ||g||_2`` over the concatenated ``(mu, sigma)``, where ``g`` is the gradient of
    the first pass's whole loss with respect to them (see ``dfbench_defenses.injection``). ``Delta`` is a constant of
    the second pass, which draws the dropout masks of the first and leaves batch-norm statistics alone. The trained
    detector has no such module: nothing is added to its passes.

    Every pass that is trained on is regularised so, whatever its images: in ``none+pim`` (the same as ``pim``) the
    clean ones, in ``dual+pim`` the attacked ones, in ``mixup+pim`` the mixed ones.

    Args:
        alpha: weight of the moved pass; 0 is plain training.
        r: L2 norm of ``Delta``, in units of the features: it does not transfer between networks. The training log
            has ``pim_relative``, the mean of ``||Delta|| / ||(mu, sigma)||``, as it came out in the pass: in bf16
            and fp16 a small move is lost to rounding, so that the default recipe trains in fp32.
        direction: ``gradient``, or ``random`` for a Gaussian direction of the same norm.
        norm_scope: ``sample``: each sample's ``Delta`` has norm ``r``; ``batch``: the whole batch's has.
        site: qualified name of the sub-module whose output (B, C, h, w) is moved; empty for the model's
            ``shallow_layer``.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        r: float = 0.05,
        direction: str = "gradient",
        norm_scope: str = "sample",
        site: str = "",
    ) -> None:
        self.alpha, self.r, self.direction, self.norm_scope, self.site = alpha, r, direction, norm_scope, site
        self._step = -1
        self._passes: list[dict[str, Tensor]] = []
        self._asked = self._got = 0.0

    def passes(self) -> tuple[float, float]:
        """For each image of one trained pass: a second pass forward and backward, and the gradient at the site.

        Where the objectives it is composed with train on several passes per image, each of them costs so much.
        """
        if not self.alpha:
            return (0.0, 0.0)
        return (1.0, float(self.alpha < 1) + float(self.direction == "gradient"))

    def setup(self, context: TrainContext) -> None:
        """Find the site.

        Raises:
            UsageError: the model names none, or the one that is asked for gives no feature map.
        """
        self.site = self.site or getattr(context.model, "shallow_layer", "")
        maps = feature_maps(context.model)
        if self.site in maps:
            return
        # One of each shape: a map and its activation are the same choice.
        examples = list({shape: name for name, shape in reversed(maps.items())}.values())[::-1][:5]
        cure = f"give site=..., for example {', '.join(examples)}" if examples else "pim cannot train it"
        if not self.site:
            raise UsageError(f"pim: this model names no shallow feature map (shallow_layer): {cure}")
        raise UsageError(f"pim: site={self.site!r} gives no feature map (B, C, h, w) that the logits need: {cure}")

    def begin_epoch(self, epoch: int, context: TrainContext) -> None:
        """Watch anew for a move that vanishes."""
        self._asked = self._got = 0.0

    def regularized(self, compute: Callable[[], dict[str, Tensor]], context: TrainContext) -> dict[str, Tensor]:
        """The terms of the pass and of the moved pass, weighted by ``1 - alpha`` and ``alpha``.

        Raises:
            TrainingError: the gradient is not finite, it has vanished throughout an epoch, or rounding has eaten most
                of the move.
        """
        if not self.alpha:
            return compute()
        if context.step != self._step:
            self._step, self._passes = context.step, []
        site = context.model.get_submodule(self.site)
        device = next(context.model.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), watched(site) as calls:
            first = compute()
        if len(calls) != 1:
            raise TrainingError(
                f"pim: {self.site!r} ran {len(calls)} times in one pass, so that its statistics are not one: another "
                "part of the defense repeats the pass; leave one of them out"
            )
        if not bool(torch.isfinite(_total(first))):
            return first  # the training loop stops, and names the term
        note, delta = self._delta(first, calls[0], context)
        with moved(site, delta) as moves, _statistics_kept(context.model):
            second = compute()
        self._note(note, delta, moves[0], calls[0], context)
        if self.alpha == 1:
            return second
        return {name: (1 - self.alpha) * term + self.alpha * second[name] for name, term in first.items()}

    def _delta(self, terms: dict[str, Tensor], seen: Seen, context: TrainContext) -> tuple[dict[str, Tensor], Tensor]:
        """What the log tells of the gradient, and how far the statistics (B, 2C) are to move."""
        note: dict[str, Tensor] = {}
        if self.direction == "gradient":
            along = self._gradient(_total(terms), seen, context)
            note["pim_gradient"] = along.norm()
        else:
            numbers = torch.Generator().manual_seed(derive_seed(context.seed, "pim", context.step, len(self._passes)))
            along = torch.randn(seen.zero.shape, generator=numbers).to(seen.zero)
        norm = along.norm(dim=1, keepdim=True) if self.norm_scope == "sample" else along.norm()
        return note, torch.where(norm < _VANISHED, torch.zeros_like(along), self.r * along / norm)

    def _note(self, note: dict[str, Tensor], delta: Tensor, move: Tensor, seen: Seen, context: TrainContext) -> None:
        """Keep what the log tells of a pass, and watch that the statistics do move."""
        asked, got = delta.norm(dim=1), move.norm(dim=1)
        note["pim_relative"] = (got / seen.statistics.norm(dim=1).clamp_min(_VANISHED)).mean()
        self._passes.append(note)
        self._asked += float(asked.sum())
        self._got += float(torch.where(asked > 0, got, 0).sum())
        if (context.step + 1) % context.steps_per_epoch == 0 and self.r:
            self._require_moves(context)

    def _gradient(self, total: Tensor, seen: Seen, context: TrainContext) -> Tensor:
        """The loss's gradient with respect to the statistics (B, 2C)."""
        for scale in _SCALES.get(context.precision, (1.0,)):
            # Scaled, the gradients that flow back in fp16 do not vanish; a lower scale, where they overflow.
            (grad,) = torch.autograd.grad(total * scale, seen.zero, retain_graph=True)
            if bool(torch.isfinite(grad).all()):
                return grad / scale
        raise TrainingError(
            f"pim: the gradient at {self.site!r} is not finite in epoch {context.epoch}, step {context.step}: lower "
            "lr, or look at the data of that step"
        )

    def _require_moves(self, context: TrainContext) -> None:
        """Refuse to go on where an epoch has regularised nothing."""
        if not self._asked:
            raise TrainingError(
                f"pim: the gradient of the loss at {self.site!r} vanished in every step of epoch {context.epoch}, so "
                "that nothing was regularised: name another site, train with label smoothing, or leave pim out"
            )
        if self._got < _KEPT * self._asked:
            raise TrainingError(
                f"pim: rounding in {context.precision} left {self._got / self._asked:.0%} of the move at "
                f"{self.site!r} in epoch {context.epoch}: train with precision=fp32, or give a larger r"
            )

    def chosen(self) -> dict[str, Any]:
        """The site."""
        return {"site": self.site}

    def logged(self) -> dict[str, float]:
        """Relative size of the move, and norm of the gradient over the batch; means over the passes of the step."""
        names = self._passes[0] if self._passes else ()
        return {name: float(torch.stack([note[name] for note in self._passes]).mean()) for name in names}


def _total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([term.float() for term in terms.values()]).sum()


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norms normalise by the batch as before, and do not count it a second time."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
