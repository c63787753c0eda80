"""The cluster bootstrap, its intervals, and paired differences."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from dfbench.errors import DataError
from dfbench.measure import measure
from dfbench.registry import load_registry
from dfbench.significance import bootstrap_p, delong, mcnemar
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


def test_samples_that_depend_on_each_other_are_compared_by_the_bootstrap():
    a, b = pair(np.random.default_rng(0), gain=0.2, frames=2)
    found = difference(a, b)
    ours, theirs = measure([load_registry().component("metric", "auc")], [a, b])
    assert (found["test"], found["p"]) == ("bootstrap", bootstrap_p(ours.rows["auc"] - theirs.rows["auc"]))


def test_areas_of_independent_samples_are_compared_by_delong():
    a, b = pair(np.random.default_rng(0), gain=0.1, frames=1)
    found = difference(a, b)
    expected = delong(a["label"].to_numpy(), a["score"].to_numpy(), b["score"].to_numpy())
    assert (found["test"], found["p"]) == ("DeLong", expected.p)
    assert found["value"] == pytest.approx(expected.value)


def test_accuracies_of_independent_samples_are_compared_by_mcnemar():
    a, b = pair(np.random.default_rng(0), gain=0.3, frames=1)
    ours, theirs = measure([load_registry().component("metric", "accuracy")], [a, b])
    right = [((frame["score"] >= 0.5) == frame["label"]).to_numpy() for frame in (a, b)]
    found = ours.minus(theirs)["accuracy"]
    assert (found["test"], found["p"]) == ("McNemar", mcnemar(*right))
    assert found["p"] < 0.05


def test_a_metric_without_an_exact_test_is_compared_by_the_bootstrap():
    a, b = pair(np.random.default_rng(0), gain=0.2, frames=1)
    ours, theirs = measure([load_registry().component("metric", "f1_macro")], [a, b])
    assert ours.minus(theirs)["f1_macro"]["test"] == "bootstrap"


def test_a_metric_that_resampling_biases_has_neither_interval_nor_p():
    a, b = pair(np.random.default_rng(0), gain=0.2)
    ours, theirs = measure(
        [load_registry().component("metric", "ece")], [f.assign(score=f["score"].clip(0, 1)) for f in (a, b)]
    )
    found = ours.minus(theirs)["ece"]
    assert ours.intervals["ece"] is None
    assert found["value"] == pytest.approx(ours.metrics["ece"] - theirs.metrics["ece"])
    assert (found["interval"], found["p"]) == (None, None)


# --- coverage -----------------------------------------------------------------------------------------------------

WORLDS, ROUNDS = 10, 200


def scored(rng, videos: int, frames: int, gap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and the scores of two detectors on the same samples, the first of which is better."""
    y, score = world(rng, videos, frames, gap)
    return y, score + 0.1 * (y - 0.5) + rng.normal(0, 0.02, len(y)), score


def measured(y, a, b, weight) -> dict[str, np.ndarray]:
    values = {"accuracy": accuracy(y, a, weight), "auc": auc(y, a, weight)}
    values["difference of accuracy"] = values["accuracy"] - accuracy(y, b, weight)
    values["difference of auc"] = values["auc"] - auc(y, b, weight)
    return values


@cache
def coverage(frames: int) -> dict[str, float]:
    """How often the 95% interval holds the truth, over worlds that differ in how well the classes are separated.

    The bounds of a share of n samples lie on a lattice of width 1/n, so that coverage in one world depends on where its
    truth lies on it (Brown, Cai and DasGupta, Statistical Science 16, 2001): by up to 4 points at n = 150, up and down.
    Many worlds and numbers of clusters tell the interval from that accident.
    """
    rng = np.random.default_rng(frames)
    covered: dict[str, list[bool]] = {}
    for gap in np.linspace(0.1, 0.5, WORLDS):
        y, a, b = scored(rng, 400_000, 1, gap)
        truth = {name: values[0] for name, values in measured(y, a, b, np.ones((1, len(y)))).items()}
        for _ in range(ROUNDS):
            videos = int(rng.integers(150, 250))
            weight = bootstrap_weights(clusters(videos, frames), 1000, int(rng.integers(1 << 31)))
            for name, values in measured(*scored(rng, videos, frames, gap), weight).items():
                low, high = percentile_interval(values)
                covered.setdefault(name, []).append(low <= truth[name] <= high)
    return {name: float(np.mean(held)) for name, held in covered.items()}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["accuracy", "auc", "difference of accuracy", "difference of auc"])
@pytest.mark.parametrize("frames", [1, 3], ids=["images", "frames of videos"])
def test_a_95_percent_interval_covers_the_truth_93_to_97_times_in_100(frames: int, what: str) -> None:
    assert 0.93 <= coverage(frames)[what] <= 0.97
