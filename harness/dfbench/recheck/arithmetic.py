"""Numbers of a record against arithmetic that owes nothing to the code that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from dfbench.contracts import FAKE
from dfbench.levels import of_manipulation
from dfbench.recheck.bounds import macro_f1, one_class
from dfbench.recheck.finding import Finding, shown
from dfbench.recheck.opened import SCORE, Opened

_NEAR = 1e-6

_FLOOR_WHY = "a detector that learned nothing reaches the same by answering one class always"

Metrics = Mapping[str, float | None]


def check_arithmetic(opened: Opened) -> Iterator[Finding]:
    """Every cell's metrics among themselves and against its rows, counted anew; clean cells against their floor."""
    for number, cell, frame in opened.scored():
        if SCORE not in frame:
            continue
        place = opened.places[number]
        yield from _among(place, cell["metrics"])
        yield from _against(place, cell["metrics"], frame)
        if cell.get("video"):
            yield from _among(f"{place} (videos)", cell["video"]["metrics"])
        for name, part in (cell.get("manipulations") or {}).items():
            yield from _among(f"{place} ({name})", part["metrics"])
            if not cell.get("video"):  # else it is measured by video
                yield from _against(f"{place} ({name})", part["metrics"], of_manipulation(frame, name))
        if cell["attack"] == "none":
            yield from _floor(place, cell["metrics"], frame)
    yield from _constant(opened)


def rank_auc(label: np.ndarray[Any, Any], score: np.ndarray[Any, Any]) -> float | None:
    """ROC AUC by the ranks of the fakes, a tie counting half (Mann-Whitney U); None without both classes."""
    fakes = label == FAKE
    n_fake, n_real = int(fakes.sum()), int((~fakes).sum())
    if not n_fake or not n_real:
        return None
    ranks = rankdata(score)
    return float((ranks[fakes].sum() - n_fake * (n_fake + 1) / 2) / (n_fake * n_real))


def _among(place: str, metrics: Metrics) -> Iterator[Finding]:
    """What must hold between the metrics of one cell, whatever its scores are."""
    tp, fp, tn, fn, n = (metrics.get(name) for name in ("tp", "fp", "tn", "fn", "n"))
    accuracy, macro = metrics.get("accuracy"), metrics.get("f1_macro")
    if accuracy is not None and macro is not None:
        low, high = macro_f1(accuracy, accuracy)
        if not low - _NEAR <= macro <= high + _NEAR:
            told = f"impossible for accuracy {shown(accuracy)}: macro-F1 of two classes lies in [{low:.4f}, {high:.4f}]"
            why = "an F1 under the wrong name cannot be compared with any other"
            yield Finding("error", "macro-F1", place, told, why, shown(macro), f"{low:.4f} to {high:.4f}")
    if tp is None or fp is None or tn is None or fn is None or n is None:
        return
    why = "every other number rests on the counts"
    if tp + fp + tn + fn != n:
        yield Finding("error", "counts", place, "tp + fp + tn + fn do not add up to n", why, shown(n),
                      shown(tp + fp + tn + fn))  # fmt: skip
        return
    expected = {
        "accuracy": (tp + tn) / n if n else None,
        "f1_fake": _ratio(2 * tp, 2 * tp + fp + fn),
        "f1_real": _ratio(2 * tn, 2 * tn + fp + fn),
    }
    for name, value in expected.items():
        given = metrics.get(name)
        if given is not None and value is not None and abs(given - value) > _NEAR:
            yield Finding("error", name, place, f"{name} is not what the counts give", why, shown(given), shown(value))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _against(place: str, metrics: Metrics, frame: pd.DataFrame) -> Iterator[Finding]:
    """Counts and AUC against the rows."""
    label, score = frame["label"].to_numpy(), frame[SCORE].to_numpy(float)
    if not np.isfinite(score).all():
        return
    said, fakes = score >= 0.5, label == FAKE
    rows = {"tp": fakes & said, "fp": ~fakes & said, "tn": ~fakes & ~said, "fn": fakes & ~said}
    counts = {"n": len(frame), **{name: int(members.sum()) for name, members in rows.items()}}
    unlike = [name for name, count in counts.items() if (given := metrics.get(name)) is not None and given != count]
    if unlike:
        told = f"{', '.join(unlike)} are not the counts of its {len(frame)} samples"
        yield Finding("error", "counts", place, told, "samples are counted, not batches or videos",
                      ", ".join(shown(metrics[name]) for name in unlike),
                      ", ".join(str(counts[name]) for name in unlike))  # fmt: skip
    auc, ranked = metrics.get("auc"), rank_auc(label, score)
    if auc is None or ranked is None or abs(auc - ranked) <= _NEAR:
        return
    balanced = (said[fakes].mean() + (~said[~fakes]).mean()) / 2
    hard = abs(auc - balanced) <= _NEAR
    told = "is balanced accuracy: AUC from hard labels" if hard else "is not that of the ranks of the scores"
    yield Finding("error", "AUC", place, told, "AUC measures the ranking by score, not decisions at one threshold",
                  shown(auc), shown(ranked))  # fmt: skip


def _floor(place: str, metrics: Metrics, frame: pd.DataFrame) -> Iterator[Finding]:
    accuracy, n, fakes = metrics.get("accuracy"), len(frame), int((frame["label"] == FAKE).sum())
    if accuracy is not None and one_class(accuracy, n, fakes):
        told = f"accuracy is no better than answering {'fake' if 2 * fakes >= n else 'real'} always"
        yield Finding("note", "floor", place, told, _FLOOR_WHY, shown(accuracy), shown(max(fakes, n - fakes) / n))


def _constant(opened: Opened) -> Iterator[Finding]:
    """Cells whose every answer is the same class; hidden ones are errors, those that a warning names are notes."""
    warned = any("to every image" in warning for warning in opened.record["warnings"])
    for number, cell, frame in opened.scored():
        if SCORE not in frame or frame[SCORE].ge(0.5).nunique() != 1:
            continue
        answer = "fake" if frame[SCORE].iloc[0] >= 0.5 else "real"
        told = f"answers {answer} to every image" + ("" if warned else ", and no warning of the record says so")
        accuracy = cell["metrics"].get("accuracy")
        severity = "note" if warned or cell["attack"] != "none" else "error"
        yield Finding(severity, "constant predictor", opened.places[number], told, _FLOOR_WHY, shown(accuracy))  # type: ignore[arg-type]
