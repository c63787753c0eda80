"""The U-Net attack: a network learns, on the attack-training split, to draw perturbations that fool a frozen model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from dfbench.checkpoint import load_into
from dfbench.contracts import Batch, LearnedAttack, Progress
from dfbench.curves import windows
from dfbench.errors import ContractError, UsageError
from dfbench.keys import file_sha256
from dfbench.perturbation import UNetAttacker, attacker_loss, low_band_ratio, total_variation
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView

LOG_POINTS = 40
"""Entries of the log of a fit, at most."""


class UNetAttack(LearnedAttack):
    """A U-Net that maps an image to its perturbation, fitted to the model under attack; one forward pass per image.

    ``fit`` trains a fresh U-Net against the frozen model (white box): it minimises
    ``margin(f(clamp(x + delta, 0, 1)), y) + tv * TV(delta / eps) + freq * LF(delta / eps)``, see
    ``dfbench.perturbation.attacker_loss``.
    With ``source`` the U-Net comes from a file instead, for example out of ``dual`` training of another model, and the
    row is marked "transfer".

    Args:
        eps: L-inf bound, in [0, 1] pixels.
        tv: weight of the total variation.
        freq: weight of the low-frequency energy.
        objective: ``margin`` or ``ce``, see ``attacker_loss``.
        epochs: passes over the attack-training split.
        lr: learning rate of AdamW, falling to zero along a cosine, epoch by epoch.
        weight_decay: of AdamW.
        source: a ``.safetensors`` file, or the folder of a run that holds ``attackers/*.safetensors``; empty to fit.

    Raises:
        CheckpointError: ``source`` is damaged or holds something else.
        UsageError: ``source`` does not exist, or is a folder without exactly one attacker.
    """

    eps: float
    module: UNetAttacker

    def __init__(
        self,
        eps: float = 8 / 255,
        tv: float = 0.01,
        freq: float = 0.01,
        epochs: int = 2,
        lr: float = 4e-3,
        weight_decay: float = 1e-5,
        objective: str = "margin",
        source: str = "",
    ) -> None:
        self.eps = eps
        self.tv = tv
        self.freq = freq
        self.epochs = epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.objective = objective
        self.source = source
        self.module = _fresh(eps, seed=0)
        if source:
            self.note = "transfer"
            path = find_attacker(Path(source))
            load_into(self.module, path, "a U-Net attacker")
            self.fingerprint = file_sha256(path)
            self.module.eval()

    @property
    def needs_fit(self) -> bool:
        """Whether there is anything to learn: not where the U-Net was loaded, nor at eps 0."""
        return not self.source and self.eps > 0

    def passes(self) -> tuple[float, float]:
        """None through the detector: the attacker draws in one pass of its own."""
        return (0.0, 0.0)

    def fit_epochs(self) -> float:
        """See :class:`~dfbench.contracts.LearnedAttack`."""
        return float(self.epochs)

    def fit(self, view: ModelView, batches: Callable[[int], Iterator[Batch]], seed: int, progress: Progress) -> None:
        """Train a fresh U-Net against the frozen model; see :class:`~dfbench.contracts.LearnedAttack`."""
        self.module = _fresh(self.eps, derive_seed(seed, "unet")).to(view.device).train()
        optimiser = torch.optim.AdamW(self.module.parameters(), self.lr, weight_decay=self.weight_decay)
        rows: list[dict[str, float]] = []
        with progress.task("U-Net attacker", self.epochs) as advance:
            for epoch in range(self.epochs):
                for group in optimiser.param_groups:
                    group["lr"] = self.lr * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
                for batch in batches(epoch):
                    rows.append({"step": len(rows), **self._step(view, batch, optimiser)})
                    advance(0, f"loss {rows[-1]['loss']:.3f}  success {rows[-1]['success']:.2f}")
                advance(1)
        self.log = windows(rows, LOG_POINTS)
        self.module.eval()

    def _step(self, view: ModelView, batch: Batch, optimiser: torch.optim.Optimizer) -> dict[str, float]:
        delta = self.module(batch.x)
        logits = view((batch.x + delta).clamp(0, 1))
        loss = attacker_loss(logits, batch.y, delta, eps=self.eps, tv=self.tv, freq=self.freq, objective=self.objective)
        if not bool(torch.isfinite(loss)):
            raise ContractError("the U-Net attacker's loss became NaN or infinite: check the model, or lower lr")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        optimiser.step()
        delta = delta.detach()
        return {
            "loss": float(loss.detach()),
            "success": float((logits.detach().argmax(1) != batch.y).float().mean()),
            "tv": float(total_variation(delta / self.eps)),
            "low_band": float(low_band_ratio(delta).mean()),
        }

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Attack`."""
        if self.eps == 0:
            return x.clone()
        self.module.to(x.device).eval()
        with torch.no_grad():
            delta: Tensor = self.module(x)
            return (x + delta).clamp_(0, 1)


def find_attacker(source: Path) -> Path:
    """The attacker's file: ``source`` itself, or the only ``attackers/*.safetensors`` in the run's folder ``source``.

    Raises:
        UsageError: there is none, or more than one.
    """
    if source.is_file():
        return source
    if not source.is_dir():
        raise UsageError(f"unet(source={source}): no such file or folder; give a .safetensors file or a run's folder")
    found = sorted((source / "attackers").glob("*.safetensors"))
    if not found:
        raise UsageError(f"unet(source={source}): the folder holds no attackers/*.safetensors; give the file itself")
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(source)) for path in found)
        raise UsageError(f"unet(source={source}): the folder holds {len(found)} attackers; name one of: {names}")
    return found[0]


def _fresh(eps: float, seed: int) -> UNetAttacker:
    """A U-Net with weights that depend on ``seed`` alone; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNetAttacker(eps)
