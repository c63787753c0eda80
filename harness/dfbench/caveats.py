"""What a reader of the numbers must know before believing them: the warnings of a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfbench.runner import Cell, Outcome

MAX_SKIPPED_SHARE = 0.02
"""Share of training steps that fp16 may skip without a word: the scaler finds its scale by skipping a few."""

SHOWN = 5
"""Cells that a warning names, at most."""


def caveats(
    outcomes: Sequence[Outcome],
    training: Sequence[dict[str, Any]],
    cells: Sequence[Cell],
    rows: Sequence[dict[str, Any]],
) -> list[str]:
    """The warnings of a record, each once.

    Args:
        outcomes: what the runs produced.
        training: the record's ``training``.
        cells, rows: the cells, and for each its entry of the record.
    """
    found: dict[str, None] = {}
    for outcome in outcomes:
        found |= dict.fromkeys(f"LEAK: {leak}" for leak in outcome.leaks)
    for outcome in outcomes:
        if "val" not in outcome.data.splits:
            found[f"{outcome.data.name}: no validation samples: the last epoch is kept, none was chosen"] = None
        for model, weights in outcome.weights.items():
            if not weights["sha256"]:
                found[f"model {model}: random start, no pretrained weights"] = None
        found |= dict.fromkeys(_unlike_crops(outcome))
    for entry in training:
        if entry["skipped_steps"] > MAX_SKIPPED_SHARE * entry["steps"]:
            told = f"{entry['skipped_steps']} of {entry['steps']} steps were skipped, their fp16 gradients overflowed"
            arm = f"{entry['model']} | {entry['defense']} | {entry['data']} | seed {entry['seed']}"
            found[f"{arm}: {told}"] = None
    return [*found, *_of_cells(cells, rows)]


def _of_cells(cells: Sequence[Cell], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Failed cells, and detectors that give one answer always."""
    told = ["model", "defense", "attack", "corruption"]
    told += [key for key in ("data", "train_data", "seed") if len({row[key] for row in rows}) > 1]
    found: list[str] = []
    constant: dict[str, list[str]] = {}
    for cell, row in zip(cells, rows, strict=True):
        name = " | ".join(f"seed {row[key]}" if key == "seed" else row[key] for key in told)
        if row["status"] == "failed":
            found.append(f"{name}: failed: {row['reason']}")
        elif cell.frame is not None and "score" in cell.frame and cell.frame["score"].ge(0.5).nunique() == 1:
            constant.setdefault("fake" if cell.frame["score"].iloc[0] >= 0.5 else "real", []).append(name)
    for answer, names in constant.items():
        found.append(
            f"answers {answer!r} to every image, so that its accuracy is a constant predictor's: {_few(names)}"
        )
    return found


def _few(names: Sequence[str]) -> str:
    more = f"; and {len(names) - SHOWN} more cells" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more


def _unlike_crops(outcome: Outcome) -> list[str]:
    """Evaluated sets whose crops were made otherwise than those trained on: their numbers measure that as well."""
    ours, found = outcome.data.preparation, []
    for used in outcome.eval_data:
        theirs = used.preparation
        unlike = [key for key in ("detector", "size", "margin", "align") if ours.get(key) != theirs.get(key)]
        if unlike:
            told = ", ".join(f"{key} {ours.get(key)!r} and {theirs.get(key)!r}" for key in unlike)
            found.append(f"{outcome.data.name} and {used.name} were cropped differently: {told}")
    return found
