"""The translation attack."""

import itertools

import torch
import torch.nn.functional as F

from dfbench.contracts import Attack


class Shift(Attack):
    """Moves each image by up to ``pixels`` in each direction, edges repeated, to where the model's loss is highest."""

    note = "translation, not L-inf"

    def __init__(self, pixels: int = 1) -> None:
        self.pixels = pixels

    @torch.no_grad()
    def __call__(self, view, x, y, rng):
        p, (height, width) = self.pixels, x.shape[-2:]
        padded = F.pad(x, (p, p, p, p), mode="replicate")
        worst, highest = x, F.cross_entropy(view(x), y, reduction="none")
        for top, left in itertools.product(range(2 * p + 1), repeat=2):
            moved = padded[..., top : top + height, left : left + width]
            loss = F.cross_entropy(view(moved), y, reduction="none")
            worst = torch.where((loss > highest)[:, None, None, None], moved, worst)
            highest = torch.maximum(highest, loss)
        return worst
