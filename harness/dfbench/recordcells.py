"""What an entry of a record's ``cells`` or ``over_seeds`` says, of one training or as a mean over several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]


def by_video(entry: Entry) -> Entry:
    """The entry with the numbers of the videos in place of the samples', where samples are frames of videos."""
    return {**entry, **entry["video"]} if entry.get("video") else entry


def value(entry: Entry, metric: str) -> float | None:
    """A metric's value, or its mean over trainings; None where it has none."""
    found = entry["metrics"].get(metric)
    number = found["mean"] if isinstance(found, Mapping) else found
    return None if number is None else float(number)


def difference(entry: Entry, metric: str) -> Mapping[str, Any]:
    """``{"value", "interval"}`` of the paired difference from the baseline; empty where there is none."""
    versus = entry["versus_baseline"]
    return (versus["difference"].get(metric) or {}) if versus else {}


def excludes_0(interval: Sequence[float] | None) -> bool:
    """Whether an interval lies above 0, or below."""
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def best(entries: Sequence[Entry], metric: str, *, higher: bool = True) -> str:
    """The defense with the best value, if it is better than the baseline by a paired difference whose interval excludes
    0; empty where it is not, or nothing was measured.

    Args:
        entries: one for each defense that is compared, in one scenario.
        metric: its name.
        higher: whether more of it is better.
    """
    values = {str(entry["defense"]): value(entry, metric) for entry in entries}
    finite = {name: found for name, found in values.items() if found is not None}
    if not finite:
        return ""
    top = (max if higher else min)(finite, key=lambda name: finite[name])
    gain = next(difference(entry, metric) for entry in entries if entry["defense"] == top)
    return top if excludes_0(gain.get("interval")) and (gain["value"] > 0) == higher else ""
