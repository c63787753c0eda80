"""Where detectors look: Grad-CAM of clean and attacked images, and how much of it lies outside of the face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dfbench.explain.attention_figure import draw_examples, draw_means, draw_outside
from dfbench.explain.attention_measure import Attention, look
from dfbench.explain.attention_share import mean_maps, summary
from dfbench.explain.common import Request, chosen
from dfbench.names import file_name
from dfbench.rundir import TrainedArm
from dfbench.store import write_text

EXAMPLES = 3
"""Images of each class that are shown one by one."""


def explain(request: Request) -> list[Path]:
    """Write examples, mean maps and the share of attention outside of the face, as figures and tables.

    ``attention--<arm>.png`` for each arm beside the baseline, ``attention-mean.png``, ``attention-outside.png``;
    ``attention.csv`` (see :func:`~dfbench.explain.attention_share.summary`) and ``attention-maps.csv`` (see
    :func:`~dfbench.explain.attention_share.mean_maps`). Maps are of the class predicted on the clean image, for the
    clean and for the attacked image. Images without a face are left out of the share, and counted; where no image has
    one, the share's figure is left out, which ``request.notes`` then says.

    Raises:
        UsageError: a detector has no layer for Grad-CAM.
        ContractError: an attack broke its contract.
        MissingDependency: matplotlib, or the package of the face detector, is not installed.
    """
    attention = look(request)
    shares, means = summary(attention), mean_maps(attention)
    written = _examples(request, attention)
    written.append(request.out / "attention-mean.png")
    draw_means(written[-1], attention)
    if shares["outside_n"].any():
        written.append(request.out / "attention-outside.png")
        draw_outside(written[-1], shares)
    request.notes.extend(_left_out(request, attention))
    for file, table in (("attention.csv", shares), ("attention-maps.csv", means)):
        written.append(request.out / file)
        write_text(written[-1], table.to_csv(index=False, float_format="%.6g"))
    return written


def _examples(request: Request, attention: Attention) -> list[Path]:
    """A figure for each arm beside the first of its model and training data, or for that one where it is alone."""
    shown = {sample.id for sample in chosen(request.split, min(EXAMPLES, request.limit)).samples}
    rows = [index for index, sample in enumerate(attention.samples) if sample.id in shown]
    rows.sort(key=lambda index: attention.samples[index].label)
    groups: dict[tuple[str, str], list[TrainedArm]] = {}
    for arm in attention.arms:
        groups.setdefault((arm.model, arm.data), []).append(arm)
    written = []
    for first, *others in groups.values():
        for other in others or [first]:
            written.append(request.out / f"attention--{file_name(attention.arms[other])}.png")
            draw_examples(written[-1], attention, list(dict.fromkeys((first, other))), rows)
    return written


def _left_out(request: Request, attention: Attention) -> Iterator[str]:
    """What the share of attention outside of the face does not speak of."""
    if missing := sum(box is None for box in attention.boxes):
        yield (
            f"attention: {request.detector} found no face in {missing} of {len(attention.boxes)} images; they are left "
            "out of the share of attention outside of the face box"
        )
    maps = [one for ours in attention.looks.values() for one in ours.maps]
    if empty := sum(not one.any() for one in maps):
        yield (
            f"attention: {empty} of {len(maps)} maps are empty (nothing at the layer speaks for the class); they are "
            "left out of the share of attention outside of the face box"
        )
