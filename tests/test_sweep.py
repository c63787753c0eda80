"""Sweeps through the command line: several trainings, named scenarios, tables, resuming, event files."""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, Cli

SHORT = "none(epochs=4, batch_size=16, lr=0.01)"
FILE = f"""
model = '{TINY}'
defense = ['{SHORT}', 'dual(epochs=1, batch_size=16, steps=1, start="{SHORT}")']
seeds = [0, 1]

[[scenario]]
name = "PGD"
attack = "pgd(eps=8/255, steps=3)"

[[scenario]]
name = "PGD, then JPEG"
attack = "pgd(eps=8/255, steps=3)"
corruption = "jpeg(quality=41)"

[[table]]
name = "system A"
template = "scenarios"
scenarios = ["clean", "PGD"]
"""


def folder(path: Path) -> str:
    return f'folder(path="{path}", size=64)'


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory: pytest.TempPathFactory, faces: Path) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "dual.toml"
    path.write_text(f"data = '{folder(faces)}'\n{FILE}")
    return path


@pytest.fixture(scope="module")
def finished(sweep_file: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dfbench.cli import run_cli

    out = tmp_path_factory.mktemp("swept") / "out"
    options = ["--cache", str(shared_cache), "--out", str(out), "--log", "tensorboard"]
    assert run_cli(["sweep", str(sweep_file), *options]) == 0
    return out


@pytest.fixture(scope="module")
def record(finished: Path) -> dict[str, Any]:
    return dict(json.loads((finished / "record.json").read_text()))


def cells(record: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    return [c for c in record["cells"] if all(c[key] == value for key, value in wanted.items())]


def test_every_seed_trains_every_arm_and_runs_every_scenario(record: dict[str, Any]) -> None:
    told = {(c["seed"], c["defense"].partition("(")[0], c["scenario"]) for c in record["cells"]}
    names = ("clean", "PGD", "PGD, then JPEG")
    assert told == {(seed, arm, name) for seed in (0, 1) for arm in ("none", "dual") for name in names}
    assert len(record["cells"]) == len(told)
    assert record["config"]["seeds"] == [0, 1]


def test_seeds_give_different_trainings(finished: Path, record: dict[str, Any]) -> None:
    files = [finished / entry["checkpoint"] for entry in record["training"]]
    assert len({file.read_bytes() for file in files}) == len(files) == 4


def test_the_score_rows_of_a_cell_are_those_of_its_number(finished: Path, record: dict[str, Any]) -> None:
    scores = pd.read_parquet(finished / "scores.parquet")
    for number, cell in enumerate(record["cells"]):
        rows = scores[scores["cell"] == number]
        assert set(rows["seed"]) == {cell["seed"]}
        assert set(rows["defense"]) == {cell["defense"]}
        assert set(rows["scenario"]) == {cell["scenario"]}
        said = (rows["score"] >= 0.5) == rows["label"]
        assert cell["metrics"]["accuracy"] == pytest.approx(said.mean())


def test_means_and_deviations_over_seeds_follow_from_the_cells(record: dict[str, Any]) -> None:
    assert len(record["over_seeds"]) == 6
    for entry in record["over_seeds"]:
        ours = cells(record, defense=entry["defense"], scenario=entry["scenario"])
        values = [cell["metrics"]["accuracy"] for cell in ours]
        assert entry["seeds"] == [0, 1]
        assert entry["metrics"]["accuracy"]["mean"] == pytest.approx(statistics.mean(values))
        assert entry["metrics"]["accuracy"]["sd"] == pytest.approx(statistics.stdev(values))


def test_the_mean_difference_over_seeds_is_of_arms_with_equal_seeds(record: dict[str, Any]) -> None:
    (entry,) = (e for e in record["over_seeds"] if e["defense"].startswith("dual") and e["scenario"] == "PGD")
    ours, base = (
        np.mean([c["metrics"]["auc"] for c in cells(record, defense=name, scenario="PGD")])
        for name in (entry["defense"], SHORT)
    )
    found = entry["versus_baseline"]["difference"]["auc"]
    assert entry["versus_baseline"]["defense"] == SHORT
    assert found["value"] == pytest.approx(ours - base)
    assert found["interval"][0] <= found["value"] <= found["interval"][1]


def test_attack_success_counts_samples_that_were_right_after_the_same_corruption(
    finished: Path, record: dict[str, Any]
) -> None:
    """There is no cell with JPEG alone here: what JPEG itself breaks must not be credited to the attack."""
    scores = pd.read_parquet(finished / "scores.parquet")
    for number, cell in enumerate(record["cells"]):
        if cell["scenario"] != "PGD":
            assert cell["attack_success"] is None
            continue
        (clean,) = (
            n for n, c in enumerate(record["cells"])
            if (c["scenario"], c["seed"], c["defense"]) == ("clean", cell["seed"], cell["defense"])
        )  # fmt: skip
        before, after = (scores[scores["cell"] == n].set_index("id") for n in (clean, number))
        right = (before["score"] >= 0.5) == before["label"]
        wrong = (after["score"] >= 0.5) != after["label"]
        assert cell["attack_success"]["n"] == int(right.sum())
        assert cell["attack_success"]["value"] == pytest.approx((right & wrong).sum() / right.sum())


def test_the_named_table_shows_its_scenarios_alone(finished: Path) -> None:
    table = (finished / "table.md").read_text()
    assert "PGD" in table
    assert "PGD, then JPEG" not in table
    assert (finished / "tables/system-A.csv").is_file()


def test_a_sweep_file_that_grew_by_a_scenario_computes_that_alone(
    dfbench: Cli, sweep_file: Path, finished: Path, shared_cache: Path, tmp_path: Path
) -> None:
    grown = tmp_path / "grown.toml"
    grown.write_text(sweep_file.read_text() + '[[scenario]]\nname = "JPEG"\ncorruption = "jpeg(quality=41)"\n')
    code, _, err = dfbench("sweep", grown, "--cache", shared_cache, "--out", tmp_path / "out")
    assert code == 0
    assert "train" not in err
    assert err.count("test ") == 4  # two arms, two seeds; no attack is made again
    again = json.loads((tmp_path / "out/record.json").read_text())
    # With a cell of JPEG alone, the success of the attack through JPEG is known.
    assert all(c["attack_success"] for c in cells(again, scenario="PGD, then JPEG"))


def test_an_option_replaces_what_the_file_says(
    dfbench: Cli, sweep_file: Path, finished: Path, shared_cache: Path, tmp_path: Path
) -> None:
    options = ("--seeds", "1", "--attack", "none", "--table", "results")
    code, _, _ = dfbench("sweep", sweep_file, *options, "--cache", shared_cache, "--out", tmp_path / "out")
    assert code == 0
    record = json.loads((tmp_path / "out/record.json").read_text())
    assert {(c["seed"], c["scenario"]) for c in record["cells"]} == {(1, "clean")}
    assert record["over_seeds"] == []


def test_other_scenarios_than_those_a_table_names_need_another_table(
    dfbench: Cli, sweep_file: Path, tmp_path: Path
) -> None:
    code, _, err = dfbench("sweep", sweep_file, "--attack", "pgd", "--out", tmp_path / "out")
    assert code == 2
    assert "--table results" in err


def test_several_training_sets_are_trained_on_apart_and_told_apart(dfbench: Cli, faces: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(faces, tmp_path / "copy")
    for file in sorted((copy / "train").rglob("*x.png"))[::3]:
        file.unlink()
    sets = [folder(path).replace('"', "") for path in (faces, copy)]
    arguments = [argument for name in sets for argument in ("--data", name)]
    options = ("--model", TINY, "--defense", "none(epochs=1, batch_size=16)", "--allow-leak")
    code, _, _ = dfbench("run", *options, *arguments, "--cache", tmp_path / "c", "--out", tmp_path / "out")
    assert code == 0
    record = json.loads((tmp_path / "out/record.json").read_text())
    assert [(c["train_data"], c["data"]) for c in record["cells"]] == [(name, name) for name in sets]
    assert [entry["data"] for entry in record["training"]] == sets
    assert len({entry["checkpoint"] for entry in record["training"]}) == 2


def test_event_files_hold_every_term_of_every_training(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted((finished / "tensorboard").iterdir())
    assert len(folders) == 4
    dual = next(path for path in folders if "dual" in path.name and path.name.endswith("seed-0"))
    events = EventAccumulator(str(dual))
    events.Reload()
    names = set(events.Tags()["scalars"])
    assert {"train/pgd", "train/unet", "train/attacker_success", "validation/auc", "train/lr"} <= names
    log = next((finished / "checkpoints").glob("*dual*seed-0.jsonl"))
    (row,) = (json.loads(line) for line in log.read_text().splitlines())
    shown = [event.value for event in events.Scalars("train/pgd")]
    assert shown == pytest.approx([point["pgd"] for point in row["points"]], rel=1e-5)


def test_a_cached_training_writes_its_events_as_well(
    dfbench: Cli, sweep_file: Path, finished: Path, shared_cache: Path, tmp_path: Path
) -> None:
    options = ("--cache", shared_cache, "--out", tmp_path / "out", "--log", "tensorboard")
    assert dfbench("sweep", sweep_file, *options)[0] == 0
    assert len(list((tmp_path / "out/tensorboard").glob("*/events.*"))) == 4


def test_a_dry_run_tells_seeds_apart_and_estimates_the_time(dfbench: Cli, sweep_file: Path, tmp_path: Path) -> None:
    code, out, _ = dfbench("sweep", sweep_file, "--dry-run", "--cache", tmp_path / "c", "--out", tmp_path / "out")
    assert code == 0
    assert "seed 0" in out
    assert "seed 1" in out
    assert "16 of 16 jobs to do" in out
    assert "for these passes on this cpu" in out
    assert not (tmp_path / "out").exists()


def test_a_table_that_cannot_be_made_is_refused_before_any_work(dfbench: Cli, sweep_file: Path, tmp_path: Path) -> None:
    options = ("--table", "scenarios(metrics=auk)", "--cache", tmp_path / "c", "--out", tmp_path / "out")
    code, _, err = dfbench("sweep", sweep_file, *options)
    assert code == 2
    assert "unknown metric 'auk': did you mean 'auc'" in err
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "out").exists()


def test_an_output_folder_keeps_no_file_of_an_earlier_record(
    dfbench: Cli, sweep_file: Path, finished: Path, shared_cache: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    (out / "mine.txt").write_text("not of the run")
    options = ("--seeds", "0", "--attack", "none", "--table", "results", "--cache", shared_cache, "--out", out)
    assert dfbench("sweep", sweep_file, *options)[0] == 0
    record = json.loads((out / "record.json").read_text())
    kept = {str(path.relative_to(out)) for path in (out / "checkpoints").iterdir()}
    assert kept == {entry[key] for entry in record["training"] for key in ("checkpoint", "log")}
    assert {path.stem for path in (out / "tables").iterdir()} == {"results"}
    assert (out / "mine.txt").exists()


def test_the_precision_that_auto_means_is_part_of_a_checkpoints_key(sweep_file: Path, tmp_path: Path) -> None:
    import torch

    from dfbench.config import build_config
    from dfbench.progress import Silent
    from dfbench.registry import load_registry
    from dfbench.store import Store
    from dfbench.sweep import Sweep
    from dfbench.sweepfile import load_sweep

    config = build_config(load_registry(), **load_sweep(sweep_file))
    cpu = torch.device("cpu")
    runner = Sweep(config, Store(tmp_path), device=cpu, batch_size=8, progress=Silent()).runners[0]
    runner.prepare()
    arm = runner.arm(config.runs[0].models[0], config.runs[0].defenses[0])
    assert runner.checkpoint_key(arm.model, arm.plan)["precision"] == "fp32"
