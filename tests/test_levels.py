"""From frames to videos and manipulations, and the metrics of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dfbench import measure as measuring
from dfbench.comparisons import attack_success
from dfbench.errors import DataError
from dfbench.levels import of_manipulation, per_video
from dfbench.measure import measure, measure_levels
from dfbench.recordfile import load_record
from dfbench.registry import Component, load_registry

RESULTS = Path(__file__).parents[1] / "results"
MANIPULATIONS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def frames_of(videos: int = 140, each: int = 2) -> pd.DataFrame:
    """FaceForensics++ in names: real videos, and of each a fake of the same name by every manipulation."""
    rng = np.random.default_rng(0)
    rows = []
    for name in range(videos):
        for manipulation in ("", *MANIPULATIONS):
            fake = int(manipulation != "")
            rows += [(f"{name:03d}", manipulation, fake, s) for s in rng.uniform(0.3 * fake, 0.7 + 0.3 * fake, each)]
    return pd.DataFrame(rows, columns=["video", "manipulation", "label", "score"])


@pytest.fixture(scope="module")
def metrics() -> list[Component]:
    registry = load_registry()
    return [registry.component("metric", name) for name in ("accuracy", "auc", "n")]


def test_700_videos_of_140_names_stay_700() -> None:
    videos = per_video(frames_of())
    assert len(videos) == 700
    assert videos["label"].value_counts().to_dict() == {1: 560, 0: 140}
    assert set(videos["frames"]) == {2}


def test_the_score_of_a_video_is_the_mean_of_its_frames() -> None:
    frames = frames_of(5, 7)
    one = frames[(frames["video"] == "003") & (frames["manipulation"] == "FaceSwap")]
    videos = per_video(frames.sample(frac=1, random_state=0))
    found = videos[(videos["video"] == "003") & (videos["manipulation"] == "FaceSwap")]
    assert found["score"].tolist() == pytest.approx([one["score"].mean()])
    assert found["frames"].tolist() == [7]


def test_a_real_and_a_fake_video_of_one_name_stay_apart_even_where_the_manipulation_is_not_named() -> None:
    frames = frames_of(3).assign(manipulation="")
    assert sorted(per_video(frames)["label"]) == [0, 0, 0, 1, 1, 1]


def test_equal_videos_of_two_data_sets_stay_apart() -> None:
    both = pd.concat([frames_of(4).assign(data="a"), frames_of(4).assign(data="b")], ignore_index=True)
    assert len(per_video(both)) == 2 * len(per_video(frames_of(4)))


def test_a_manipulation_is_measured_against_all_real_samples() -> None:
    rows = of_manipulation(frames_of(10), "FaceSwap")
    assert rows["manipulation"].value_counts().to_dict() == {"": 20, "FaceSwap": 20}


def test_video_level_metrics_are_those_of_the_mean_scores(metrics: list[Component]) -> None:
    from sklearn.metrics import accuracy_score, roc_auc_score

    frames = frames_of()
    (levels,) = measure_levels(metrics, [frames], video_level=True)
    means = frames.groupby(["manipulation", "video"])[["label", "score"]].mean()
    assert levels.videos is not None
    assert (levels.samples.n, levels.videos.n) == (1400, 700)
    assert levels.videos.metrics["auc"] == pytest.approx(roc_auc_score(means["label"], means["score"]))
    assert levels.videos.metrics["accuracy"] == pytest.approx(accuracy_score(means["label"], means["score"] >= 0.5))
    assert levels.videos.metrics["auc"] > levels.samples.metrics["auc"]


def test_a_manipulation_is_measured_by_video_where_there_are_videos(metrics: list[Component]) -> None:
    (by_video,) = measure_levels(metrics, [frames_of()], video_level=True)
    (by_frame,) = measure_levels(metrics, [frames_of()], video_level=False)
    assert {name: part.n for name, part in by_video.manipulations.items()} == dict.fromkeys(MANIPULATIONS, 280)
    assert {part.n for part in by_frame.manipulations.values()} == {560}
    assert by_frame.videos is None


def test_one_manipulation_alone_is_not_measured_twice(metrics: list[Component]) -> None:
    (levels,) = measure_levels(metrics, [of_manipulation(frames_of(9), "FaceSwap")], video_level=True)
    assert levels.manipulations == {}


def test_intervals_by_manipulation_are_left_out_where_they_would_take_minutes(
    metrics: list[Component], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "AFFORDABLE", 100)
    (levels,) = measure_levels(metrics, [frames_of(20)], video_level=False)
    part = levels.manipulations["FaceSwap"]
    assert part.metrics["auc"] is not None
    assert part.intervals["auc"] is None
    assert levels.samples.intervals["auc"] is not None


def test_frames_of_one_name_are_one_cluster_whatever_their_number(metrics: list[Component]) -> None:
    """A hundred copies of each frame add nothing that is known: the interval stays as wide."""
    one, many = (measure(metrics, [frames_of(40, 1).loc[np.repeat(np.arange(200), k)].reset_index(drop=True)])
                 for k in (1, 100))  # fmt: skip
    assert many[0].intervals["auc"] == pytest.approx(one[0].intervals["auc"])


def test_cells_of_other_samples_are_not_compared(metrics: list[Component]) -> None:
    frames = frames_of(5)
    with pytest.raises(DataError, match="hold different samples"):
        measure(metrics, [frames, frames.iloc[::-1].reset_index(drop=True)])


@pytest.mark.parametrize("name", ["mini-demo", "dual", "dual-ablation", "gradient-regularization"])
def test_an_accepted_result_follows_from_the_scores_that_lie_beside_it(name: str) -> None:
    registry = load_registry()
    everything = [registry.component("metric", spec.name) for spec in registry.specs("metric")]
    record = load_record(RESULTS / name)
    scores = pd.read_parquet(RESULTS / name / "scores.parquet")
    # A column that only other cells have is empty here.
    frames = [
        frame.reset_index(drop=True).dropna(axis=1, how="all").infer_objects() for _, frame in scores.groupby("cell")
    ]
    measured = measure(everything, frames)
    rows = {(c["attack"], c["corruption"], c["defense"]): m for c, m in zip(record["cells"], measured, strict=True)}
    clean = {
        (c["defense"], c["corruption"]): frame
        for c, frame in zip(record["cells"], frames, strict=True)
        if c["attack"] == "none"
    }
    for cell, frame, ours in zip(record["cells"], frames, measured, strict=True):
        assert ours.metrics == pytest.approx(cell["metrics"])
        if success := cell["attack_success"]:
            found = attack_success(clean[cell["defense"], cell["corruption"]], frame)
            assert found == {
                "value": pytest.approx(success["value"]),
                "interval": success["interval"],
                "n": success["n"],
            }
        for metric, interval in cell["intervals"].items():
            assert ours.intervals[metric] == pytest.approx(interval)
        if versus := cell["versus_baseline"]:
            base = rows[cell["attack"], cell["corruption"], versus["defense"]]
            for metric, difference in versus["difference"].items():
                assert ours.minus(base)[metric] == {k: pytest.approx(v) for k, v in difference.items()}
