"""Defenses that hide from attacks, and attacks that miss: what the verdict of a cell must find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np
import torch
from conftest import draw
from detectors import SmallDetector
from torch import Tensor, nn

from dfbench.contracts import Attack, Defense, Sample, Split
from dfbench.deployment import Guarded, deploy
from dfbench.evaluate import Scene, score_cells
from dfbench.pgd import pgd
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.rng import SampleRng
from dfbench.store import Store
from dfbench.trust.cell import iterated
from dfbench.trust.result import SUSPECT, verdict
from dfbench.trust.run import Scored, run_checks
from dfbench.trust.subject import Subject
from dfbench.view import ModelView

from .fault import Fault, Ground

SIZE = 32
CPU = torch.device("cpu")


class Drawn(Split):
    """Images of the tests, half of them fake."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.samples = [Sample(f"{seed}-{i}", i % 2, f"{seed}-{i}") for i in range(count)]
        self.images = [draw(rng, bool(sample.label), SIZE) for sample in self.samples]

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray:
        return self.images[index]


TESTED, FEW = Drawn(160, 1), Drawn(32, 1)


@cache
def trained() -> SmallDetector:
    """A small detector that tells fakes from reals, and that attacks break."""
    split = Drawn(512, 0)
    x = torch.from_numpy(np.stack(split.images)).permute(0, 3, 1, 2).float() / 255
    y = torch.tensor([sample.label for sample in split.samples])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SmallDetector().train()
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(120):
            rows = torch.randperm(len(x))[:64]
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


class Deployed(Defense):
    """A defense that acts at inference alone."""

    def __init__(self, wrap: Callable[[nn.Module], nn.Module], **declared: bool) -> None:
        self._wrap = wrap
        for name, value in declared.items():
            setattr(self, name, value)

    def deployed(self, model: nn.Module) -> nn.Module:
        return self._wrap(model)


class Changed(nn.Module):
    """A detector whose logits, or whose answer as a whole, are changed."""

    def __init__(self, model: nn.Module, change: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.change = model, change
        self.weights, self.min_size, self.cam_layer = model.weights, model.min_size, f"model.{model.cam_layer}"

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.model, x)


def reasons(
    ground: Ground,
    defense: Defense | None = None,
    attack: str | Attack = "pgd",
    corruption: str = "",
    level: str = "fast",
) -> list[str]:
    """Why the verdict of a cell is suspect; of few samples where everything is checked, whatever it costs."""
    split = FEW if level == "full" else TESTED
    registry = load_registry()
    deployed = deploy(trained(), [defense] if defense else [])
    attacking = registry.component("attack", attack).build() if isinstance(attack, str) else attack
    corrupting = registry.component("corruption", corruption).build() if corruption else None
    scene = Scene("attack", attacking, corruption or "none", corrupting)
    found, failures = score_cells(
        deployed.model, [scene], split, batch_size=32, seed=0, device=CPU, progress=Silent(), title="",
        stochastic=deployed.stochastic,
    )  # fmt: skip
    if failures:
        return [str(failures[scene])]
    cell = found[scene]
    passes, many = cell.forwards + 2 * cell.backwards, iterated(attacking, cell.backwards, len(cell.frame))
    (results,) = run_checks(
        level,
        [Scored("", cell.frame, attacking, corrupting, corruption or "none", many, passes)],
        split,
        subject=lambda: Subject(
            deployed.model, ModelView(deployed.model), deployed.differentiable, deployed.stochastic, 0
        ),
        store=Store(ground.fresh()),
        device=CPU,
        progress=Silent(),
        title="",
    )
    told = verdict(level, results)
    return told["reasons"] if told["verdict"] == SUSPECT else []


def _plain(attack: str | Attack = "pgd", **more: str) -> Callable[[Ground], Iterable[str]]:
    return lambda ground: reasons(ground, None, attack, **more)


def _guarded(transform: Callable[[Tensor], Tensor], **declared: bool) -> Defense:
    return Deployed(lambda model: Guarded(model, transform), **declared)


def _changed(change: Callable[[nn.Module, Tensor], Tensor], **declared: bool) -> Defense:
    return Deployed(lambda model: Changed(model, change), **declared)


# --- what is planted ----------------------------------------------------------------------------------------------


def quantised(x: Tensor) -> Tensor:
    """Sixteen levels per colour: a step function, whose gradient is zero."""
    return (x * 15).round() / 15


def detached(x: Tensor) -> Tensor:
    """The image as it is, but with a twentieth of its gradient."""
    return x.detach() * 0.95 + x * 0.05


def noisy(x: Tensor) -> Tensor:
    """Noise that is drawn anew each time."""
    return (x + 0.05 * torch.randn_like(x)).clamp(0, 1)


def with_dropout(model: nn.Module) -> nn.Module:
    """Dropout that stays on."""

    class Active(nn.Dropout):
        def train(self, mode: bool = True) -> Active:
            return super().train(True)

    return Guarded(model, Active(0.05).train())


def with_batch_statistics(model: nn.Module, x: Tensor) -> Tensor:
    """Contrast normalised over the batch."""
    return model(((x - x.mean()) / x.std() * 0.2 + 0.5).clamp(0, 1))


def rooted(x: Tensor) -> Tensor:
    """A root whose slope at zero is infinite: black pixels give NaN."""
    return x + 0 * (x - x.detach()).abs().sqrt()


def shattered(model: nn.Module, x: Tensor) -> Tensor:
    """A ripple on the logits: steep, so that gradients follow it, and low, so that it changes no answer."""
    ripple = torch.sin(3000 * x).flatten(1) @ torch.linspace(-1, 1, x[0].numel()).sign() * 3e-3
    return model(x) + torch.stack([-ripple, ripple], 1)


class Wrong(Attack):
    """An attack with a mistake in it."""

    def __init__(self, make: Callable[[ModelView, Tensor, Tensor, SampleRng, float], Tensor], eps: float = 8 / 255):
        self.eps, self._make = eps, make

    @property
    def iterative(self) -> bool:
        return True

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: SampleRng) -> Tensor:
        return self._make(view, x, y, rng, float(self.eps))


def downhill(view: ModelView, x: Tensor, y: Tensor, rng: SampleRng, eps: float) -> Tensor:
    """PGD on the right answer's behalf: the sign of the loss is wrong."""
    return pgd(view.gradient, x, 1 - y, eps=eps, alpha=eps / 4, steps=10)


def pure_noise(view: ModelView, x: Tensor, y: Tensor, rng: SampleRng, eps: float) -> Tensor:
    """Random signs, called an attack."""
    return (x + eps * rng.uniform(x, -1, 1).sign()).clamp(0, 1)


def around_the_start(view: ModelView, x: Tensor, y: Tensor, rng: SampleRng, eps: float) -> Tensor:
    """PGD projected around its random start."""
    start = (x + rng.uniform(x, -eps, eps)).clamp(0, 1)
    return pgd(view.gradient, start, y, eps=eps, alpha=eps / 4, steps=10)


def unclamped(view: ModelView, x: Tensor, y: Tensor, rng: SampleRng, eps: float) -> Tensor:
    """A signed step that leaves the range of images."""
    return x + eps * view.gradient(x, y)[1].sign()


def left_in_training(view: ModelView, x: Tensor, y: Tensor, rng: SampleRng, eps: float) -> Tensor:
    """PGD that switches the detector's mode and leaves it so."""
    view.module.train()
    return x.clone()


JPEG = "jpeg(quality=50)"


def faults() -> Sequence[Fault]:
    """The faults, each with its sound counterpart."""
    verdict_of = "the verdict"
    rows: list[tuple[str, str, str, Callable[[Ground], Iterable[str]], Callable[[Ground], Iterable[str]]]] = [
        (
            "gradient masking by quantisation", "inputs rounded to 16 levels at inference", r"gradient .* is zero",
            lambda g: reasons(g, _guarded(quantised)), _plain(),
        ),
        (
            "gradient masking by a saturated softmax", "logits times 1000", r"softmax is saturated",
            lambda g: reasons(g, _changed(lambda m, x: 1000 * m(x))), _plain(),
        ),
        (
            "gradient masking by a detach", "19 parts in 20 of the image detached",
            r"finite differences disagree with the gradient", lambda g: reasons(g, _guarded(detached)), _plain(),
        ),
        (
            "gradient masking by a ripple", "a steep, low sine on the logits", r"Square with \d+ queries .* broke",
            lambda g: reasons(g, _changed(shattered), "pgd(eps=16/255)", level="full"),
            _plain("pgd(eps=16/255)", level="full"),
        ),
        (
            "a random layer, not declared", "noise before the detector", r"random and does not declare it",
            lambda g: reasons(g, _guarded(noisy)), _plain(),
        ),
        (
            "a random detector attacked on single answers", "noise before it, declared; PGD without eot",
            r"the attack follows single answers",
            lambda g: reasons(g, _guarded(noisy, stochastic=True)),
            lambda g: reasons(g, _guarded(noisy, stochastic=True), "pgd(eot=4)"),
        ),
        (
            "dropout left on", "a dropout layer that stays in training mode", r"in training mode",
            lambda g: reasons(g, Deployed(with_dropout)), _plain(),
        ),
        (
            "batch statistics at inference", "images normalised over their batch", r"with the batch that it is in",
            lambda g: reasons(g, _changed(with_batch_statistics)), _plain(),
        ),
        (
            "a NaN gradient", "a square root at zero before the detector", r"gradient .* NaN",
            lambda g: reasons(g, _guarded(rooted), "square(queries=50)"),
            _plain("square(queries=50)"),
        ),
        (
            "a defense that only lowers confidence", "logits divided by 1000", r"the logits are squeezed",
            lambda g: reasons(g, _changed(lambda m, x: m(x) / 1000)), _plain(),
        ),
        (
            "PGD that has not converged", "steps of eps/100", r"further steps within its eps broke",
            _plain("pgd(rel_alpha=0.01, random_start=false)"), _plain(),
        ),
        (
            "an iterated attack weaker than one step", "ten steps of eps/100", r"a single step within its eps broke",
            _plain("pgd(rel_alpha=0.01, random_start=false)"), _plain(),
        ),
        (
            "PGD down the loss", "the sign of the loss is wrong", r"loss does not rise",
            _plain(Wrong(downhill)), _plain(),
        ),
        (
            "noise sold as an attack", "random signs", r"random noise of the same norm breaks",
            _plain(Wrong(pure_noise, 100 / 255), level="full"), _plain("pgd(eps=100/255)", level="full"),
        ),
        (
            "robustness by compression", "PGD that ignores the JPEG behind it", r"which the attack ignores",
            _plain("pgd(eps=10/255)", corruption=JPEG),
            _plain('pgd(eps=10/255, through="jpeg(quality=50)", steps=40, rel_alpha=0.1)', corruption=JPEG),
        ),
    ]  # fmt: skip
    errors: list[tuple[str, str, str, Callable[[Ground], Iterable[str]], Callable[[Ground], Iterable[str]]]] = [
        (
            "PGD projected around its random start", "a true bound of twice eps", r"left its eps-ball",
            _plain(Wrong(around_the_start)), _plain(),
        ),
        ("an attack that leaves the range of images", "no clamp", r"must stay in \[0, 1\]",
         _plain(Wrong(unclamped, 40 / 255)), _plain("fgsm")),
        (
            "an attack that leaves the detector in another mode", "train() in the attack", r"must restore the mode",
            _plain(Wrong(left_in_training)), _plain(),
        ),
    ]  # fmt: skip
    return [
        Fault(name, planted, finder, expected, faulty, sound)
        for finder, group in ((verdict_of, rows), ("the run", errors))
        for name, planted, expected, faulty, sound in group
    ]


FAULTS = list(faults())
