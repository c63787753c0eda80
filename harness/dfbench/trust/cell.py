"""Checks of an attacked cell: whether its attack did what it could. They look at samples that withstood it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dfbench.adaptive import AdaptiveView, margin
from dfbench.contracts import Attack, Batch, Corruption, LearnedAttack, Split
from dfbench.levels import right
from dfbench.pgd import ascend
from dfbench.rng import SampleRng, derive_seed
from dfbench.square import square
from dfbench.threat import checked_corruption
from dfbench.trust.result import Result, beside, judged, not_run
from dfbench.trust.subject import Subject, batches, cross_entropy, drawn

LOST = 0.05
"""Share of all samples that a stronger attack may break beyond the cell's own: half of what a robust accuracy on
public leaderboards has been overestimated by, where it was (Croce et al., NeurIPS 2021, arXiv:2010.09670)."""

AS_STRONG = 0.8
"""Share of an attack's success that random noise of its norm may reach."""

EFFECT = 0.1
"""Success below which noise is not compared: no effect of the noise."""

FLAT = 0.2
"""Share of samples on which the loss may fail to rise under an iterated attack."""

DISAGREE = 0.05
"""Share of samples of which an attack may tell another outcome than their scores."""

STEPS, STEPS_THROUGH = 20, 10
"""Gradient steps on samples that withstood; fewer through a corruption, each of which costs more."""

QUERIES = 200
NOISE_COST, CORRUPTION_COST = 2.0, 2.0
"""Forward passes per sample of the comparison with noise, and what a corruption counts for each time an image passes
through it."""


@dataclass(eq=False)
class Case:
    """An attacked cell.

    Args:
        subject: the detector.
        split: the evaluated samples.
        frame: the cell's scores, in the order of the split.
        attack, corruption, corruption_label: what was done to the images.
        iterated: whether the attack takes many gradient steps: it says so, or was seen to.
    """

    subject: Subject
    split: Split
    frame: pd.DataFrame
    attack: Attack
    corruption: Corruption | None
    corruption_label: str
    iterated: bool
    device: torch.device

    @property
    def adaptive(self) -> bool:
        """Whether the attack sees all that happens to its images."""
        return self.corruption is None or self.attack.through == self.corruption_label

    @property
    def steps(self) -> int:
        """How many steps are tried on samples that withstood."""
        return STEPS if self.corruption is None else STEPS_THROUGH

    @property
    def steps_cost(self) -> float:
        """Forward passes per sample of these steps."""
        corrupted = 0.0 if self.corruption is None else CORRUPTION_COST
        return self.steps * (3 + corrupted) + 2 * (1 + corrupted)

    def corrupted(self, x: Tensor, ids: Sequence[str]) -> Tensor:
        """Images as they reach the detector."""
        if self.corruption is None:
            return x
        self.subject.passes += CORRUPTION_COST * len(x)
        rng = SampleRng(derive_seed(self.subject.seed, "corruption"), ids)
        return checked_corruption(self.corruption, x.detach(), rng, name=self.corruption_label)

    def wrong(self, x: Tensor, batch: Batch) -> Tensor:
        """Which images are answered wrongly (B,), as cells are scored."""
        return margin(self.subject.logits(self.corrupted(x, batch.ids)), batch.y) > 0


def iterated(attack: Attack, backwards: float, n: int) -> bool:
    """Whether an attack takes many gradient steps: it says so, or its backward passes on ``n`` samples tell."""
    return attack.iterative or backwards >= 2 * n * attack.eot


def check_cell(case: Case, noise: int, steps: int, queries: int = 0) -> list[Result]:
    """All checks of a cell.

    Args:
        case: the cell.
        noise: samples that are compared with noise, :data:`NOISE_COST` each.
        steps: samples that withstood, on which it is tried to go on, ``case.steps_cost`` each.
        queries: of the black-box attack on as many, a forward pass each; 0: it is left out.
    """
    order = np.array(drawn(case.frame["id"].tolist(), case.subject.seed))
    survivors = order[right(case.frame)[order]]
    found = [_averaging(case), *_told(case), *_noise(case, order[:noise])]
    if case.iterated:  # only these claim to come near the worst case
        found += _further(case, survivors, steps)
        found += [_black_box(case, survivors, steps, queries)] if queries else []
    return found


def _averaging(case: Case) -> Result:
    """An attack on a detector that answers differently each time must average over its answers."""
    eot = case.attack.eot
    wrong = case.subject.stochastic and eot == 1 and not isinstance(case.attack, LearnedAttack)
    told = "the detector is random, and the attack follows single answers: average over them (eot=20)" if wrong else (
        "the attack averages over the detector's answers" if case.subject.stochastic else "the detector is not random"
    )  # fmt: skip
    return judged("averaging", wrong, told, eot, 1, 0)


def _told(case: Case) -> list[Result]:
    """Whether an attack that tells what broke each sample agrees with their scores."""
    if "broken_by" not in case.frame:
        return []
    share = float(((case.frame["broken_by"] == "").to_numpy() != right(case.frame)).mean())
    told = f"of {share:.0%} of samples the attack tells another outcome than their scores"
    return [judged("outcome", share > DISAGREE, told, share, DISAGREE, len(case.frame))]


def _noise(case: Case, chosen: np.ndarray) -> list[Result]:
    """The attack against no attack, and against random signs of the same L2 norm."""
    if len(chosen) < 4:
        return [not_run("noise", f"{len(chosen)} samples are too few: {NOISE_COST:.0f} passes each are not affordable")]
    rows = case.frame.iloc[chosen]
    y = torch.from_numpy(rows["label"].to_numpy(dtype="int64")).to(case.device)
    before, noisy = (torch.cat(parts) for parts in zip(*_noised(case, chosen), strict=True))
    was_right = margin(before, y) <= 0
    if not bool(was_right.any()):
        return [beside("noise", "no sample is right without the attack")]
    attacked = torch.from_numpy(~right(case.frame)[chosen]).to(case.device)
    n = int(was_right.sum())
    by_noise, by_attack = (int((was_right & wrong).sum()) / n for wrong in (margin(noisy, y) > 0, attacked))
    if max(by_noise, by_attack) < EFFECT:
        told = f"the attack breaks {by_attack:.0%} of {n} samples: there is nothing to compare with noise"
        return [beside("noise", told), *_rise(case, rows, before, y, was_right)]
    limit = max(EFFECT, AS_STRONG * by_attack)
    told = f"random noise of the same norm breaks {by_noise:.0%} of {n} samples, the attack {by_attack:.0%}"
    found = by_noise >= limit and by_noise * n >= 3
    result = judged("noise", found, told, by_noise, limit, n, case.subject.spent())
    return [result, *_rise(case, rows, before, y, was_right)]


def _noised(case: Case, chosen: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (B, 2) without the attack, and with random signs of its L2 norm in its place, batch by batch."""
    norms = dict(zip(case.frame["id"], case.frame["l2"], strict=True))
    for batch in batches(case.split, chosen.tolist(), case.device):
        rms = batch.x.new_tensor([norms[name] for name in batch.ids])[:, None, None, None] / batch.x[0].numel() ** 0.5
        signs = SampleRng(derive_seed(case.subject.seed, "noise"), batch.ids).uniform(batch.x, -1, 1).sign()
        noisy = (batch.x + rms * signs).clamp(0, 1)
        before, after = (case.subject.logits(case.corrupted(x, batch.ids)) for x in (batch.x, noisy))
        yield before, after


def _rise(case: Case, rows: pd.DataFrame, before: Tensor, y: Tensor, was_right: Tensor) -> list[Result]:
    """Whether the loss rose between the images that were right and what the attack made of them.

    Nothing where it says nothing: a worst case stops at the first success, and two answers of a random detector differ
    by chance.
    """
    if case.attack.worst_case or case.subject.stochastic:
        return []
    after = torch.tensor(rows[["logit_real", "logit_fake"]].to_numpy(), device=case.device)
    rise = (cross_entropy(after, y) - cross_entropy(before, y))[was_right]
    n, flat = len(rise), int((rise <= 0).sum())
    share = flat / n
    limit = FLAT if case.iterated else 0.5  # a single long step may overshoot
    told = f"the loss does not rise along the attack for {share:.0%} of {n} samples"
    return [judged("rise", share > limit and flat > 1, told, share, limit, n)]


def _further(case: Case, survivors: np.ndarray, affordable: int) -> list[Result]:
    """Gradient steps from the clean image on samples that withstood an iterated attack."""
    names = ["single step", "more steps"] if case.adaptive else ["through"]
    accuracy, eps = len(survivors) / len(case.frame), case.attack.eps
    if not eps:
        return [beside(name, "the attack names no eps") for name in names]
    if case.subject.stochastic:  # some that withstood would fall to the same images, seen again
        return [beside(name, "the detector is random") for name in names]
    if accuracy < LOST:
        told = f"only {len(survivors)} of {len(case.frame)} samples withstood the attack"
        return [judged(name, False, told, 0.0, LOST, 0) for name in names]
    if affordable < min(4, len(survivors)):
        why = f"needs {case.steps_cost:.0f} passes per sample, more than the fast checks may take"
        return [not_run(name, why) for name in names]
    pairs = [_steps(case, batch, eps) for batch in batches(case.split, survivors[:affordable].tolist(), case.device)]
    once, often = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    cost = case.subject.spent()
    if not case.adaptive:
        return [
            _lost("through", f"steps through {case.corruption_label}, which the attack ignores,", often, accuracy, cost)
        ]
    return [
        _lost("single step", "a single step", once, accuracy),
        _lost("more steps", "further steps", often, accuracy, cost),
    ]


def _lost(check: str, by: str, broken: Tensor, accuracy: float, passes: float = 0.0) -> Result:
    """What it means for the accuracy that some of the samples that withstood an attack were broken after all.

    Args:
        check: its name.
        by: what broke them.
        broken: which of the samples that were tried (n,).
        accuracy: under the attack.
        passes: what it cost.
    """
    n, count = len(broken), int(broken.sum())
    lost = count / n * accuracy
    told = f"of {n} samples that withstood the attack, {by} within its eps broke {count}"
    if count:
        told += f": of the accuracy of {accuracy:.2f}, about {lost:.2f} is the attack's weakness"
    return judged(check, lost >= LOST and count > 1, told, lost, LOST, n, passes)


def _steps(case: Case, batch: Batch, eps: float) -> tuple[Tensor, Tensor]:
    """Which samples are wrong after one step of length eps, and which after more of them, ever shorter.

    Steps follow the logit margin (which does not saturate), with momentum, and through the corruption.
    """
    rng = SampleRng(derive_seed(case.subject.seed, "corruption"), batch.ids)
    seen, everyone = AdaptiveView(case.subject.view, case.corruption, rng), torch.arange(len(batch.x))
    x, momentum = batch.x, torch.zeros_like(batch.x)
    once = torch.zeros(len(x), dtype=torch.bool, device=case.device)
    for step in range(case.steps):
        case.subject.passes += (3 + CORRUPTION_COST * (case.corruption is not None)) * len(x)
        _, grad = seen.answer(x, batch.y, everyone, margin)
        assert grad is not None
        size = grad.abs().mean((1, 2, 3), keepdim=True)
        momentum = 0.75 * momentum + torch.where(size > 0, grad / size, 0)
        x = ascend(x, momentum, batch.x, eps=eps, alpha=eps if step == 0 else eps * (1 - step / case.steps))
        if step == 0:
            once = case.wrong(x, batch)
    return once, case.wrong(x, batch)


def _black_box(case: Case, survivors: np.ndarray, tried: int, queries: int) -> Result:
    """Square, which needs no gradient, on samples that withstood."""
    for useless, why in (
        (not case.attack.eps, "the attack names no eps"),
        (not len(survivors), "no sample withstood it"),
        (case.subject.stochastic, "the detector is random"),
    ):
        if useless:
            return beside("black box", why)
    assert case.attack.eps is not None

    def logits(x: Tensor, ids: Sequence[str]) -> Tensor:
        return case.subject.logits(case.corrupted(x, ids))

    broken = []
    for batch in batches(case.split, survivors[:tried].tolist(), case.device):
        rng = SampleRng(derive_seed(case.subject.seed, "checks"), batch.ids)
        found = square(logits, batch.x, batch.y, rng, eps=case.attack.eps, queries=queries)
        broken.append(found.broken_at >= 0)
    share = len(survivors) / len(case.frame)
    return _lost("black box", f"Square with {queries} queries", torch.cat(broken), share, case.subject.spent())
