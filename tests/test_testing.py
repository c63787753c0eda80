"""The conformance kit fires: each planted defect is named, so that passing it means something."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dfbench.contracts import (
    REQUIRED,
    SPLITS,
    Attack,
    AttackSpec,
    Batch,
    Corruption,
    CorruptionSpec,
    Dataset,
    DatasetSpec,
    Defense,
    DefenseSpec,
    MetricSpec,
    ModelSpec,
    Param,
    Sample,
    Spec,
    Split,
    TrainContext,
)
from dfbench.rng import SampleRng
from dfbench.testing import (
    check_attack,
    check_corruption,
    check_dataset,
    check_defense,
    check_metric,
    check_model,
    check_spec,
)
from dfbench.testing.common import Detector

EPS = Param("eps", float, 8 / 255, low=0, high=1)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """This module, under the name that the specs below use."""
    monkeypatch.setitem(sys.modules, "planted", sys.modules[__name__])


def attack(target: str) -> AttackSpec:
    return AttackSpec("planted", f"planted:{target}", "one line", (EPS,))


# --- specs --------------------------------------------------------------------------------------------------------


class Noise(Attack):
    """Uniform noise."""

    def __init__(self, eps: float = 8 / 255) -> None:
        self.eps = eps

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return (x + rng.uniform(x, -1, 1) * self.eps).clamp(0, 1)


class Undocumented:
    def __init__(self, eps: float = 8 / 255) -> None:
        pass


def test_a_sound_attack_passes() -> None:
    check_spec(attack("Noise"))
    check_attack(attack("Noise"), eps=4 / 255)


@pytest.mark.parametrize(
    "spec, message",
    [
        (replace(attack("Noise"), name="no such!"), "may hold only letters"),
        (replace(attack("Noise"), summary=""), "summary of one line"),
        (replace(attack("Noise"), target="planted:Nois"), "cannot be imported"),
        (attack("Undocumented"), "needs a docstring"),
        (replace(attack("Noise"), params=()), "takes eps, which the spec does not declare"),
        (replace(attack("Noise"), params=(EPS, Param("steps", int, 1))), "does not take the declared parameters steps"),
        (replace(attack("Noise"), params=(replace(EPS, default=4 / 255),)), "but the spec says 0.0156"),
        (replace(attack("Noise"), params=(replace(EPS, default=REQUIRED),)), "but the spec says required"),
        (MetricSpec("m", "planted:Noise", "one line"), r"must take \(label, score, weight\), not \(eps\)"),
    ],
)
def test_a_spec_that_says_otherwise_than_its_target_is_named(spec: Spec, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_spec(spec)


# --- attacks and corruptions --------------------------------------------------------------------------------------


class Loud(Noise):
    """Leaves its ball."""

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return (x + 2 * self.eps * rng.uniform(x, -1, 1)).clamp(0, 1)


class Global(Noise):
    """Draws from the global generator."""

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return (x + self.eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)


class Seeded(Noise):
    """Draws for the batch, with a fixed seed."""

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
        return (x + self.eps * (2 * noise - 1)).clamp(0, 1)


class Stubborn(Noise):
    """Moves at least a little, also at eps 0."""

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return (x + max(self.eps, 1e-7)).clamp(0, 1)


class Silenced(Noise):
    """Hides its eps, so that nothing would check it."""

    def __init__(self, eps: float = 8 / 255) -> None:
        self.own = eps

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return x


class Training(Noise):
    """Leaves the model in training mode."""

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        view.module.train()
        return x


@pytest.mark.parametrize(
    "target, message",
    [
        ("Loud", "left its eps-ball"),
        ("Global", "another result when run again: draw random numbers from rng"),
        ("Seeded", "treats a sample otherwise in another order"),
        ("Stubborn", "changed images by .* at eps 0"),
        ("Silenced", "has eps None: set self.eps"),
        ("Training", "training mode"),
        ("Undocumented", "builds a Undocumented; it must be a dfbench.contracts.Attack"),
    ],
)
def test_a_defective_attack_is_named(target: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_attack(attack(target))


class Invert(Corruption):
    """Inverts."""

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        return 1 - x


class Normalise(Invert):
    """Uses the statistics of the batch."""

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        return (x - x.min()) / (x.max() - x.min())


class Halve(Invert):
    """Changes the size."""

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        return x[..., ::2, ::2]


class Even(Invert):
    """Drops the last row and column of odd sizes."""

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        return x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]


def test_a_sound_corruption_passes() -> None:
    check_corruption(CorruptionSpec("planted", "planted:Invert", "one line"))


@pytest.mark.parametrize(
    "target, message",
    [("Normalise", "otherwise alone in its batch"), ("Halve", "images of shape"), ("Even", "images of shape")],
)
def test_a_defective_corruption_is_named(target: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_corruption(CorruptionSpec("planted", f"planted:{target}", "one line"))


# --- models -------------------------------------------------------------------------------------------------------


class Sound(Detector):
    """As it should be, started from the global seed."""

    def __init__(self) -> None:
        super().__init__(int(torch.randint(2**31, ())))


class BatchStatistics(Sound):
    """Looks at the brightness of the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x.mean()


class Random(Sound):
    """Dropout in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.1 * torch.randn(2)


class Forgetful(Sound):
    """A weight that no checkpoint keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.rand(2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.hidden


class Probabilities(Sound):
    """Softmax inside."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class Frozen(Sound):
    """Nothing to train."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


def test_a_sound_model_passes() -> None:
    check_model(ModelSpec("planted", "planted:Sound", "one line"), size=32)


@pytest.mark.parametrize(
    "target, message",
    [
        ("BatchStatistics", "other logits when it is alone in its batch"),
        ("Random", "other logits when run again in evaluation mode"),
        ("Forgetful", r"does not keep all it learns in state_dict\(\)"),
        ("Probabilities", "probabilities"),
        ("Frozen", "no parameter that learns"),
        ("Invert", "must be an nn.Module"),
    ],
)
def test_a_defective_model_is_named(target: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(ModelSpec("planted", f"planted:{target}", "one line"), size=32)


# --- metrics ------------------------------------------------------------------------------------------------------

Array = np.ndarray[Any, Any]


def error_rate(y: Array, score: Array, weight: Array) -> Array:
    """Share of wrong answers."""
    return (weight * ((score >= 0.5) != y)).sum(1) / weight.sum(1)


def unweighted(y: Array, score: Array, weight: Array) -> Array:
    """Ignores the weights."""
    return np.full(len(weight), ((score >= 0.5) != y).mean())


def scalar(y: Array, score: Array, weight: Array) -> Any:
    """One value for all."""
    return error_rate(y, score, weight)[0]


def ordered(y: Array, score: Array, weight: Array) -> Array:
    """Takes the first sample for the best."""
    return weight[:, 0] * score[0] / weight.sum(1)


def greedy(y: Array, score: Array, weight: Array) -> Array:
    """Overwrites the scores."""
    score[:] = 0
    return error_rate(y, score, weight)


def fragile(y: Array, score: Array, weight: Array) -> Array:
    """Fails without fakes."""
    first = np.flatnonzero(y == 1)[0]
    return error_rate(y, score, weight) + 0 * score[first]


def test_a_sound_metric_passes() -> None:
    check_metric(MetricSpec("planted", "planted:error_rate", "one line", higher_is_better=False))


@pytest.mark.parametrize(
    "target, message",
    [
        ("unweighted", "weight of k for something else"),
        ("scalar", r"returns shape \(\)"),
        ("ordered", "depends on the order"),
        ("greedy", "changes its inputs"),
        ("fragile", "fails on samples of one class: raise MetricUndefined"),
    ],
)
def test_a_defective_metric_is_named(target: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_metric(MetricSpec("planted", f"planted:{target}", "one line"))


# --- data sets ----------------------------------------------------------------------------------------------------


class Stripes(Dataset):
    """Four samples a split; ``defect`` plants one."""

    def __init__(self, defect: str = "") -> None:
        self.defect = defect
        self.nonce = np.random.default_rng().integers(1 << 30)

    @property
    def fingerprint(self) -> str:
        return f"{self.nonce if self.defect == 'fingerprint' else 7:064x}"

    def split(self, name: str) -> Split:
        return StripesSplit(name, self.defect, int(self.nonce))


class StripesSplit(Split):
    def __init__(self, name: str, defect: str, nonce: int) -> None:
        person = "anna" if defect == "leak" else name
        labels = (0, 0, 0, 0) if defect == "one class" else (0, 1, 0, 1)
        self.samples = [Sample(f"{name}-{i}", k, f"{name}-{i}", (f"{person}-{i}",)) for i, k in enumerate(labels)]
        self.name, self.defect, self.nonce = name, defect, nonce

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> Array:
        own = self.nonce if self.defect == "instance" else 0
        drawn = (seed, epoch) if self.name == "train" or self.defect == "epoch" else (0, 0)
        seeds = (SPLITS.index(self.name), index, own, *drawn)
        pixels = np.random.default_rng(seeds).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return pixels / 255 if self.defect == "float" else pixels


def check_stripes(cache: Path, defect: str) -> None:
    spec = DatasetSpec("planted", "planted:Stripes", "one line", (Param("defect", str, ""),))
    check_dataset(spec, cache, defect=defect)


def test_a_sound_data_set_passes(tmp_path: Path) -> None:
    check_stripes(tmp_path, "")


@pytest.mark.parametrize(
    "defect, message",
    [
        ("leak", "leaks: .* 4 identities are in both train and val"),
        ("one class", "no fake samples"),
        ("fingerprint", "another fingerprint when prepared again"),
        ("instance", "other pixels in another thread or instance"),
        ("epoch", "changes with epoch or seed; only 'train' may"),
        ("float", "pixels of type float64"),
    ],
)
def test_a_defective_data_set_is_named(tmp_path: Path, defect: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_stripes(tmp_path, defect)


# --- defenses -----------------------------------------------------------------------------------------------------


class Smooth(Defense):
    """Consistency under noise of a strength that it learns."""

    def setup(self, context: TrainContext) -> None:
        self.strength = nn.Parameter(torch.rand(()))

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        loss = context.criterion(context.model(batch.x + 0.1 * self.strength), batch.y)
        with torch.no_grad():
            self.strength += 0.1
        return {"smooth": loss}

    def state_dict(self) -> dict[str, Any]:
        return {"strength": self.strength.detach()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.strength.data.copy_(state["strength"])


class Amnesiac(Smooth):
    """Saves nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Detached(Smooth):
    """Its loss does not reach the detector."""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        return {"strength": self.strength * 1.0}


class Infinite(Smooth):
    """Its loss overflows."""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        return {"big": context.model(batch.x).sum() * torch.inf}


class Intruder(Smooth):
    """Trains the detector by itself."""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        with torch.no_grad():
            next(context.model.parameters()).mul_(0.9)
        return {}


class Evaluating(Smooth):
    """Forgets to restore the mode."""

    def losses(self, batch: Batch, context: TrainContext) -> dict[str, Tensor]:
        context.model.eval()
        return {}


def test_a_sound_defense_passes() -> None:
    check_defense(DefenseSpec("planted", "planted:Smooth", "one line"))


@pytest.mark.parametrize(
    "target, message",
    [
        ("Amnesiac", "goes on otherwise after a resume"),
        ("Detached", "'strength' does not reach the detector"),
        ("Infinite", "the loss term 'big' is"),
        ("Intruder", "changes the detector's 'features.0.weight'"),
        ("Evaluating", "leaves the detector in another mode"),
    ],
)
def test_a_defective_defense_is_named(target: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_defense(DefenseSpec("planted", f"planted:{target}", "one line"))
