"""The splits that a user did not give, made so that nothing leaks from one to another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from dfbench.contracts import SPLITS
from dfbench.errors import DataError
from dfbench_data import grouping
from dfbench_data.entries import Entry


def complete_splits(source: Path, entries: Sequence[Entry], hashes: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """The entries with a split each, and notes on what was done.

    Without any given split all three are made, else val and test out of train where they are absent; data without a
    training split stay as they are. Entries that share a person, a video, a group or their content stay together.

    Args:
        source: where the data come from, for messages.
        entries: in a fixed order.
        hashes: of the content of each.

    Raises:
        DataError: there are fewer independent groups than splits.
    """
    given = {entry.split for entry in entries} - {""}
    missing = [split for split in ("val", "test") if split not in given]
    if not missing or (given and "train" not in given):
        return list(entries), []
    pool = [index for index, entry in enumerate(entries) if entry.split in ("", "train")]
    groups = grouping.components([_keys(entries[index], hashes[index]) for index in pool])
    wanted = ["train", *missing]
    if len(groups) < len(wanted):
        raise DataError(
            f"{source} has {len(groups)} groups of images, too few for {', '.join(wanted[:-1])} and {wanted[-1]}: add "
            "images of other people or videos, or give the splits yourself (images whose file names differ in the last "
            "number alone count as one video)"
        )
    chosen = grouping.assign(
        groups,
        [entries[index].sample.id for index in pool],
        [entries[index].sample.label for index in pool],
        {split: grouping.SHARES[split] / sum(grouping.SHARES[s] for s in wanted) for split in wanted},
    )
    completed = list(entries)
    for position, split in chosen.items():
        completed[pool[position]] = replace(entries[pool[position]], split=split)
    made = " and ".join(missing) + " out of train" if given else "all"
    counts = ", ".join(f"{sum(entry.split == split for entry in completed)} {split}" for split in SPLITS)
    return completed, [f"splits made here ({made}), keeping people, videos and equal files together: {counts}"]


def _keys(entry: Entry, digest: str) -> list[Hashable]:
    people = [("person", name) for name in entry.sample.identities]
    return [*people, *(("group", name) for name in entry.groups), ("video", entry.sample.video), ("file", digest)]
