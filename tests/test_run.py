"""Whole runs through the command line, with small real components."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import TINY, Cli

from dfbench.checkpoint import load_tensors

ARGUMENTS = [
    "--model", TINY, "--defense", "none(epochs=10, batch_size=16, lr=0.01)",
    "--defense", 'dual(epochs=1, batch_size=16, steps=1, start="none(epochs=10, batch_size=16, lr=0.01)")',
    "--attack", "none", "--attack", "pgd(eps=8/255, steps=3)", "--attack", "unet(eps=8/255, epochs=1)",
    "--corruption", "none", "--corruption", "jpeg(quality=50)",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(faces: Path) -> list[str]:
    return ["--data", f'folder(path="{faces}", size=64)']


@pytest.fixture(scope="module")
def finished(faces: Path, data: list[str], shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dfbench.cli import run_cli

    out = tmp_path_factory.mktemp("run") / "out"
    assert run_cli(["run", *ARGUMENTS, *data, "--cache", str(shared_cache), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def record(finished: Path) -> dict[str, Any]:
    return dict(json.loads((finished / "record.json").read_text()))


def cell(record: dict[str, Any], defense: str, attack: str, corruption: str = "none") -> dict[str, Any]:
    (found,) = (
        c
        for c in record["cells"]
        if c["defense"].startswith(defense)
        and c["attack"].startswith(attack)
        and c["corruption"].startswith(corruption)
    )
    return dict(found)


def test_the_record_has_a_cell_for_each_defense_attack_and_corruption(record: dict[str, Any]) -> None:
    keys = {
        (c["defense"].split("(")[0], c["attack"].split("(")[0], c["corruption"].split("(")[0]) for c in record["cells"]
    }
    assert len(record["cells"]) == len(keys) == 2 * 3 * 2
    for one in record["cells"]:
        assert one["status"] == "ok"
        assert one["n"] == 24
        assert {"model", "data", "split", "metrics", "intervals", "seconds"} <= one.keys()


def test_the_metrics_of_the_record_follow_from_the_stored_scores(finished: Path, record: dict[str, Any]) -> None:
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    scores = pd.read_parquet(finished / "scores.parquet")
    for number, one in enumerate(record["cells"]):
        frame = scores[scores["cell"] == number]
        said = frame["score"] >= 0.5
        assert one["metrics"]["accuracy"] == pytest.approx(accuracy_score(frame["label"], said))
        assert one["metrics"]["auc"] == pytest.approx(roc_auc_score(frame["label"], frame["score"]))
        assert one["metrics"]["f1_macro"] == pytest.approx(f1_score(frame["label"], said, average="macro"))
        low, high = one["intervals"]["auc"]
        assert low <= one["metrics"]["auc"] <= high


def test_the_attack_lowers_the_baseline_and_stays_within_its_bound(record: dict[str, Any]) -> None:
    clean, attacked = cell(record, "none", "none"), cell(record, "none", "pgd")
    assert clean["metrics"]["auc"] > 0.9
    assert attacked["metrics"]["auc"] < clean["metrics"]["auc"] - 0.2
    assert clean["perturbation"]["linf_max"] == 0
    assert attacked["perturbation"]["linf_max"] == pytest.approx(8 / 255, abs=1e-6)


def test_a_defended_cell_carries_its_paired_difference_to_the_baseline(record: dict[str, Any]) -> None:
    base, ours = cell(record, "none", "pgd"), cell(record, "dual", "pgd")
    found = ours["versus_baseline"]["difference"]["auc"]
    assert found["value"] == pytest.approx(ours["metrics"]["auc"] - base["metrics"]["auc"])
    assert found["interval"][0] <= found["value"] <= found["interval"][1]
    assert base["versus_baseline"] is None


def test_checkpoints_logs_and_attackers_lie_in_the_output_folder(finished: Path) -> None:
    names = {path.relative_to(finished).parts[0] + "/" + path.suffix for path in finished.glob("*/*")}
    logged = {f"{folder}/{suffix}" for folder in ("checkpoints", "attackers") for suffix in (".safetensors", ".jsonl")}
    assert names == logged | {f"tables/{suffix}" for suffix in (".md", ".csv", ".tex", ".html")}
    assert len(list((finished / "checkpoints").glob("*.safetensors"))) == 2
    # One came out of dual training; one was fitted to each of the two detectors.
    assert len(list((finished / "attackers").glob("trained-with*"))) == 1
    assert len(list((finished / "attackers").glob("fitted-to*.safetensors"))) == 2


def test_the_table_shows_every_row_and_the_floor(finished: Path, record: dict[str, Any]) -> None:
    table = (finished / "table.md").read_text()
    results, directions = table.split("Directions, frozen thresholds and calibration")
    for part in (results, directions):
        assert len([line for line in part.splitlines() if line.startswith("| ")]) == 1 + len(record["cells"])
    assert "accuracy 0.500" in table
    assert f"{cell(record, 'dual', 'pgd')['metrics']['auc']:.3f}" in table


def test_the_same_run_again_answers_from_the_cache(
    dfbench: Cli, finished: Path, data: list[str], shared_cache: Path, record: dict[str, Any], tmp_path: Path
) -> None:
    before = set(shared_cache.rglob("*"))
    code, _, err = dfbench("run", *ARGUMENTS, *data, "--cache", shared_cache, "--out", tmp_path / "again")
    assert code == 0
    assert "train" not in err
    assert set(shared_cache.rglob("*")) == before
    again = json.loads((tmp_path / "again" / "record.json").read_text())
    assert again["cells"] == record["cells"]


def test_the_batch_size_of_evaluation_does_not_change_the_scores(
    dfbench: Cli, finished: Path, data: list[str], tmp_path: Path
) -> None:
    code, _, _ = dfbench(
        "run", *ARGUMENTS[:4], "--attack", "pgd(eps=8/255, steps=3)", *data, "--cache", tmp_path / "cache",
        "--out", tmp_path / "out", "--batch-size", 7,
    )  # fmt: skip
    assert code == 0
    one = pd.read_parquet(finished / "scores.parquet")
    record = json.loads((finished / "record.json").read_text())
    number = record["cells"].index(cell(record, "none", "pgd"))
    ours = one[one["cell"] == number].set_index("id")["score"]
    theirs = pd.read_parquet(tmp_path / "out" / "scores.parquet").query("cell == 1").set_index("id")["score"]
    assert (ours - theirs[ours.index]).abs().max() < 1e-3


def test_a_transferred_attacker_is_labelled_so(
    dfbench: Cli, finished: Path, data: list[str], shared_cache: Path, tmp_path: Path
) -> None:
    (attacker,) = (finished / "attackers").glob("trained-with*")
    code, _, _ = dfbench(
        "run", *ARGUMENTS[:4], "--attack", f'unet(source="{attacker}", eps=8/255)', *data, "--cache", shared_cache,
        "--out", tmp_path,
    )  # fmt: skip
    assert code == 0
    assert json.loads((tmp_path / "record.json").read_text())["cells"][1]["note"] == "transfer"
    assert "transfer" in (tmp_path / "table.md").read_text()


def test_a_dry_run_tells_the_cost_and_does_nothing(dfbench: Cli, data: list[str], tmp_path: Path) -> None:
    code, out, _ = dfbench("run", *ARGUMENTS, *data, "--cache", tmp_path, "--out", tmp_path / "out", "--dry-run")
    assert code == 0
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "checkpoints").exists()
    # Baseline: 10 epochs x 48 images. PGD: 24 images x (3 steps + 1 to score).
    assert "480" in out
    assert f"{24 * 4}" in out


def test_in_domain_numbers_come_from_samples_that_were_not_trained_on(finished: Path, faces: Path) -> None:
    """A published "in-domain" table was of the training set: ids tell where each score comes from."""
    scores = pd.read_parquet(finished / "scores.parquet")
    assert len(set(scores["id"])) == 24
    assert all(name.startswith("test/") and (faces / name).is_file() for name in scores["id"])


def test_a_training_is_the_same_bit_for_bit_in_another_process(
    finished: Path, data: list[str], record: dict[str, Any], tmp_path: Path
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    options = [*ARGUMENTS[:4], *data, "--deterministic", "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", "from dfbench.cli import main; main()", "run", *options]
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=120)
    (checkpoint,) = (tmp_path / "out/checkpoints").glob("*.safetensors")
    ours = next(entry for entry in record["training"] if entry["defense"].startswith("none"))
    assert load_tensors(checkpoint).keys() == load_tensors(finished / ours["checkpoint"]).keys()
    for name, tensor in load_tensors(checkpoint).items():
        assert torch.equal(tensor, load_tensors(finished / ours["checkpoint"])[name]), name
