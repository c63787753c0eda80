"""The leakage audit: what two splits share that they must not share. Findings, not errors: the caller decides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from dfbench.contracts import SPLITS, Dataset, Progress, Sample, Split
from dfbench.hygiene import find_split
from dfbench.keys import core_version, digest
from dfbench.phash import CANDIDATE, DUPLICATE, detail_correlation, phash, vectors
from dfbench.store import Store

NAMED = 100
"""Names kept of a finding; its ``count`` tells how many there are."""

_SHOWN = 3
_QUERIES, _OTHERS = 1024, 8192
"""Hashes compared at a time: their products stay in the processor's cache."""


@dataclass(frozen=True)
class Finding:
    """One way in which two splits leak.

    Args:
        kind: ``id``, ``video``, ``identity`` or ``near-duplicate``.
        message: one line: which splits, how many, the first few names, and what to do.
        count: how many ids, videos, people or crops.
        names: the first hundred of them; near-duplicates as ``one = other``.
    """

    kind: str
    message: str
    count: int
    names: tuple[str, ...]


def audit(
    dataset: Dataset, name: str, store: Store | None, progress: Progress, splits: Sequence[str] = SPLITS
) -> list[Finding]:
    """What the splits of a prepared data set share: equal ids, videos, people, and near-duplicate crops.

    Of fakes that are drawn anew for each epoch the first epoch's are looked at. A sample without ``phash`` is read and
    hashed; the findings are kept in ``store`` under the data set's fingerprint.

    Args:
        dataset: it may lack any split.
        name: what messages call it.
        store: where findings are kept; None: nowhere.
        progress: where progress is shown.
        splits: the splits that are compared.
    """
    found = {split: rows for split in splits if (rows := find_split(dataset, split))}

    def compute() -> list[Finding]:
        findings = _equal_ids(found)
        for a, b in combinations(found, 2):
            findings += _shared(found[a], found[b], a, b)
        hashes = {split: _hashes(rows, f"hash {split}", progress) for split, rows in found.items()}
        for a, b in combinations(found, 2):
            findings += _near_duplicates(found[a], hashes[a], found[b], hashes[b], a, b, progress)
        return findings

    findings = _cached(store, {"data": _told(dataset), "splits": list(splits)}, compute)
    return [replace(finding, message=f"{name}: {finding.message}") for finding in findings]


def audit_pair(
    train: Dataset,
    evaluated: Dataset,
    split: str,
    progress: Progress,
    store: Store | None = None,
    *,
    same_source: bool,
) -> list[Finding]:
    """What the evaluated split of one data set shares with the training and validation data of another.

    Args:
        train, evaluated: prepared data sets.
        split: of ``evaluated``.
        progress: where progress is shown.
        store: where findings are kept; None: nowhere.
        same_source: whether names of videos and people mean the same in both; else only near-duplicates are looked for.
    """
    tested = evaluated.split(split)
    found = {name: rows for name in ("train", "val") if (rows := find_split(train, name))}
    where = f"the evaluated {split}"

    def compute() -> list[Finding]:
        findings: list[Finding] = []
        hashes = _hashes(tested, f"hash {split}", progress)
        for name, rows in found.items():
            if same_source:
                findings += _shared(rows, tested, name, where)
            own = _hashes(rows, f"hash {name}", progress)
            findings += _near_duplicates(rows, own, tested, hashes, name, where, progress)
        return findings

    preimage = {"data": [_told(train), _told(evaluated)], "split": split, "same_source": same_source}
    return _cached(store, preimage, compute)


def _told(dataset: Dataset) -> list[str]:
    """What decides findings: the fingerprint, and the hashes that the samples bring along, which it does not cover."""
    known = [sample.phash for name in SPLITS if (split := find_split(dataset, name)) for sample in split.samples]
    return [dataset.fingerprint, digest(known)]


def _cached(store: Store | None, data: Mapping[str, Any], compute: Callable[[], list[Finding]]) -> list[Finding]:
    if store is None:
        return compute()
    preimage = {**data, "code": core_version("audit", "phash")}
    if store.find("audits", preimage) is None:
        findings = compute()
        with store.publish("audits", preimage) as folder:
            (folder / "findings.json").write_text(json.dumps([asdict(finding) for finding in findings]), "utf-8")
    rows = json.loads((store.path("audits", preimage) / "findings.json").read_text("utf-8"))
    return [Finding(**{**row, "names": tuple(row["names"])}) for row in rows]


def _finding(kind: str, names: Sequence[str], what: str, cure: str) -> list[Finding]:
    """None where there are no names."""
    if not names:
        return []
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return [Finding(kind, f"{len(names)} {what} ({shown}): {cure}", len(names), tuple(names[:NAMED]))]


def _equal_ids(splits: Mapping[str, Split]) -> list[Finding]:
    counts = Counter(sample.id for split in splits.values() for sample in split.samples)
    twice = sorted(name for name, n in counts.items() if n > 1)
    return _finding("id", twice, "ids stand for more than one sample", "give each sample an id of its own")


def _shared(a: Split, b: Split, name_a: str, name_b: str) -> list[Finding]:
    where = f"in both {name_a} and {name_b}"
    videos = _common(a.samples, b.samples, lambda sample: (sample.video,))
    people = _common(a.samples, b.samples, lambda sample: sample.identities)
    return [
        *_finding("video", videos, f"videos are {where}", "keep all frames of a video in one split"),
        *_finding("identity", people, f"identities are {where}", "split by people, sources and targets of fakes alike"),
    ]


def _common(a: Iterable[Sample], b: Iterable[Sample], names: Callable[[Sample], Iterable[str]]) -> list[str]:
    in_a, in_b = ({name for sample in samples for name in names(sample)} for samples in (a, b))
    return sorted(in_a & in_b)


def _hashes(split: Split, title: str, progress: Progress) -> list[str]:
    """Of every sample; read and computed where the data set does not tell."""
    hashes = [sample.phash for sample in split.samples]
    unknown = [index for index, text in enumerate(hashes) if not text]
    if unknown:
        with ThreadPoolExecutor() as pool, progress.task(title, len(unknown)) as advance:
            for index, text in zip(unknown, pool.map(lambda i: phash(split.pixels(i)), unknown), strict=True):
                hashes[index] = text
                advance(1)
    return hashes


def _near_duplicates(
    a: Split, hashes_a: Sequence[str], b: Split, hashes_b: Sequence[str], name_a: str, name_b: str, progress: Progress
) -> list[Finding]:
    """Crops of ``b`` whose most alike crop in ``a``, by its hash, shows the same picture, by its pixels."""
    first_a, first_b = ({text: i for i, text in reversed(list(enumerate(texts)))} for texts in (hashes_a, hashes_b))
    alike = _most_alike(list(first_b), list(first_a), f"compare {name_a}, {name_b}", progress)
    if not alike:
        return []

    def same(pair: tuple[str, str]) -> bool:
        one, other = b.pixels(first_b[pair[0]]), a.pixels(first_a[pair[1]])
        return detail_correlation(one, other) >= DUPLICATE

    twins = {}
    with ThreadPoolExecutor() as pool, progress.task("confirm", len(alike)) as advance:
        for (text, other), confirmed in zip(alike.items(), pool.map(same, alike.items()), strict=True):
            if confirmed:
                twins[text] = a.samples[first_a[other]].id
            advance(1)
    names = [f"{s.id} = {twins[text]}" for s, text in zip(b.samples, hashes_b, strict=True) if text in twins]
    what = f"crops of {name_b} are near-duplicates of crops in {name_a}"
    return _finding("near-duplicate", names, what, "remove them from one of the two")


def _most_alike(queries: list[str], others: list[str], title: str, progress: Progress) -> dict[str, str]:
    """For each query its most alike other hash, where the two are candidates at all."""
    left = vectors(queries)
    best, where = np.full(len(left), -1.0, np.float32), np.zeros(len(left), int)
    with progress.task(title, len(others)) as advance:
        for begin in range(0, len(others), _OTHERS):
            right = vectors(others[begin : begin + _OTHERS])
            for start in range(0, len(left), _QUERIES):
                block = slice(start, start + _QUERIES)
                likeness = left[block] @ right.T
                top = likeness.argmax(axis=1)
                value = likeness[np.arange(len(top)), top]
                where[block] = np.where(value > best[block], top + begin, where[block])
                best[block] = np.maximum(value, best[block])
            advance(len(right))
    return {queries[i]: others[where[i]] for i in np.flatnonzero(best >= CANDIDATE)}
