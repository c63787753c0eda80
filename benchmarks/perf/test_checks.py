"""The fast checks of a verdict beside the scoring of the cell that they belong to: a fifth of its time at most.

The detector has random weights; what a check costs does not depend on what it finds. Only where samples withstood are
they looked at for longer, so that a small eps is the dear case.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from dfbench.contracts import Attack, Sample, Split
from dfbench.evaluate import CellScores, Scene, score_cells
from dfbench.progress import Silent
from dfbench.store import Store
from dfbench.trust.run import Scored, run_checks
from dfbench.trust.subject import Subject
from dfbench.view import ModelView
from dfbench_attacks.gradient import FGSM, PGD
from dfbench_models.hybrid import Hybrid

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROUNDS = {"rounds": 3, "warmup_rounds": 1, "iterations": 1}
SIZE, COUNT = 96, 160


class Noise(Split):
    """Noise images of both labels."""

    def __init__(self) -> None:
        self.samples = [Sample(str(i), i % 2, str(i)) for i in range(COUNT)]
        self.images = np.random.default_rng(0).integers(0, 256, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray:
        return self.images[index]


@functools.cache
def detector() -> nn.Module:
    torch.manual_seed(0)
    return Hybrid().to(DEVICE).to(memory_format=torch.channels_last).eval()


@functools.cache
def split() -> Noise:
    return Noise()


def score(attack: Attack) -> CellScores:
    scene = Scene("attack", attack, "none", None)
    found, failures = score_cells(
        detector(), [scene], split(), batch_size=32, seed=0, device=DEVICE, progress=Silent(), title=""
    )
    assert not failures
    return found[scene]


class Cell:
    """The rows of one table."""

    attack: Attack

    def test_scoring(self, benchmark) -> None:
        benchmark.pedantic(lambda: score(self.attack), **ROUNDS)

    def test_fast_checks(self, benchmark, tmp_path) -> None:
        cell = score(self.attack)
        passes = cell.forwards + 2 * cell.backwards
        scored = Scored("", cell.frame, self.attack, None, "none", self.attack.iterative, passes)
        view = ModelView(detector())
        number = iter(range(100))

        def run() -> None:
            store = Store(tmp_path / str(next(number)))  # empty: nothing is answered from it
            subject = Subject(detector(), view, True, False, 0)
            run_checks("fast", [scored], split(), subject=lambda: subject, store=store, device=DEVICE,
                       progress=Silent(), title="")  # fmt: skip

        benchmark.pedantic(run, **ROUNDS)


@pytest.mark.benchmark(group=f"fast checks, PGD of ten steps, hybrid at {SIZE} x {SIZE}, {COUNT} images")
class TestPgd(Cell):
    attack = PGD(eps=0.05 / 255)


@pytest.mark.benchmark(group=f"fast checks, FGSM, hybrid at {SIZE} x {SIZE}, {COUNT} images")
class TestFgsm(Cell):
    attack = FGSM(eps=0.05 / 255)
