"""A detector on images with basis images added: the logit margins, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dfbench.contracts import FAKE
from dfbench.explain.common import Request
from dfbench.fourier import Frequency, basis, bins, perturb, radius, signs
from dfbench.measure import REPLICATES
from dfbench.stats import bootstrap_weights

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Response:
    """One detector on every sample (N) in every direction (D).

    Args:
        directions: the frequencies of the basis images.
        shape: height and width of the images.
        videos: the cluster of each sample (N,).
        clean: margin of each clean image (N,): the true class's logit minus the other one.
        margins: the same of the perturbed images (D, N).
        labels: (N,).
    """

    directions: Sequence[Frequency]
    shape: tuple[int, int]
    videos: Array
    labels: Array
    clean: Array
    margins: Array

    def wrong(self, margins: Array) -> Array:
        """Whether images are misclassified: a tie counts as fake, as everywhere."""
        return np.where(self.labels == FAKE, margins < 0, margins <= 0)

    @property
    def excess(self) -> Array:
        """What each direction changes in the error of each sample (D, N): -1, 0 or 1."""
        return self.wrong(self.margins).astype(float) - self.wrong(self.clean)

    @property
    def radii(self) -> Array:
        """Radial frequency of each direction (D,), cycles per pixel."""
        return np.array([radius(direction, *self.shape) for direction in self.directions])

    @property
    def area(self) -> Array:
        """How many bins of the plane each direction stands for (D,): itself and its conjugate."""
        return np.array([bins(direction, *self.shape) for direction in self.directions], dtype=float)

    @property
    def margin_change(self) -> Array:
        """What each direction changes in the margin of each sample (D, N); below 0 is towards an error."""
        return np.asarray(self.margins - self.clean)

    def replicates(self, values: Array) -> Array:
        """The means of values (D, N) over the samples: over all of them, then the bootstrap replicates (1 + R, D)."""
        weights = np.vstack([np.ones(len(self.videos), np.int32), bootstrap_weights(self.videos, REPLICATES, seed=0)])
        return np.asarray(weights / weights.sum(1, keepdims=True) @ values.T)


@torch.inference_mode()
def measure(
    request: Request,
    model: nn.Module,
    directions: Sequence[Frequency],
    *,
    limit: int,
    rms: float,
    seed: int,
    advance: Callable[..., None],
) -> Response:
    """The margins of a detector on the clean and on the perturbed images; the batch size does not change them."""
    clean, margins, labels, videos = [], [], [], []
    images = None
    for batch, samples in request.batches(limit):
        x, y = batch.x, batch.y
        if images is None:
            images = basis(directions, *x.shape[-2:]).to(x.device)
        sign = signs(batch.ids, directions, seed).to(x.device)
        clean.append(_margins(model, x, y))
        together = max(1, request.batch_size // len(x))  # directions at a time
        found = []
        for start in range(0, len(directions), together):
            part = slice(start, start + together)
            perturbed = perturb(x, images[part], sign[:, part], rms)
            many = perturbed.shape[1]
            seen = perturbed.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            found.append(_margins(model, seen, y.repeat_interleave(many)).reshape(len(x), many))
            advance(len(seen))
        margins.append(np.concatenate(found, 1).T)
        labels.append(y.cpu().numpy())
        videos += [sample.video for sample in samples]
        shape = (int(x.shape[-2]), int(x.shape[-1]))
    return Response(
        directions, shape, np.array(videos), np.concatenate(labels), np.concatenate(clean), np.concatenate(margins, 1)
    )


def _margins(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Array:
    logits = model(x).double()
    sign = torch.where(y == FAKE, 1.0, -1.0).double()
    return np.asarray(((logits[:, 1] - logits[:, 0]) * sign).cpu())
