"""The stored scores themselves: missing or altered rows, scores that no model gave, perturbations out of bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dfbench.contracts import CLASS_NAMES
from dfbench.levels import decided_by
from dfbench.recheck.finding import Finding, few, shown
from dfbench.recheck.opened import SCORE, Opened
from dfbench.threat import SLACK
from dfbench.trust.result import SUSPECT

_SAME = ("video", "identities", "manipulation", "label")
_SOFTMAX = 1e-5
"""Scores that were made from logits in single precision differ from those in double by less."""

_HARD = 2
"""Different scores of a cell up to which they are decisions."""

_FEWEST = 8
"""Samples below which two different scores may be chance."""

Cell = Mapping[str, Any]


def check_rows(opened: Opened) -> Iterator[Finding]:
    """Every cell's rows: of the samples of its data set, each once, with finite scores that follow from the logits."""
    first: dict[str, tuple[str, pd.DataFrame]] = {}
    for number, cell, frame in opened.scored():
        place = opened.places[number]
        reference = first.setdefault(cell["data"], (place, frame))
        yield from _samples(place, frame, *reference)
        yield from _scores(place, frame)
        yield from _perturbation(place, frame, cell, eps_of(opened, cell))
    yield from _copies(opened)


def eps_of(opened: Opened, cell: Cell) -> float | None:
    """The bound of a cell's attack by the configuration, in [0, 1] pixels; None where it has none."""
    for scenario in opened.record["config"]["scenarios"]:
        if scenario["name"] == cell["scenario"] and scenario["attack"]:
            eps = scenario["attack"]["params"].get("eps")
            return float(eps) if isinstance(eps, (int, float)) else None
    return None


def _samples(place: str, frame: pd.DataFrame, other_place: str, other: pd.DataFrame) -> Iterator[Finding]:
    why = "cells of one data set can only be compared on the same samples"
    if twice := frame.loc[frame["id"].duplicated(), "id"].tolist():
        yield Finding("error", "ids", place, f"{len(twice)} ids stand for several rows ({few(twice)})", why)
        return
    ours, theirs = set(frame["id"]), set(other["id"])
    if ours != theirs:
        told = [f"{len(names)} {what} ({few(sorted(names))})"
                for names, what in ((theirs - ours, "missing"), (ours - theirs, "of their own")) if names]  # fmt: skip
        yield Finding("error", "samples", place, f"other samples than in {other_place}: {', '.join(told)}", why)
        return
    if frame["id"].tolist() != other["id"].tolist():
        yield Finding("error", "samples", place, f"its rows are in another order than those of {other_place}", why)
        return
    for name in _SAME:
        unlike = frame.loc[frame[name].fillna("").to_numpy() != other[name].fillna("").to_numpy(), "id"].tolist()
        if unlike:
            what = "labels" if name == "label" else name
            yield Finding(
                "error",
                "labels" if name == "label" else "samples",
                place,
                f"{what} of {len(unlike)} samples differ from those in {other_place} ({few(unlike)})",
                "a sample is real or fake whatever is done to it" if name == "label" else why,
            )
    if not frame["label"].isin(range(len(CLASS_NAMES))).all():
        yield Finding("error", "labels", place, "labels other than 0 (real) and 1 (fake)", why)


def _scores(place: str, frame: pd.DataFrame) -> Iterator[Finding]:
    column = decided_by(frame)
    scores = frame[column].to_numpy(float)
    why = "a score is the probability of fake, softmax(logits)[1]"
    if (broken := int((~np.isfinite(scores)).sum())) > 0:
        yield Finding("error", "scores", place, f"{broken} of {len(scores)} scores are NaN or infinite", why)
        return
    if (outside := int(((scores < 0) | (scores > 1)).sum())) > 0:
        yield Finding("error", "scores", place, f"{outside} of {len(scores)} scores are outside [0, 1]", why)
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(frame["logit_real"].to_numpy(float) - frame["logit_fake"].to_numpy(float)))
    if (apart := np.flatnonzero(~(np.abs(scores - expected) <= _SOFTMAX))).size:
        at = apart[0]
        told = f"{apart.size} of {len(scores)} scores are not the softmax of the logits beside them"
        example = f" (e.g. {frame['id'].iloc[at]})"
        yield Finding("error", "scores", place, told + example, why, shown(scores[at]), shown(float(expected[at])))
    if len(scores) >= _FEWEST and len(np.unique(scores)) == _HARD:
        yield Finding(
            "error",
            "hard labels",
            place,
            "the scores take only two values: AUC from hard labels is balanced accuracy under another name",
            "a ranking needs scores, and a threshold cannot be chosen among decisions",
        )


def _perturbation(place: str, frame: pd.DataFrame, cell: Cell, eps: float | None) -> Iterator[Finding]:
    linf, l2 = frame["linf"].max(), frame["l2"].max()
    if cell["attack"] == "none" and (linf > 0 or l2 > 0):
        told = f"a perturbation of {shown(float(linf))} where no attack was"
        yield Finding("error", "perturbation", place, told, "a clean number must come from clean images")
    if eps is not None and not linf <= eps + 2 * SLACK:
        yield Finding(
            "error",
            "perturbation",
            place,
            f"the perturbation of {int((frame['linf'] > eps + 2 * SLACK).sum())} samples exceeds eps",
            "an attack beyond its bound is another attack",
            shown(float(linf)),
            f"at most {shown(eps)}",
        )


def _copies(opened: Opened) -> Iterator[Finding]:
    """Cells whose scores are those of another cell to the last digit."""
    seen: dict[tuple[Any, ...], tuple[int, Cell]] = {}
    clean: dict[tuple[Any, ...], tuple[int, pd.DataFrame]] = {}
    for number, cell, frame in opened.scored():
        arm = tuple(cell[key] for key in ("model", "defense", "train_data", "seed", "data"))
        column = decided_by(frame)
        if cell["attack"] == "none":
            clean[(*arm, cell["corruption"])] = number, frame
        elif eps_of(opened, cell) == 0:
            twin = clean.get((*arm, cell["corruption"]))
            if twin and not np.array_equal(twin[1][SCORE].to_numpy(), frame[column].to_numpy()):
                told = f"at eps 0 its scores are not those of {opened.places[twin[0]]}"
                yield Finding("error", "eps 0", opened.places[number], told, "at eps 0 an attack changes nothing")
            continue
        if column != SCORE or frame[column].nunique() < _FEWEST:
            continue  # a worst case that its first part decided; or one answer always: equal without being copied
        bits = (cell["data"], frame[column].to_numpy().tobytes())
        if bits not in seen:
            seen[bits] = number, cell
            continue
        other, twin_cell = seen[bits]
        same_arm = arm == tuple(twin_cell[key] for key in ("model", "defense", "train_data", "seed", "data"))
        # Two attacks within one eps may make the same images: PGD of one step, and FGSM.
        alike = "none" not in (cell["attack"], twin_cell["attack"]) and eps_of(opened, cell) == eps_of(
            opened, twin_cell
        )
        declared = cell["verdict"] is not None and cell["verdict"]["verdict"] == SUSPECT
        yield Finding(
            "error" if same_arm and not alike and not declared else "note",
            "copies",
            opened.places[number],
            f"its scores are those of {opened.places[other]} to the last digit",
            "two attacks that make the same images are one"
            if same_arm and alike
            else "two scenarios that leave equal scores are one: an attack that did nothing, or rows that were copied"
            if same_arm
            else "two trainings that give equal scores are the same detector",
        )
