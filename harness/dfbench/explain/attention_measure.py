"""What attention is judged by: Grad-CAM of every detector on clean and attacked images, and where the faces are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dfbench.contracts import Batch, Sample
from dfbench.errors import UsageError
from dfbench.explain.common import Request, arm_names, attacker
from dfbench.faces import FaceDetector
from dfbench.gradcam import grad_cam
from dfbench.rundir import TrainedArm

CLEAN = "none"
"""How the condition without an attack is called, as in a record."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Look:
    """One detector on the samples (n) in one condition.

    Args:
        maps: Grad-CAM of the class predicted on the clean image (n, h, w), in [0, 1].
        scores: probability of fake (n,).
    """

    maps: NDArray[np.float32]
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class Attention:
    """Everything that was looked at.

    Args:
        samples: in the order of all arrays (n).
        images: the clean ones, RGB uint8 (n, H, W, 3).
        boxes: left, top, right and bottom of the largest face in the clean image, in pixels; it may reach beyond the
            image. None where no face was found.
        arms: what tables call the detectors.
        looks: by detector and condition, :data:`CLEAN` or the label of an attack.
    """

    samples: Sequence[Sample]
    images: NDArray[np.uint8]
    boxes: Sequence[Box | None]
    arms: dict[TrainedArm, str]
    looks: dict[tuple[TrainedArm, str], Look]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each sample (n,)."""
        return np.array([sample.label for sample in self.samples])

    @property
    def conditions(self) -> list[str]:
        """Clean, then the attacks."""
        return list(dict.fromkeys(condition for _, condition in self.looks))


def look(request: Request) -> Attention:
    """Run every detector of the request on clean and attacked images, and the face detector on the clean ones.

    Raises:
        UsageError: a detector has no layer for Grad-CAM.
        ContractError: an attack broke its contract.
        MissingDependency: the face detector's package is not installed.
    """
    found: FaceDetector = request.run.registry.component("detector", request.detector).build()
    found.to(str(request.run.device))
    samples: list[Sample] = []
    images, boxes = [], []
    for batch, known in request.batches():
        samples += known
        images.append(_uint8(batch))
        boxes += [faces[0].box if faces else None for faces in found(images[-1])]
    names = arm_names(request.arms)
    looks: dict[tuple[TrainedArm, str], Look] = {}
    for arm, name in names.items():
        looks |= _looks(request, arm, name, len(samples))
    return Attention(samples, np.concatenate(images), boxes, names, looks)


def _looks(request: Request, arm: TrainedArm, name: str, count: int) -> dict[tuple[TrainedArm, str], Look]:
    model = request.run.model(arm)
    if not getattr(model, "cam_layer", ""):
        raise UsageError(
            f"the model {arm.model!r} has no layer whose output is a map, so that Grad-CAM cannot show where it looks: "
            "choose other evidence with --only frequency or --only attackers"
        )
    parts: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {CLEAN: [], **{label: [] for label in request.attacks}}
    attacks = {label: attacker(request, arm, label, model) for label in request.attacks}
    with request.progress.task(f"attention: {name}", count * len(parts)) as advance:
        for batch, _ in request.batches():
            predicted = None
            for condition, found in parts.items():
                x = batch.x if condition == CLEAN else attacks[condition](batch)
                with torch.inference_mode():
                    scores = model(x).double().softmax(1)[:, 1]
                if predicted is None:
                    predicted = (scores >= 0.5).long()  # of the clean image: one class for all conditions
                maps = grad_cam(model, x, predicted)
                found.append((maps.cpu().numpy(), scores.cpu().numpy()))
                advance(len(x))
    return {
        (arm, condition): Look(*(np.concatenate(column) for column in zip(*found, strict=True)))
        for condition, found in parts.items()
    }


def _uint8(batch: Batch) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = (batch.x * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels
