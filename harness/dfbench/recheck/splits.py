"""Which samples a record speaks of: as many as its data set has, and none that the detector had been chosen on."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from dfbench.contracts import FAKE
from dfbench.recheck.finding import Finding, few, shown
from dfbench.recheck.opened import Opened

_LEAK = "a number on samples that training or the choice of the checkpoint has seen flatters the detector"


def check_splits(opened: Opened) -> Iterator[Finding]:
    """Counts and fingerprints of the data sets, the evaluated split, and what it shares with the validation split."""
    yield from _fingerprints(opened)
    split = opened.record["config"]["split"]
    seen: set[str] = set()
    for number, cell, frame in opened.scored():
        place = opened.places[number]
        if cell["split"] != split:
            told = f"it is of the split {cell['split']!r}, the run evaluated {split!r}"
            yield Finding("error", "split", place, told, "numbers of two splits cannot be compared")
        if cell["data"] not in seen:
            seen.add(cell["data"])
            yield from _counts(opened, cell["data"], frame, split)
            yield from _shared(opened, cell["data"], frame, split)
    if split == "train":
        told = "the detectors were evaluated on the split that they were trained on"
        yield Finding("error", "split", "the record", told, _LEAK, split)
    if split == "val":
        told = "the numbers are of the validation split, on which the checkpoints were chosen"
        yield Finding("note", "split", "the record", told, _LEAK, split)
    for warning in opened.record["warnings"]:
        if warning.startswith("LEAK"):
            yield Finding("error", "leak", "the record", warning, _LEAK)


def _fingerprints(opened: Opened) -> Iterator[Finding]:
    known: dict[str, str] = {}
    for entry in (*opened.record["data"], *opened.record["eval_data"]):
        first = known.setdefault(entry["name"], entry["fingerprint"])
        if first != entry["fingerprint"]:
            told = "it has two fingerprints: what was trained on is not what was evaluated under this name"
            yield Finding("error", "fingerprint", entry["name"], told, "one name must mean one set of samples",
                          entry["fingerprint"][:12], first[:12])  # fmt: skip


def _counts(opened: Opened, data: str, frame: pd.DataFrame, split: str) -> Iterator[Finding]:
    told = opened.evaluated(data).get("splits", {}).get(split)
    if told is None:
        return
    fakes = frame[frame["label"] == FAKE]
    rows = {
        "n": len(frame),
        "real": len(frame) - len(fakes),
        "fake": len(fakes),
        "manipulations": fakes["manipulation"].value_counts().sort_index().to_dict(),
    }
    for name, count in rows.items():
        if name in told and told[name] != count:
            yield Finding(
                "error",
                "counts",
                f"{data}, {split}",
                f"the scores are not of the samples that the data set had: {name}",
                "numbers on a part of a split, or on another one, are not the split's",
                shown(told[name]),
                shown(count),
            )


def _shared(opened: Opened, data: str, frame: pd.DataFrame, split: str) -> Iterator[Finding]:
    """What the evaluated samples share with the validation samples of the same data set."""
    if opened.validation is None or split == "val":
        return
    validation = opened.validation[opened.validation["data"] == data]
    for name, what in (("id", "ids"), ("video", "videos"), ("identities", "identities")):
        common = sorted(_names(frame[name]) & _names(validation[name]))
        if common:
            told = f"{len(common)} {what} of the evaluated split are in the validation split too ({few(common)})"
            yield Finding("error", f"shared {what}", f"{data}, {split}", told, _LEAK)


def _names(column: pd.Series) -> set[str]:
    return {name for text in column.fillna("") for name in str(text).split("|") if name}
