"""The cluster bootstrap, its intervals, and paired differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dfbench.errors import DataError
from dfbench.measure import measure
from dfbench.registry import load_registry
from dfbench.stats import bootstrap_weights, percentile_interval
from dfbench_metrics.ranking import auc
from dfbench_metrics.threshold import accuracy


def clusters(videos: int, frames: int) -> list[str]:
    return [f"video{v:04d}" for v in range(videos) for _ in range(frames)]


def world(rng, videos: int, frames: int, gap: float = 0.2, spread: float = 0.2):
    """Scores whose videos differ by ``spread``: labels by video, frames that agree within a video."""
    label = rng.integers(0, 2, videos)
    quality = rng.normal(0.5 + gap * (label - 0.5), spread)
    y, score = np.repeat(label, frames), np.repeat(quality, frames) + rng.normal(0, 0.05, videos * frames)
    return y, score


# --- weights ------------------------------------------------------------------------------------------------------


def test_whole_videos_are_drawn():
    weight = bootstrap_weights(clusters(5, 3), 50, 0).reshape(50, 5, 3)
    assert (weight == weight[:, :, :1]).all()


def test_every_replicate_draws_as_many_videos_as_there_are():
    weight = bootstrap_weights(clusters(7, 1), 50, 0)
    assert (weight.sum(axis=1) == 7).all()


def test_draws_are_uniform_with_replacement():
    weight = bootstrap_weights(clusters(10, 1), 20_000, 0)
    assert weight.mean(axis=0) == pytest.approx(np.ones(10), abs=0.03)
    assert weight.var() == pytest.approx(0.9, abs=0.02)  # binomial(10, 1/10)


def test_weights_depend_on_the_seed_alone_not_on_chunks(monkeypatch):
    first = bootstrap_weights(clusters(6, 2), 40, 5)
    monkeypatch.setattr("dfbench.stats._CHUNK", 12)
    assert np.array_equal(bootstrap_weights(clusters(6, 2), 40, 5), first)
    assert not np.array_equal(bootstrap_weights(clusters(6, 2), 40, 6), first)


def test_weights_do_not_depend_on_the_order_of_samples():
    videos, order = np.array(clusters(6, 2)), np.random.default_rng(0).permutation(12)
    weight = bootstrap_weights(videos, 30, 0)
    assert np.array_equal(bootstrap_weights(videos[order], 30, 0), weight[:, order])


def test_weights_are_the_same_on_every_machine_and_version():
    assert bootstrap_weights(["a", "b", "c", "d"], 3, 0).tolist() == [[2, 1, 1, 0], [0, 0, 2, 2], [1, 0, 1, 2]]


def test_one_video_gives_no_replicates_and_no_interval():
    weight = bootstrap_weights(["only"] * 9, 100, 0)
    assert weight.shape == (0, 9)
    assert percentile_interval(np.zeros(len(weight))) is None


# --- intervals ----------------------------------------------------------------------------------------------------


def test_interval_is_the_central_share_of_the_replicates():
    assert percentile_interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert percentile_interval(np.arange(1001.0), level=0.9) == pytest.approx((50, 950))


def test_few_undefined_replicates_are_left_out_and_many_forbid_an_interval():
    values = np.arange(100.0)
    values[:5] = np.nan
    assert percentile_interval(values) == pytest.approx(tuple(np.quantile(np.arange(5.0, 100), (0.025, 0.975))))
    values[5] = np.nan
    assert percentile_interval(values) is None


def test_clustered_interval_is_wider_than_one_that_takes_frames_for_independent():
    rng = np.random.default_rng(0)
    y, score = world(rng, videos=60, frames=10)
    widths = []
    for videos in (clusters(60, 10), [str(i) for i in range(600)]):
        low, high = percentile_interval(accuracy(y, score, bootstrap_weights(videos, 500, 0)))
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


@pytest.mark.slow
@pytest.mark.parametrize("metric", [accuracy, auc], ids=["accuracy", "auc"])
def test_interval_covers_the_truth_95_times_in_100(metric):
    rng = np.random.default_rng(0)
    y, score = world(rng, videos=200_000, frames=1)
    truth = metric(y, score, np.ones((1, len(y))))[0]
    videos = clusters(150, 2)
    covered = []
    for seed in range(2000):
        y, score = world(rng, videos=150, frames=2)
        low, high = percentile_interval(metric(y, score, bootstrap_weights(videos, 1000, seed)))
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


# --- paired differences -------------------------------------------------------------------------------------------


def pair(rng, gain: float, videos: int = 80, frames: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two detectors on the same videos; the first separates the classes better by ``gain``."""
    y, score = world(rng, videos, frames, gap=0.3)
    better = score + gain * (y - 0.5) + rng.normal(0, 0.02, len(y))
    base = pd.DataFrame({"video": clusters(videos, frames), "label": y, "score": score})
    return base.assign(score=better), base


def difference(a: pd.DataFrame, b: pd.DataFrame) -> dict:
    """Of the AUC, with its interval."""
    ours, theirs = measure([load_registry().component("metric", "auc")], [a, b])
    return ours.minus(theirs)["auc"]


def test_difference_is_that_of_the_metric_and_changes_sign_with_the_order():
    a, b = pair(np.random.default_rng(0), gain=0.2)
    once = np.ones((1, len(a)))
    forth, back = difference(a, b), difference(b, a)
    assert forth["value"] == pytest.approx(auc(a["label"], a["score"], once)[0] - auc(b["label"], b["score"], once)[0])
    assert back["value"] == -forth["value"]
    assert back["interval"] == pytest.approx([-forth["interval"][1], -forth["interval"][0]])


def test_true_gain_excludes_zero_and_a_detector_against_itself_is_exactly_zero():
    a, b = pair(np.random.default_rng(0), gain=0.4)
    assert difference(a, b)["interval"][0] > 0
    assert difference(a, a)["interval"] == [0, 0]


def test_pairing_narrows_the_interval():
    a, b = pair(np.random.default_rng(0), gain=0.1)
    low, high = difference(a, b)["interval"]
    weights = [bootstrap_weights(a["video"].tolist(), 1000, seed) for seed in (1, 2)]
    unpaired = percentile_interval(auc(a["label"], a["score"], weights[0]) - auc(b["label"], b["score"], weights[1]))
    assert high - low < 0.6 * (unpaired[1] - unpaired[0])


@pytest.mark.parametrize("part", ["label", "video"])
def test_different_samples_cannot_be_paired(part):
    a, b = pair(np.random.default_rng(0), gain=0.1)
    with pytest.raises(DataError, match="different samples"):
        difference(a, b.assign(**{part: b[part].tolist()[::-1]}))


@pytest.mark.slow
def test_paired_interval_covers_the_true_difference_95_times_in_100():
    rng = np.random.default_rng(1)
    truth = difference(*pair(rng, gain=0.1, videos=20_000, frames=1))["value"]
    covered = []
    for _ in range(1000):
        low, high = difference(*pair(rng, gain=0.1, videos=150, frames=1))["interval"]
        covered.append(low <= truth <= high)
    assert 0.93 <= np.mean(covered) <= 0.97
