"""From frames to videos and manipulations, and the metrics of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dfbench import measure as measuring
from dfbench.comparisons import attack_success
from dfbench.errors import DataError
from dfbench.levels import clusters, interval_method, of_manipulation, per_video, recorded
from dfbench.measure import measure, measure_levels
from dfbench.recordfile import load_record
from dfbench.registry import Component, load_registry
from dfbench.thresholds import freeze

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


# --- what belongs together ---------------------------------------------------------------------------------------


def people(pairs: int = 30, each: int = 2) -> pd.DataFrame:
    """FaceForensics++ in its pairs: of two people a real video each, and of either one a fake with the other's face."""
    rows = []
    for pair in range(pairs):
        a, b = f"{2 * pair:03d}", f"{2 * pair + 1:03d}"
        for video, who, fake in ((a, a, 0), (b, b, 0), (f"{a}_{b}", f"{a}|{b}", 1), (f"{b}_{a}", f"{b}|{a}", 1)):
            rows += [(video, who, "swap" if fake else "", fake)] * each
    frame = pd.DataFrame(rows, columns=["video", "identities", "manipulation", "label"])
    return frame.assign(score=np.random.default_rng(0).random(len(frame)))


def test_videos_that_share_a_person_are_one_cluster() -> None:
    frame = people()
    groups, by = clusters(frame)
    assert by == "identity"
    assert len(set(groups)) == 30
    pair = frame["identities"].str.slice(0, 3).astype(int) // 2
    assert pd.Series(groups).groupby(pair).nunique().tolist() == [1] * 30


def test_people_are_joined_through_others_and_by_the_videos_that_show_several() -> None:
    chain = pd.DataFrame(
        {"video": ["v1", "v2", "v3", "v3"], "identities": ["a|b", "b|c", "c", "d"], "label": [1, 1, 0, 0]}
    )
    rest = pd.DataFrame({"video": [f"w{i}" for i in range(80)], "identities": "", "label": [0, 1] * 40})
    groups, by = clusters(pd.concat([chain, rest]))
    assert by == "identity"
    assert groups == ["v1"] * 4 + rest["video"].tolist()


def test_an_image_without_a_known_person_is_clustered_by_its_video_alone() -> None:
    frame = people()
    more = frame.assign(video="x" + frame["video"], identities="")
    groups, _ = clusters(pd.concat([frame, more]))
    assert groups[len(frame) :] == more["video"].tolist()


@pytest.mark.parametrize("pairs, by", [(19, "video"), (20, "identity")])
def test_with_fewer_than_20_groups_samples_are_clustered_by_video(pairs: int, by: str) -> None:
    frame = people(pairs)
    groups, found = clusters(frame)
    assert found == by
    assert (groups == frame["video"].tolist()) == (by == "video")


def test_many_single_groups_beside_a_giant_one_are_not_many_groups() -> None:
    """All fakes of a few people: a bootstrap that drops their one group drops a class."""
    giant = people(30).assign(identities="everybody")
    alone = pd.DataFrame({"video": [f"w{i}" for i in range(200)], "identities": "", "label": 0})
    assert clusters(pd.concat([giant, alone]))[1] == "video"


def test_where_every_video_shows_people_of_its_own_clusters_are_the_videos() -> None:
    frame = people().assign(identities=lambda frame: frame["video"])
    assert clusters(frame) == (frame["video"].tolist(), "video")


def test_the_order_of_samples_does_not_change_who_belongs_together() -> None:
    frame = people().sample(frac=1, random_state=0)
    groups, _ = clusters(people())
    assert clusters(frame)[0] == [groups[i] for i in frame.index]


def test_intervals_are_those_of_a_bootstrap_over_people(metrics: list[Component]) -> None:
    frame = people()
    (by_people,) = measure(metrics, [frame])
    (by_video,) = measure(metrics, [frame], by="video")
    pair = (frame["identities"].str.slice(0, 3).astype(int) // 2).map("{:03d}".format)
    (expected,) = measure(metrics, [frame.assign(video=pair).drop(columns="identities")])
    assert by_people.metrics == by_video.metrics
    assert by_people.intervals["auc"] == expected.intervals["auc"] != by_video.intervals["auc"]


def test_videos_and_manipulations_keep_the_clusters_of_the_whole(metrics: list[Component]) -> None:
    frame = people()
    frame["manipulation"] = [f"kind{i // 2 % 2}" if fake else "" for i, fake in enumerate(frame["label"])]
    (levels,) = measure_levels(metrics, [frame], video_level=True)
    videos = per_video(frame)
    pair = [f"{int(video[:3]) // 2:03d}" for video in videos["video"]]
    (expected,) = measure(metrics, [videos.assign(video=pair)])
    (part,) = measure(metrics, [of_manipulation(videos.assign(video=pair), "kind0")])
    (other,) = measure(metrics, [videos])
    assert levels.videos is not None
    assert levels.videos.intervals == expected.intervals != other.intervals
    assert levels.manipulations["kind0"].intervals == part.intervals


def test_the_success_of_an_attack_has_an_interval_over_people_unless_by_video() -> None:
    frame = people()
    clean, attacked = frame.assign(score=frame["label"].astype(float)), frame
    by_people, by_video = attack_success(clean, attacked), attack_success(clean, attacked, "video")
    pair = [f"{int(video[:3]) // 2:03d}" for video in frame["video"]]
    alone = [one.assign(video=pair).drop(columns="identities") for one in (clean, attacked)]
    assert by_people == attack_success(*alone)
    assert by_people["value"] == by_video["value"]
    assert by_people["interval"] != by_video["interval"]


def test_the_record_says_by_what_its_intervals_are_clustered() -> None:
    plain = frames_of(5)
    assert interval_method({"a": plain}) == "percentile bootstrap, clustered by video"
    assert interval_method({"a": people()}) == "percentile bootstrap, clustered by identity"
    assert interval_method({}) == "percentile bootstrap, clustered by video"
    both = interval_method({"ffpp": people(), "other": plain, "third": plain})
    assert both == "percentile bootstrap, clustered by identity on ffpp, video on other and third"
    few = "video (groups of samples that share people would be fewer than 20 in effect)"
    assert interval_method({"mini": people(5)}) == f"percentile bootstrap, clustered by {few}"


@pytest.mark.parametrize("frame", [people(), people(5), frames_of(5)], ids=["identity", "few", "video"])
def test_the_clusters_of_a_record_are_found_again_from_its_method(frame: pd.DataFrame) -> None:
    assert clusters(frame, recorded(interval_method({"a": frame}))) == clusters(frame)


def test_a_record_of_before_people_counted_is_clustered_by_video() -> None:
    assert clusters(people(), recorded("percentile bootstrap, clustered by video"))[1] == "video"


@pytest.mark.parametrize(
    "name", ["mini-demo", "dual", "dual-ablation", "gradient-regularization", "pim-ablation", "strong"]
)
def test_the_people_of_mini_are_too_few_groups_so_that_its_clusters_are_the_videos(name: str) -> None:
    scores = pd.read_parquet(RESULTS / name / "scores.parquet")
    frame = scores[scores["cell"] == 0].reset_index(drop=True)
    assert clusters(frame) == (frame["video"].tolist(), "video")


# --- the worst case -----------------------------------------------------------------------------------------------


def worst_case_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The same samples under an attack that turned every third of them."""
    turned = np.where(np.arange(len(frame)) % 3 == 0, 1 - frame["label"], frame["label"]).astype(float)
    return frame.drop(columns="score").assign(worst_score=turned)


@pytest.fixture(scope="module")
def everything() -> list[Component]:
    registry = load_registry()
    return [registry.component("metric", spec.name) for spec in registry.specs("metric")]


WORST = {"worst_case_accuracy", "worst_case_accuracy_fake", "worst_case_accuracy_real"}


def test_a_worst_case_has_its_own_metrics_and_no_others(everything: list[Component]) -> None:
    frame = frames_of(20)
    fixed, worst = measure_levels(everything, [frame, worst_case_of(frame)], video_level=True)
    assert set(worst.samples.metrics) == WORST == set(worst.manipulations["FaceSwap"].metrics)
    assert worst.samples.metrics["worst_case_accuracy"] == pytest.approx(2 / 3, abs=0.01)
    assert worst.samples.intervals["worst_case_accuracy"] is not None
    assert not WORST & set(fixed.samples.metrics)


def test_a_worst_case_has_no_videos_and_no_frozen_thresholds(everything: list[Component]) -> None:
    frame = frames_of(20)
    thresholds = freeze(frame, video_level=True)
    fixed, worst = measure_levels(
        everything, [frame, worst_case_of(frame)], video_level=True, thresholds=[thresholds] * 2
    )
    assert fixed.videos is not None
    assert "accuracy_at_frozen_eer" in fixed.videos.metrics
    assert worst.videos is None
    assert set(worst.samples.metrics) == WORST


def test_levels_come_in_the_order_of_the_cells(everything: list[Component]) -> None:
    frame = frames_of(9)
    kinds = [worst_case_of(frame), frame, worst_case_of(frame), frame.assign(score=0.1)]
    found = measure_levels(everything, kinds, video_level=False)
    assert ["accuracy" in one.samples.metrics for one in found] == [False, True, False, True]
    assert found[3].samples.metrics["accuracy"] == pytest.approx(0.2)


def test_a_worst_case_of_other_samples_is_not_taken_for_one_of_these(everything: list[Component]) -> None:
    frame = frames_of(5)
    with pytest.raises(DataError, match="hold different samples"):
        measure_levels(everything, [frame, worst_case_of(frame).iloc[::-1].reset_index(drop=True)], video_level=False)


def test_the_success_of_a_worst_case_is_the_share_of_right_samples_that_it_broke() -> None:
    frame = frames_of(20)
    clean = frame.assign(score=np.where(np.arange(len(frame)) < 50, 1 - frame["label"], frame["label"]).astype(float))
    found = attack_success(clean, worst_case_of(frame))
    right = np.arange(len(frame)) >= 50
    assert found["n"] == right.sum()
    assert found["value"] == pytest.approx((np.arange(len(frame)) % 3 == 0)[right].mean())
    assert found["interval"] is not None


# --- accepted results ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mini-demo", "dual", "dual-ablation", "gradient-regularization"])
def test_an_accepted_result_follows_from_the_scores_that_lie_beside_it(name: str) -> None:
    registry = load_registry()
    record = load_record(RESULTS / name)
    known = dict.fromkeys(metric for cell in record["cells"] for metric in cell["metrics"])
    everything, by = [registry.component("metric", metric) for metric in known], recorded(record["intervals"]["method"])
    scores = pd.read_parquet(RESULTS / name / "scores.parquet")
    # A column that only other cells have is empty here.
    frames = [
        frame.reset_index(drop=True).dropna(axis=1, how="all").infer_objects() for _, frame in scores.groupby("cell")
    ]
    measured = measure(everything, frames, by=by)
    rows = {(c["attack"], c["corruption"], c["defense"]): m for c, m in zip(record["cells"], measured, strict=True)}
    clean = {
        (c["defense"], c["corruption"]): frame
        for c, frame in zip(record["cells"], frames, strict=True)
        if c["attack"] == "none"
    }
    for cell, frame, ours in zip(record["cells"], frames, measured, strict=True):
        assert ours.metrics == pytest.approx(cell["metrics"])
        if success := cell["attack_success"]:
            found = attack_success(clean[cell["defense"], cell["corruption"]], frame, by)
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
                found = ours.minus(base)[metric]
                assert found["value"] == pytest.approx(difference["value"])
                assert found["interval"] == pytest.approx(difference["interval"])
