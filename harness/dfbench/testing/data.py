"""The check of a data set."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from dfbench.audit import audit
from dfbench.contracts import SPLITS, Dataset, Spec, Split
from dfbench.hygiene import check_splits
from dfbench.loader import check_pixels
from dfbench.progress import Silent
from dfbench.registry import Component
from dfbench.testing.common import check_pickle, component_of, conforming


def check_dataset(what: Spec | Component, cache: Path, *, samples: int = 6, **params: Any) -> None:
    """Splits (those it has) without leaks, pixels as the contract says, the same elsewhere and from several threads.

    Args:
        what: the data set's spec, with ``params`` as keywords, or its component.
        cache: a folder for what the data set prepares.
        samples: how many samples of each split are looked at.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, params)
    with conforming(component) as who:
        first, again = (_prepared(component, cache, who) for _ in range(2))
        counts = check_splits(first, component.label, needed=(), optional=SPLITS)
        assert counts, f"{who} has no split at all: it needs train, val or test"
        assert re.fullmatch("[0-9a-f]{64}", first.fingerprint), f"{who}: the fingerprint must be a SHA-256 in hex"
        assert first.fingerprint == again.fingerprint, f"{who} has another fingerprint when prepared again"
        assert isinstance(first.notes(), list), f"{who}: notes() must be a list of texts"
        shape: tuple[int, ...] | None = None
        for name in counts:
            split, other = first.split(name), again.split(name)
            assert list(split.samples) == list(other.samples), f"{who} lists other samples in {name!r} the second time"
            for sample in split.samples:
                assert sample.label in (0, 1), f"{who}: the label must be 0 (real) or 1 (fake) in {sample}"
            indices = np.linspace(0, len(split.samples) - 1, min(samples, len(split.samples))).astype(int).tolist()
            for index in indices:
                shape = check_pixels(split.pixels(index), split.samples[index].id, shape).shape
            _check_deterministic(split, other, indices, name, who)
        leaks = audit(first, component.label, None, Silent())
        assert not leaks, f"{who} leaks: {'; '.join(leak.message for leak in leaks)}"
        check_pickle(component, who)


def _prepared(component: Component, cache: Path, who: str) -> Dataset:
    dataset = component.build()
    assert isinstance(dataset, Dataset), f"{who} builds a {type(dataset).__name__}; it must be a contracts.Dataset"
    dataset.prepare(str(cache), Silent())
    return dataset


def _check_deterministic(split: Split, other: Split, indices: list[int], name: str, who: str) -> None:
    """Equal pixels from another instance, from threads, and (but for training) for every epoch and seed."""
    jobs = [(index, epoch) for index in indices for epoch in (0, 1)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda job: split.pixels(job[0], epoch=job[1], seed=3), jobs))
    for (index, epoch), pixels in zip(jobs, threaded, strict=True):
        where = f"{who}: sample {split.samples[index].id!r} of {name!r}"
        repeated = other.pixels(index, epoch=epoch, seed=3)
        assert np.array_equal(pixels, repeated), f"{where} has other pixels in another thread or instance"
        if name != "train":
            assert np.array_equal(pixels, split.pixels(index)), f"{where} changes with epoch or seed; only 'train' may"
