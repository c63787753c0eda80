"""Checks of a detector: whether gradient attacks can see what it computes. They bear on all its attacked cells."""

from __future__ import annotations

import torch
from torch import Tensor

from dfbench.adaptive import margin
from dfbench.contracts import CLASS_NAMES, Batch
from dfbench.pgd import pgd
from dfbench.rng import SampleRng, derive_seed
from dfbench.trust.result import Result, beside, judged, not_run
from dfbench.trust.subject import Subject

TOLERANCE = 1e-3
"""Difference of a logit between two runs of the same images, relative to the largest logit (at least 1), that is
rounding: that of :mod:`dfbench.fold`."""

SHARE = 0.05
"""Share of samples without a usable gradient beyond which attacks are blunted: it bounds how far accuracy is off."""

SATURATED = 16.0
"""Logit margin beyond which 1 - softmax rounds to 0 in float32, and the gradient of the cross-entropy with it."""

UNRESOLVED = 0.02
"""Median logit margin below which all scores lie within half a point of 0.5."""

DISAGREE = 0.25
"""Share of samples whose gradient may disagree with finite differences: kinks and curvature explain a few."""

SHARES = (0.02, 0.002)
"""Of the logit margin (at least 1), the changes that a gradient promises over the steps of finite differences."""

FLOOR_EPS = 64 / 255
FLOOR_STEPS = 10
FLOOR = 0.1
"""Robust accuracy that no detector keeps at :data:`FLOOR_EPS`, where an image can be turned into almost any other."""

BASIC_COST, FLOOR_COST = 11.0, 1.0 + 3.0 * FLOOR_STEPS
"""Forward passes per sample of all checks but the last (two repetitions, a rearranged batch, a gradient, two finite
differences), and of that one."""


def check_detector(subject: Subject, batch: Batch, floor: Batch | None) -> list[Result]:
    """All checks of a detector.

    Args:
        subject: the detector.
        batch: clean samples of the evaluated split; :data:`BASIC_COST` each.
        floor: those for the check at eps 64/255, :data:`FLOOR_COST` each; None: it is not affordable.
    """
    found = [_modes(subject)]
    first, random, results = _repeatable(subject, batch)
    found += results
    found.append(_saturation(first, batch.y))
    found.append(_confidence(first, batch.y))
    usable, results = _gradients(subject, batch, random)
    found += results
    if floor is None:
        found.append(not_run("floor", f"needs {FLOOR_COST:.0f} passes per sample, more than the fast checks may take"))
    elif not usable:
        found.append(beside("floor", "there is no gradient to follow"))
    else:
        found.append(_floor(subject, floor))
    return found


def _modes(subject: Subject) -> Result:
    """A layer that is still in training mode (dropout, batch statistics) when the detector is used."""
    active = [name or "root" for name, part in subject.model.named_modules() if part.training]
    shown = ", ".join(active[:3])
    told = f"{len(active)} layers are in training mode when the detector is evaluated ({shown})"
    return judged("modes", bool(active), told if active else "all layers are in evaluation mode", len(active), 0, 0)


def _repeatable(subject: Subject, batch: Batch) -> tuple[Tensor, bool, list[Result]]:
    """Whether the same image gives the same answer again, and whatever batch it is in."""
    n = len(batch.x)
    first, again = subject.logits(batch.x), subject.logits(batch.x)
    halves = [subject.logits(part) for part in batch.x.flip(0).split((n + 1) // 2)]
    scale = max(1.0, float(first.abs().max()))
    change = float((first - again).abs().max()) / scale
    random, cost = not change <= TOLERANCE, subject.spent()
    moved = float((first - torch.cat(halves).flip(0)).abs().max()) / scale
    if random:
        told = f"the same images give logits that differ by {change:.2g} of their size"
        if subject.stochastic:
            one = judged("random", False, f"{told}, as the detector declares", change, TOLERANCE, n)
        else:
            told += ": the detector is random and does not declare it (stochastic = True)"
            one = judged("random", True, told, change, TOLERANCE, n, cost)
        return first, True, [one, beside("batch", "the detector is random")]
    told = "the same images give the same logits"
    if subject.stochastic:
        told += ", although the detector declares itself stochastic"
    wrong = not moved <= TOLERANCE
    other = (
        f"an image's logits change by {moved:.2g} of their size with the batch that it is in (batch statistics in use?)"
        if wrong
        else "an image's logits do not depend on the batch that it is in"
    )
    return first, False, [
        judged("random", False, told, change, TOLERANCE, n, cost),
        judged("batch", wrong, other, moved, TOLERANCE, n),
    ]  # fmt: skip


def _saturation(logits: Tensor, y: Tensor) -> Result:
    share = float((margin(logits, y).abs() > SATURATED).float().mean())
    told = (
        f"{share:.0%} of samples have a logit margin above {SATURATED:.0f}: the softmax is saturated there, and the "
        "gradient of the cross-entropy underflows"
    )
    return judged("saturation", share > SHARE, told, share, SHARE, len(y))


def _confidence(logits: Tensor, y: Tensor) -> Result:
    value = float(margin(logits, y).abs().median())
    told = f"the median logit margin is {value:.2g}"
    if value < UNRESOLVED:
        told += ": the logits are squeezed, all scores lie next to 0.5, and low confidence is no robustness"
    return judged("confidence", value < UNRESOLVED, told, value, UNRESOLVED, len(y))


def _gradients(subject: Subject, batch: Batch, random: bool) -> tuple[bool, list[Result]]:
    """Whether there is a gradient to follow; and whether it is finite, not zero, and that of the function."""
    room = 2 / 255  # both ends of the difference quotient stay images
    x, n = batch.x.clamp(room, 1 - room), len(batch.x)
    _, grad = subject.margin_gradient(x, batch.y)
    size = grad.flatten(1).abs().sum(1)
    broken = ~torch.isfinite(size)
    missing = broken | (size < 1e-12)
    share = float(missing.float().mean())
    what = "NaN or infinite" if bool(broken.any()) else "zero"
    told = f"the gradient of the logits at the image is {what} for {share:.0%} of samples" if share else (
        "the gradient of the logits at the image is finite and not zero"
    )  # fmt: skip
    results = [judged("gradient", share > SHARE, told, share, SHARE, n, subject.spent())]
    usable = ~missing
    if random:
        results.append(beside("finite differences", "the detector is random"))
    elif not subject.differentiable:
        results.append(beside("finite differences", "the detector declares that its gradient is not its slope"))
    elif not bool(usable.any()):
        results.append(beside("finite differences", "there is no gradient to compare with"))
    else:
        results.append(_differences(subject, x[usable], batch.y[usable], grad[usable], size[usable], room))
    return bool(usable.any()) and not bool(broken.any()), results


def _differences(subject: Subject, x: Tensor, y: Tensor, grad: Tensor, size: Tensor, room: float) -> Result:
    """The slope along the gradient's signs, against what the gradient says: its L1 norm.

    Over a long step curvature bends the slope, over a short one float32 logits round it: a sample agrees where one of
    the two :data:`SHARES` does.
    """
    with torch.no_grad():
        base = margin(subject.logits(x), y).abs().clamp_min(1)
    agrees = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for share in SHARES:
        step = (share * base / size).clamp(1e-6, room)[:, None, None, None]
        ends = [margin(subject.logits(x + sign * step * grad.sign()), y).double() for sign in (1, -1)]
        ratio = (ends[0] - ends[1]) / (2 * step.flatten().double()) / size.double()
        agrees |= (ratio > 0.5) & (ratio < 2)
    off = 1 - float(agrees.float().mean())
    told = f"finite differences disagree with the gradient for {off:.0%} of samples"
    wrong = off > DISAGREE
    if wrong:
        middle = float(ratio.median())
        told += f" (median ratio {middle:.2g}): what attacks follow is not the slope of the detector"
        told += ", and it does not declare that (differentiable = False)"
    return judged("finite differences", wrong, told, off, DISAGREE, len(x), subject.spent())


def _floor(subject: Subject, batch: Batch) -> Result:
    """PGD at an eps at which no detector can be right: what survives it survives because the attack is blunted."""
    rng = SampleRng(derive_seed(subject.seed, "checks"), batch.ids)
    start = rng.uniform(batch.x, -FLOOR_EPS, FLOOR_EPS)
    spent = subject.view.forwards + 2 * subject.view.backwards
    x = pgd(subject.view.gradient, batch.x, batch.y, eps=FLOOR_EPS, alpha=FLOOR_EPS / 4, steps=FLOOR_STEPS, start=start)
    subject.passes += subject.view.forwards + 2 * subject.view.backwards - spent
    right = int((margin(subject.logits(x), batch.y) <= 0).sum())
    share = right / len(x)
    told = f"at eps 64/255 PGD leaves an accuracy of {share:.2f} on {len(x)} samples"
    wrong = share > FLOOR and right > 1
    if wrong:
        answers = set(subject.logits(batch.x).argmax(1).tolist())
        told += ", where none can be left: " + (
            f"the detector answers {CLASS_NAMES[answers.pop()]!r} to every image"
            if len(answers) == 1
            else "attacks do not reach this detector"
        )
    return judged("floor", wrong, told, share, FLOOR, len(x), subject.spent())
