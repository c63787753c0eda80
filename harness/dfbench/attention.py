"""Attention under attack: does a detector look where it looked on the clean image?

A Grad-CAM map of every clean image of a split is made once, for the class that the detector predicts on it. Whatever
the image becomes later (attacked, corrupted) is explained for that same class, and its map compared with three others:
the clean one, and two that have nothing to do with the image, which tell how alike maps are by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfbench.contracts import Progress, Sample, Split
from dfbench.errors import UsageError
from dfbench.gradcam import explained, predicted
from dfbench.loader import Loader
from dfbench.rng import SampleRng, derive_seed
from dfbench.similarity import iinc, pearson, top_cell_iou

MEASURES = {"cam_pearson": pearson, "cam_iinc": iinc, "cam_iou": top_cell_iou}
"""What of two maps is measured, by the column it is kept in."""

Columns = dict[str, NDArray[Any]]


def require_cam_layer(name: str, cam_layer: str) -> None:
    """Refuse a detector whose attention cannot be measured, before any work is spent on it.

    Args:
        name: what errors call it.
        cam_layer: see :class:`~dfbench.contracts.Model`.

    Raises:
        UsageError: it names no layer for Grad-CAM.
    """
    if not cam_layer:
        raise UsageError(
            f"the model {name!r} has no layer whose output is a map, so that Grad-CAM cannot show where "
            "it looks: leave out --cam (in a file: cam = true), or take a convolutional model"
        )


class Attention:
    """Where a detector looks on the clean images of a split, and how alike it looks on what becomes of them.

    Keeps the clean maps, 200 bytes an image on a grid of 7 x 7, and nothing of what it looked at since: the cells of an
    interrupted evaluation need no state of it, it is made again.

    Args:
        model: the detector, in evaluation mode on ``device``.
        split: the images.
        batch_size, device: how it is run; they change no result but for float rounding.
        progress, title: where progress is told, and under what name.

    Raises:
        UsageError: the detector names no layer for Grad-CAM.
        ContractError: it breaks the contract of that layer, or gives NaN.
    """

    def __init__(
        self,
        model: nn.Module,
        split: Split,
        *,
        batch_size: int,
        device: torch.device,
        progress: Progress,
        title: str,
    ) -> None:
        require_cam_layer(type(model).__name__, str(getattr(model, "cam_layer", "")))
        self._model = model
        self._place = {sample.id: place for place, sample in enumerate(split.samples)}
        self._other = other_images(split.samples)
        classes, maps = [], []
        with progress.task(title, len(split.samples)) as advance:
            for batch in Loader(split, batch_size, device).epoch():
                found, logits = explained(model, batch.x)
                maps.append(found.cpu().numpy())
                classes.append(predicted(logits).cpu().numpy())
                advance(len(batch.ids))
        self.predicted: NDArray[np.int64] = np.concatenate(classes)
        """Class predicted on each clean image (n,)."""
        self.maps: NDArray[np.float32] = np.concatenate(maps)
        """Grad-CAM maps of the clean images, for that class (n, h, w) in [0, 1]."""

    def look(self, x: Tensor, ids: Sequence[str]) -> tuple[Tensor, Columns]:
        """How the detector looks at images (B, 3, H, W) that some of the clean ones became.

        Args:
            x: the images.
            ids: of their samples.

        Returns:
            The detector's logits (B, 2), of the pass that the maps are made in; and by column, a value per image (B,):
            ``cam_pearson``, ``cam_iinc`` and ``cam_iou`` of its map and the clean one (see :mod:`dfbench.similarity`),
            NaN where undefined; each also with ``_random``, of its map and a random one (:func:`random_maps`), and
            ``_shuffled``, of its map and the clean map of another image (:func:`other_images`); ``cam_empty_clean``
            and ``cam_empty``, whether the clean map and its own are all zero; ``flipped``, whether the predicted class
            is another than on the clean image. All maps of a sample but the shuffled one are of the class predicted on
            its clean image.
        """
        place = np.array([self._place[sample_id] for sample_id in ids])
        target = torch.from_numpy(self.predicted[place])
        maps, logits = explained(self._model, x, target.to(x.device))
        seen, clean = maps.cpu().numpy(), self.maps[place]
        other = self._other[place]
        references = {
            "": clean,
            "_random": random_maps(ids, clean.shape[1:]),
            # Where there is no other image an empty map stands in, and the values are struck out below.
            "_shuffled": self.maps[other] * (other >= 0)[:, None, None],
        }
        columns: Columns = {
            name + floor: measure(reference, seen)
            for name, measure in MEASURES.items()
            for floor, reference in references.items()
        }
        for name in MEASURES:
            columns[f"{name}_shuffled"][other < 0] = np.nan
        columns["cam_empty_clean"], columns["cam_empty"] = _empty(clean), _empty(seen)
        columns["flipped"] = (predicted(logits).cpu() != target).numpy()
        return logits, columns


def random_maps(ids: Sequence[str], grid: tuple[int, ...]) -> NDArray[np.float32]:
    """Maps (B, h, w) that look like Grad-CAM but know nothing of the image; each depends on its sample's id alone.

    Standard normal numbers through a ReLU, divided by their maximum; with the opposite sign where none is positive, so
    that no map is empty. Neighbours are independent, which those of a real map are not. That hardly moves a mean over
    many samples: smoothed noise, and real maps with their cells in random order, gave floors within 0.06 of these.
    """
    noise = SampleRng(derive_seed("random attention"), ids).normal(torch.empty(len(ids), *grid))
    noise = torch.where(noise.amax((1, 2), keepdim=True) > 0, noise, -noise).relu()
    maps: NDArray[np.float32] = (noise / noise.amax((1, 2), keepdim=True)).numpy()
    return maps


def other_images(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """For each sample the place of another one, of another video, that stands in for it: every one for one (n,).

    Decided by hashes of the ids and videos, whatever the order of the samples: in the order of the hashes each video's
    samples are neighbours, and everyone is given the one as many places on as the largest video has samples. -1 where
    that is the same video still, because it holds more than half of all.
    """
    videos = [sample.video for sample in samples]
    _, sizes = np.unique(videos, return_counts=True)
    order = sorted(range(len(samples)), key=lambda i: (derive_seed(videos[i]), derive_seed(samples[i].id)))
    other = np.empty(len(samples), dtype=np.int64)
    other[order] = np.roll(order, -int(sizes.max()))
    return np.array([j if videos[i] != videos[j] else -1 for i, j in enumerate(other)], dtype=np.int64)


def _empty(maps: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(maps.max(axis=(1, 2)) == 0)
