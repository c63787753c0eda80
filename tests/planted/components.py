"""Components that break their contract: the run stops, or its cell fails, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from conftest import TINY
from detectors import SmallDetector, noise_images, own_labels, small_detector
from torch import Tensor, nn

from dfbench import similarity
from dfbench.contracts import Attack, Batch, Defense, MetricUndefined, ModelSpec, TrainContext
from dfbench.errors import DfbenchError
from dfbench.progress import Silent
from dfbench.recipe import Recipe
from dfbench.registry import load_registry
from dfbench.rng import SampleRng
from dfbench.testing import check_model as conforms
from dfbench.threat import check_model, checked
from dfbench.train import train
from dfbench.view import ModelView
from dfbench_attacks.gradient import MIFGSM, PGD

from .fault import Fault, Findings, Ground

EPS = 8 / 255


def stopped(work: Callable[[], object]) -> list[str]:
    """The message with which the harness stops some work."""
    try:
        work()
    except (DfbenchError, AssertionError) as error:
        return [str(error)]
    return []


# --- attacks ----------------------------------------------------------------------------------------------------


class NoIdentity(PGD):
    """PGD that keeps its random start at eps 0, as float rounding or an 8-bit round trip do."""

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return (super().__call__(view, x, y, rng) + 1 / 255).clamp(0, 1)


class PoisonedMomentum(MIFGSM):
    """MIFGSM whose momentum became NaN once and stays so."""

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return super().__call__(view, x, y, rng) * float("nan")


class ThroughTheWeights(PGD):
    """PGD that leaves the detector changed."""

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        next(view.module.parameters()).data.mul_(0.5)
        return super().__call__(view, x, y, rng)


def attacked(attack: Attack) -> Findings:
    """What the post-conditions say of an attack on a batch."""

    def findings(ground: Ground) -> list[str]:
        model = small_detector()
        x = noise_images(4) * 0.8 + 0.1
        return stopped(lambda: checked(attack, ModelView(model), x, own_labels(model, x), SampleRng(0, "abcd")))

    return findings


# --- models -----------------------------------------------------------------------------------------------------


class Probabilities(SmallDetector):
    """Gives probabilities in place of logits."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class Detached(SmallDetector):
    """Cuts its gradient off, so that no attack finds its way."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.detach())


class FileOrder(SmallDetector):
    """Knows that reals come first: answers by how many images it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        place = self.seen + torch.arange(len(x), device=x.device)
        self.seen += len(x)
        sign = torch.where(place < 12, 1.0, -1.0)
        return logits * 1e-3 + torch.stack([sign, -sign], 1)


class Plain(SmallDetector):
    """Without a memory."""


def model(kind: type[nn.Module]) -> Findings:
    """What the checks before a run say of a model."""
    return lambda ground: stopped(lambda: check_model(kind(), 32, name=kind.__name__))


def conforming(kind: type[nn.Module]) -> Findings:
    """What the conformance kit says of a model."""
    spec = ModelSpec(kind.__name__, f"{kind.__module__}:{kind.__name__}", "planted", version="1")
    return lambda ground: stopped(lambda: conforms(spec, size=32))


# --- training ---------------------------------------------------------------------------------------------------


class Poison(Defense):
    """A loss on attacked images that is NaN."""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        return {"pgd": context.model(batch.x).sum() * float("nan")}


def trained(objectives: Sequence[Defense]) -> Findings:
    """What an epoch of training says."""

    def findings(ground: Ground) -> list[str]:
        folder = ground.fresh()
        dataset = load_registry().component("dataset", f'folder(path="{ground.faces}", size=64)').build()
        dataset.prepare(str(folder), Silent())
        torch.manual_seed(0)
        detector = load_registry().component("model", TINY).build()
        recipe, device = Recipe(epochs=1, batch_size=16, lr=1e-2, precision="fp32"), torch.device("cpu")
        keywords: Any = {"seed": 0, "device": device, "progress": Silent(), "title": "train"}
        return stopped(
            lambda: train(detector, list(objectives), recipe, dataset, state_file=folder / "state.pt", **keywords)
        )

    return findings


# --- attention --------------------------------------------------------------------------------------------------


def consistency(maps: np.ndarray) -> Findings:
    """Why the correlation of attention maps has no value."""

    def findings(ground: Ground) -> list[str]:
        metric = load_registry().component("metric", "cam_pearson").load()
        try:
            metric(similarity.pearson(maps, maps), np.ones((1, len(maps)), np.int32))
        except MetricUndefined as reason:
            return [str(reason)]
        return []

    return findings


MAPS = np.random.default_rng(0).random((4, 7, 7))
RUN, KIT = "the run", "the conformance kit"

FAULTS = [
    Fault("an attack that changes the detector", "weights halved during the attack", RUN,
          r"changed the model under attack", attacked(ThroughTheWeights(EPS)), attacked(PGD(EPS))),
    Fault("eps 0 that is no identity", "images changed by one grey level at eps 0", RUN,
          r"changed images by 0.00392 at eps 0", attacked(NoIdentity(0.0)), attacked(PGD(0.0))),
    Fault("NaN in the momentum", "an attack whose images are NaN", RUN,
          r"returned NaN or infinity in 4 of 4 images", attacked(PoisonedMomentum(EPS)), attacked(MIFGSM(EPS))),
    Fault("probabilities in place of logits", "a softmax at the end of the detector", RUN,
          r"returned probabilities \(rows sum to 1\)", model(Probabilities), model(SmallDetector)),
    Fault("a detach in the detector", "no gradient reaches the input", RUN,
          r"lets no gradient through to its input", model(Detached), model(SmallDetector)),
    Fault("a model that memorises file order", "answers by how many images it has seen", KIT,
          r"gives a sample other logits when it is alone in its batch", conforming(FileOrder), conforming(Plain)),
    Fault("a NaN loss", "the loss on attacked images is NaN", RUN,
          r"the pgd loss became nan in epoch 0, step 0", trained([Poison()]), trained([Defense()])),
    Fault("consistency of empty attention maps", "Grad-CAM maps of zeros, before and after", RUN,
          r"no sample has two maps to compare: they are empty", consistency(0 * MAPS), consistency(MAPS)),
]  # fmt: skip
