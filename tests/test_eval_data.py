"""Trained on one data set, evaluated on others: tables, keys, frames and videos, and leaks between the two."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY, Cli, draw
from PIL import Image

from dfbench.cli import run_cli
from dfbench.config import build_config
from dfbench.contracts import Dataset, DatasetSpec, Param, Sample, Split
from dfbench.errors import DataError
from dfbench.hygiene import check_splits
from dfbench.keys import digest
from dfbench.plugins import Plugins, Provider, Registered, load
from dfbench.progress import Silent
from dfbench.record import build_record
from dfbench.registry import Registry, load_registry
from dfbench.render import markdown_of
from dfbench.runner import Outcome
from dfbench.store import Store
from dfbench.sweep import Sweep

SHORT = "none(epochs=2, batch_size=16, lr=0.01)"
ROBUST = f'pgd-at(epochs=1, batch_size=16, steps=1, start="{SHORT}")'
MODEL = ("--model", TINY, "--defense", SHORT)


def folder(path: Path, size: int = 64) -> str:
    return f"folder(path={path}, size={size})"


def save(path: Path, fake: bool, seed: int, count: int = 8) -> None:
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(draw(rng, fake)).save(path / f"{chr(97 + number)}-{seed}.png")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that has nothing but a test split: 10 real images, and 8 fakes by two manipulations."""
    root = tmp_path_factory.mktemp("elsewhere")
    save(root / "test/real", False, 1, 10)
    save(root / "test/fake/swap", True, 2, 5)
    save(root / "test/fake/morph", True, 3, 3)
    return root


# --- a whole run through the command line -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(faces: Path, elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cross")
    arguments = [
        "run", *MODEL, "--defense", ROBUST, "--attack", "unet(eps=8/255, epochs=1)", "--corruption", "jpeg",
        "--data", folder(faces), "--eval-data", folder(faces), "--eval-data", folder(elsewhere, 96),
    ]  # fmt: skip
    assert run_cli([*arguments, "--cache", str(out / "cache"), "--out", str(out / "out")]) == 0
    return out


@pytest.fixture(scope="module")
def record(finished: Path) -> dict[str, Any]:
    return dict(json.loads((finished / "out/record.json").read_text()))


def test_every_scenario_is_evaluated_on_every_data_set_one_after_the_other(
    record: dict[str, Any], faces: Path, elsewhere: Path
) -> None:
    rows = [(c["data"], c["attack"].partition("(")[0], c["defense"].partition("(")[0]) for c in record["cells"]]
    arms = [("none", "none"), ("none", "pgd-at"), ("unet", "none"), ("unet", "pgd-at")]
    assert rows == [(name, *arm) for name in (folder(faces), folder(elsewhere, 96)) for arm in arms]
    assert [c["n"] for c in record["cells"]] == [24] * 4 + [18] * 4
    assert {c["status"] for c in record["cells"]} == {"ok"}


def test_one_attacker_per_detector_is_fitted_and_shared_by_all_data_sets(finished: Path) -> None:
    assert len(list((finished / "cache/attackers").iterdir())) == 2
    assert len(list((finished / "cache/checkpoints").iterdir())) == 2


def test_a_difference_is_to_the_baseline_on_the_same_data_set(record: dict[str, Any]) -> None:
    for base, ours in zip(record["cells"][::2], record["cells"][1::2], strict=True):
        found = ours["versus_baseline"]["difference"]["auc"]["value"]
        assert found == pytest.approx(ours["metrics"]["auc"] - base["metrics"]["auc"])
        assert base["versus_baseline"] is None


def test_the_stored_scores_tell_their_data_set(finished: Path, record: dict[str, Any]) -> None:
    from sklearn.metrics import roc_auc_score

    scores = pd.read_parquet(finished / "out/scores.parquet")
    for number, cell in enumerate(record["cells"]):
        rows = scores[scores["cell"] == number]
        assert set(rows["data"]) == {cell["data"]}
        assert cell["metrics"]["auc"] == pytest.approx(roc_auc_score(rows["label"], rows["score"]))


def test_the_record_describes_the_training_set_and_each_evaluated_set(
    record: dict[str, Any], faces: Path, elsewhere: Path
) -> None:
    assert record["data"][0]["name"] == folder(faces)
    assert list(record["data"][0]["splits"]) == ["train", "val", "test"]
    here, there = record["eval_data"]
    assert here == record["data"][0]
    assert there["name"] == folder(elsewhere, 96)
    assert there["splits"]["test"]["manipulations"] == {"morph": 3, "swap": 5}
    assert list(there["splits"]) == ["test"]
    assert there["fingerprint"] != here["fingerprint"]
    assert record["config"]["eval_data"][1]["params"]["size"] == 96


def test_each_data_set_has_its_table_and_its_manipulations(finished: Path, faces: Path, elsewhere: Path) -> None:
    table = (finished / "out/table.md").read_text()
    titles = [line for line in table.splitlines() if line.startswith("## ")]
    model = titles[0][3:].partition(" on ")[0]
    sets = [f"## {model} on {folder(faces)}", f"## {model} on {folder(elsewhere, 96)}"]
    assert titles == [*sets, "## Directions, frozen thresholds and calibration", "## By manipulation"]
    assert table.count("Trained on") == 2
    assert [line.split("|")[4].strip() for line in table.splitlines() if "| morph" in line] == ["morph"] * 4


def test_a_photograph_is_no_video(record: dict[str, Any]) -> None:
    assert {cell["video"] for cell in record["cells"]} == {None}


def test_data_moved_to_another_place_keep_their_results(
    dfbench: Cli, finished: Path, faces: Path, elsewhere: Path, tmp_path: Path
) -> None:
    shutil.copytree(faces, tmp_path / "faces")
    shutil.copytree(elsewhere, tmp_path / "elsewhere")
    cache = finished / "cache"
    before = {kind: set((cache / kind).iterdir()) for kind in ("checkpoints", "attackers", "cells", "data")}
    code, _, err = dfbench(
        "run", *MODEL, "--attack", "unet(eps=8/255, epochs=1)", "--corruption", "jpeg",
        "--data", folder(tmp_path / "faces"), "--eval-data", folder(tmp_path / "elsewhere", 96),
        "--cache", cache, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0
    assert "train" not in [line.split()[0] for line in err.splitlines() if line.strip()]
    assert {kind: set((cache / kind).iterdir()) for kind in before} == before


def test_a_dry_run_counts_every_data_set_with_its_own_size(
    dfbench: Cli, faces: Path, elsewhere: Path, tmp_path: Path
) -> None:
    code, out, _ = dfbench(
        "run", *MODEL, "--attack", "pgd(steps=3)", "--data", folder(faces), "--eval-data", folder(faces),
        "--eval-data", folder(elsewhere), "--cache", tmp_path, "--dry-run",
    )  # fmt: skip
    assert code == 0
    # Two data sets of 24 and 18 images, clean (1 pass) and under PGD (3 steps and 1 pass), and 2 epochs of 48 images.
    assert "5 jobs to do" in out
    assert str(2 * 48 + (24 + 18) * (1 + 4)) in out


def test_an_evaluated_set_whose_images_are_too_small_is_refused_before_training(
    dfbench: Cli, faces: Path, elsewhere: Path, tmp_path: Path
) -> None:
    code, _, err = dfbench(
        "run", "--model", "hybrid(weights=none)", "--data", folder(faces, 96), "--eval-data", folder(elsewhere, 64),
        "--cache", tmp_path, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 1
    assert "takes images from 96 x 96, but the data set's are 64 x 64" in err
    assert not (tmp_path / "checkpoints").exists()


def test_an_evaluated_set_without_the_evaluated_split_is_named(
    dfbench: Cli, faces: Path, elsewhere: Path, tmp_path: Path
) -> None:
    code, _, err = dfbench(
        "run", *MODEL, "--data", folder(faces), "--eval-data", folder(elsewhere), "--split", "val",
        "--cache", tmp_path, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 1
    assert f"{elsewhere} has no val split, only test" in err


# --- leaks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def leaky(faces: Path, tmp_path: Path) -> Path:
    """``faces`` with a training image in the test split too, saved as JPEG: other bytes, the same picture."""
    copy = shutil.copytree(faces, tmp_path / "leaky")
    twin = sorted((copy / "train/real").iterdir())[0]
    Image.open(twin).save(copy / "test/real/twin.jpg", quality=95)
    return copy


def test_training_on_a_leaky_split_is_refused_and_the_cure_named(dfbench: Cli, leaky: Path, tmp_path: Path) -> None:
    code, _, err = dfbench("run", *MODEL, "--data", folder(leaky), "--cache", tmp_path, "--out", tmp_path / "out")
    assert code == 3
    assert "test/real/twin.jpg = train/real/" in err
    assert "--allow-leak trains all the same and marks every table" in err
    assert not (tmp_path / "checkpoints").exists()


def test_a_leak_that_was_allowed_marks_record_and_tables(
    dfbench: Cli, leaky: Path, elsewhere: Path, tmp_path: Path
) -> None:
    request = tmp_path / "run.toml"
    request.write_text(f"data = '{folder(leaky)}'\neval_data = ['{folder(leaky)}', '{folder(elsewhere)}']\n")
    shared = (request, *MODEL, "--cache", tmp_path / "cache")
    assert dfbench("sweep", *shared, "--out", tmp_path / "refused")[0] == 3
    code, out, _ = dfbench("sweep", *shared, "--allow-leak", "--out", tmp_path / "out")
    assert code == 0
    request.write_text(request.read_text() + "allow_leak = true\n")
    assert dfbench("sweep", *shared, "--out", tmp_path / "by-file")[0] == 0
    record = json.loads((tmp_path / "out/record.json").read_text())
    (leak,) = (text for text in record["warnings"] if text.startswith("LEAK: "))
    assert "near-duplicates" in leak
    assert record["config"]["allow_leak"] is True
    table = (tmp_path / "out/table.md").read_text()
    assert table.count(f"read every row against that floor.\n\n{leak}\n") == 4
    assert out.count("LEAK: ") == 3  # beneath both tables, and among the warnings


def test_leaks_are_allowed_by_true_or_false(dfbench: Cli, tmp_path: Path) -> None:
    request = tmp_path / "run.toml"
    request.write_text('allow_leak = "yes"\n')
    code, _, err = dfbench("sweep", request, "--out", tmp_path / "out")
    assert code == 2
    assert "'allow_leak' must be true or false" in err


def test_a_training_image_in_an_evaluated_set_is_a_leak_of_the_pair(
    dfbench: Cli, faces: Path, elsewhere: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(elsewhere, tmp_path / "copy")
    twin = sorted((faces / "train/real").iterdir())[0]
    shutil.copy(twin, copy / "test/real/twin.png")
    shared = (*MODEL, "--data", folder(faces), "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    code, _, err = dfbench("run", *shared, "--eval-data", folder(copy))
    assert code == 3
    assert f"{folder(faces)} into {folder(copy)}" in err
    assert f"test/real/twin.png = train/real/{twin.name}" in err


def test_a_leak_within_a_set_that_is_only_evaluated_does_not_matter(
    dfbench: Cli, faces: Path, leaky: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for split, seed in (("train", 11), ("val", 13), ("test", 15)):
        save(other / split / "real", False, seed)
        save(other / split / "fake", True, seed + 1)
    code, _, _ = dfbench(
        "run", *MODEL, "--data", folder(other), "--eval-data", folder(leaky), "--cache", tmp_path / "cache",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0


def test_a_leak_into_a_split_that_is_not_evaluated_does_not_matter(
    dfbench: Cli, leaky: Path, elsewhere: Path, tmp_path: Path
) -> None:
    shared = ("--cache", tmp_path / "cache", "--out", tmp_path / "out")
    code, _, err = dfbench("run", *MODEL, "--data", folder(leaky), "--eval-data", folder(elsewhere), *shared)
    assert code == 0, err


# --- frames, videos and missing splits --------------------------------------------------------------------------------


class Clips(Dataset):
    """Three frames of each video; the fakes of every manipulation bear the names of the real videos."""

    video_level = True

    def __init__(self, splits: str = "train val test", one_class: str = "", seed: int = 0) -> None:
        self.splits, self.one_class, self.seed = splits.split(), one_class, seed

    @property
    def fingerprint(self) -> str:
        return digest([self.splits, self.one_class, self.seed])

    def split(self, name: str) -> Split:
        if name not in self.splits:
            raise DataError(f"the clips have no {name} split")
        return ClipSplit(name, name == self.one_class, self.seed)

    def preparation(self) -> dict[str, Any]:
        return {"recompress": "h264_clip_crf40", "frames": 3}


class ClipSplit(Split):
    def __init__(self, name: str, one_class: bool, seed: int) -> None:
        made = [("", v) for v in range(4)] + [(m, v) for m in ("swap", "morph") for v in range(4) if not one_class]
        self.samples = [
            Sample(f"{name}/{m}/{v}/{f}", int(m != ""), f"{name}-{v}", manipulation=m)
            for m, v in made
            for f in range(3)
        ]
        self.seed = [seed, len(name), ord(name[0])]

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray[Any, Any]:
        return draw(np.random.default_rng([*self.seed, index]), bool(self.samples[index].label))


RunClips = Callable[..., tuple[Outcome, dict[str, Any]]]


@pytest.fixture
def run_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunClips:
    """Runs on ``Clips`` through everything but the command line."""
    params = (Param("splits", str, "train val test"), Param("one_class", str, ""), Param("seed", int, 0))
    own = DatasetSpec("clips", f"{__name__}:Clips", "drawn clips", params, version="1")
    released = replace(own, name="released", corpus="somewhere:Reader")
    registered = [Registered(spec, Provider("test", "1", "t", "t")) for spec in (own, released)]
    registry = Registry(Plugins([*load().components, *registered], []))

    def run(data: str, *eval_data: str, split: str = "test") -> tuple[Outcome, dict[str, Any]]:
        config = build_config(
            registry, models=[TINY], defenses=[SHORT], scenarios=[], data=[data], eval_data=eval_data, split=split
        )
        store = Store(tmp_path / "cache")
        (outcome,) = Sweep(config, store, device=torch.device("cpu"), batch_size=16, progress=Silent()).run()
        return outcome, build_record(registry, config, [outcome], device="cpu", command="test")

    return run


def test_a_set_of_clips_is_measured_by_frame_and_by_video(run_clips: RunClips) -> None:
    outcome, record = run_clips("clips")
    (cell,) = record["cells"]
    assert (cell["n"], cell["video"]["n"]) == (36, 12)
    frame = outcome.cells[0].frame
    assert frame is not None
    means = frame.groupby(["manipulation", "video"])[["score", "label"]].mean()
    fake, real = means[means["label"] == 1]["score"], means[means["label"] == 0]["score"]
    wins = (fake.to_numpy()[:, None] > real.to_numpy()).mean()
    assert cell["video"]["metrics"]["auc"] == pytest.approx(wins)
    assert {name: part["n"] for name, part in cell["manipulations"].items()} == {"morph": 8, "swap": 8}
    assert record["data"][0]["splits"]["test"]["videos"] == 12


def test_the_tables_of_clips_tell_their_number_and_their_codec(run_clips: RunClips) -> None:
    table = markdown_of(load_registry(), run_clips("clips")[1])
    assert table.index(": frames\n\nclips (clips re-encoded: h264_clip_crf40), test split, n = 36.") > 0
    assert table.index(": 12 videos\n\nclips (clips re-encoded: h264_clip_crf40), test split, number of videos = 12")
    assert json.dumps(run_clips("clips")[1]["eval_data"][0]["preparation"]) == (
        '{"recompress": "h264_clip_crf40", "frames": 3}'
    )


def test_equal_names_are_equal_videos_in_two_sets_of_one_release_but_not_in_two_of_a_users_own(
    run_clips: RunClips,
) -> None:
    _, record = run_clips("clips", "clips(seed=7)", split="val")
    assert not [text for text in record["warnings"] if text.startswith("LEAK")]
    with pytest.raises(DataError, match=r"released into released\(seed=7\): 4 videos are in both val and .* val"):
        run_clips("released", "released(seed=7)", split="val")


def test_without_validation_samples_the_last_epoch_is_kept_and_said_so(run_clips: RunClips) -> None:
    _, record = run_clips('clips(splits="train test")')
    assert record["training"][0]["epoch_kept"] == 1
    assert record["training"][0]["validation"] == {}
    warning = "no validation samples: the last epoch is kept, none was chosen"
    assert any(text.endswith(warning) for text in record["warnings"])
    assert warning in markdown_of(load_registry(), record)


def test_a_training_set_needs_no_test_split_where_another_set_is_evaluated(run_clips: RunClips) -> None:
    _, record = run_clips('clips(splits="train val")', 'clips(splits="test", seed=7)')
    assert list(record["data"][0]["splits"]) == ["train", "val"]
    assert record["cells"][0]["status"] == "ok"


def test_a_validation_split_of_one_class_cannot_choose_an_epoch(run_clips: RunClips) -> None:
    with pytest.raises(DataError, match="split 'val' has no fake samples"):
        run_clips("clips(one_class=val)")


def test_only_the_splits_that_are_used_need_both_classes(run_clips: RunClips) -> None:
    _, record = run_clips("clips(one_class=test)", split="val")
    assert list(record["data"][0]["splits"]) == ["train", "val"]


def test_an_optional_split_may_be_absent_and_a_needed_one_may_not() -> None:
    clips = Clips("train")
    assert list(check_splits(clips, "clips", ["train"], ["val"])) == ["train"]
    with pytest.raises(DataError, match="no val split"):
        check_splits(clips, "clips", ["train", "val"])
