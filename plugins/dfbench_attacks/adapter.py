"""Every attack class of torchattacks as an attack of dfbench: ``dfbench_attacks.adapter:PGD`` is torchattacks' PGD."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dfbench.contracts import Attack
from dfbench.errors import ContractError, DfbenchError, MissingDependency, UsageError, did_you_mean
from dfbench.rng import SampleRng, derive_seed
from dfbench.view import ModelView
from dfbench_attacks.catalogue import INSTALL, Entry, entries

_THIRD = "its targeted DLR loss divides by the logit of a fourth class, and a detector has two"
_DLR = "the DLR loss divides by the logit of a third class, and a detector has two; use loss=ce"

UNUSABLE = {
    "APGDT": f"{_THIRD}; use torchattacks/APGD",
    "AutoAttack": "every version holds an attack on the DLR loss, which needs a third class; run torchattacks/APGD, "
    "torchattacks/FAB and torchattacks/Square instead",
    "JSMA": "untargeted, it aims at class label + 1 of ten, and a detector has two; use torchattacks/Pixle or "
    "torchattacks/OnePixel",
    "LGV": "it retrains the model from a data loader, and the harness attacks a frozen model; use torchattacks/BIM",
    "MultiAttack": "it takes a list of attack objects; give several --attack options instead",
}
"""Attacks that cannot work here, and why; a test tries every attack and holds this table to the truth."""

UNUSABLE_VALUES = {
    ("APGD", "loss", "dlr"): _DLR,
    ("UPGD", "loss", "dlr"): _DLR,
    ("FAB", "norm", "L1"): "torchattacks names this norm but does not implement it; use norm=Linf or norm=L2",
}
"""Parameter values that cannot work here: (attack, parameter, value) and why."""


class TorchAttack(Attack):
    """An attack of torchattacks, run sample by sample so that neither batch size nor order can change its result.

    The view is handed over as it is: no normalisation, its own device, two classes. All three random generators
    (torch, numpy, random) are seeded from the run's seed and the sample's id, and restored. Nothing is clamped: an
    attack that leaves [0, 1] or its ball fails the harness's post-conditions.

    Raises:
        MissingDependency: torchattacks is not installed.
        UsageError: the attack, or a value of a parameter, cannot work on a two-class detector.
    """

    entry: ClassVar[Entry]

    def __init__(self, **params: Any) -> None:
        name = self.entry.name
        try:
            import torchattacks
        except ImportError as error:
            raise MissingDependency(
                f"the attack 'torchattacks/{name}' needs the package torchattacks, which is not installed: {INSTALL}"
            ) from error
        bound = type(self).__signature__.bind(**params)  # type: ignore[attr-defined]
        bound.apply_defaults()
        self.params: dict[str, Any] = dict(bound.arguments)
        reason = UNUSABLE.get(name, "")
        for parameter, value in self.params.items():
            reason = reason or UNUSABLE_VALUES.get((name, parameter, str(value)), "")
        if reason:
            raise UsageError(f"the attack 'torchattacks/{name}' cannot be used here: {reason}")
        self.eps = self.entry.bound(self.params)
        self.eot = int(self.params.get("eot_iter", 1))
        self._class = getattr(torchattacks, name)

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Attack`."""
        if self.params.get("eps", self.params.get("max_epsilon")) == 0:
            return x.clone()  # torchattacks' random starts and noise would change the images
        rows = [
            self._one(view, image, label, derive_seed(rng.seed, "torchattacks", sample_id))
            for image, label, sample_id in zip(x.split(1), y.split(1), rng.ids, strict=True)
        ]
        return torch.cat(rows)

    def _one(self, view: ModelView, x: Tensor, y: Tensor, seed: int) -> Tensor:
        values = {"model": _Network(view), "seed": seed % 2**32, "n_classes": 2, "verbose": False}
        owned = {name: values[name] for name in self.entry.owned if name in values}
        with _seeded(seed, x.device):
            try:
                x_adv: Tensor = self._class(**owned, **self.params)(x, y)
            except DfbenchError:
                raise
            except Exception as error:
                raise ContractError(
                    f"the attack 'torchattacks/{self.entry.name}' failed inside torchattacks "
                    f"({type(error).__name__}: {error}); it may not suit two classes or this image size"
                ) from error
        return x_adv.detach()


class _Network(nn.Module):
    """The view as the ``nn.Module`` that torchattacks asks for; its parameters tell the device."""

    def __init__(self, view: ModelView) -> None:
        super().__init__()
        self.inner = view.module
        self._view = view
        self.training = view.module.training  # torchattacks calls .eval() and, where this was True, .train()

    def forward(self, x: Tensor) -> Tensor:
        return self._view(x)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch, numpy and random seeded within, and as they were afterwards."""
    devices = [device] if device.type == "cuda" else []
    numpy_state, python_state = np.random.get_state(), random.getstate()  # the state torchattacks draws from
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


@cache
def _adapted(name: str) -> type[TorchAttack]:
    entry = entries()[name]
    kind = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(p.name, kind, default=p.default) for p in entry.params])
    doc = f"{entry.summary or name}, as torchattacks implements it. {entry.source}"
    attributes = {"entry": entry, "__doc__": doc, "__signature__": signature, "__module__": __name__}
    return type(name, (TorchAttack,), attributes)


def __getattr__(name: str) -> type[TorchAttack]:
    """The adapted class of that name, made on first use."""
    if name not in entries():
        raise AttributeError(f"torchattacks has no attack {name!r}: {did_you_mean(name, entries())}")
    return _adapted(name)
