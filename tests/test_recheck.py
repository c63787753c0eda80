"""The audit of runs: sound records raise nothing, and no number of one can be altered without being found."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, Cli
from planted.fault import write_faces

from dfbench.cli import run_cli
from dfbench.progress import Silent
from dfbench.recheck.arithmetic import rank_auc
from dfbench.recheck.chosen import check_thresholds
from dfbench.recheck.finding import Finding, Report
from dfbench.recheck.follow import check_numbers
from dfbench.recheck.opened import Opened, open_run
from dfbench.recheck.rederive import rederive
from dfbench.recheck.run import audit_run
from dfbench.registry import load_registry

RESULTS = Path(__file__).parents[1] / "results"
LARGE = ("pim-ablation", "dual-ablation")
ACCEPTED = [
    pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name
    for name in sorted(path.parent.name for path in RESULTS.glob("*/record.json"))
]


def audited(path: Path) -> Report:
    return audit_run(path, load_registry(), Silent())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all that a record can hold: videos, people, two seeds, a sweep of eps, a worst-case attack."""
    root = tmp_path_factory.mktemp("videos")
    write_faces(root, (("train", 8), ("val", 8), ("test", 44)))
    files = sorted(root.glob("*/*/*.png"))
    rows = pd.DataFrame({"path": [str(file.relative_to(root)) for file in files]})
    rows[["split", "label"]] = rows["path"].str.split("/", expand=True)[[0, 1]]
    number = rows.groupby(["split", "label"]).cumcount()
    rows["video"] = rows["split"] + "-" + rows["label"] + "-" + (number // 2).astype(str)
    # Each fake shows the person of a real video.
    rows["target_identity"] = rows["split"] + (number // 2).astype(str)
    rows["manipulation"] = np.where(rows["label"] == "real", "", np.where(number % 4 < 2, "swap", "blend"))
    rows.to_csv(root / "list.csv", index=False)
    out = root / "out"
    arguments = [
        "run", "--model", TINY, "--defense", "none(epochs=2, batch_size=4, lr=0.01, precision=fp32)",
        "--defense", "pim(epochs=1, batch_size=4, lr=0.01)", "--seeds", "0,1",
        "--attack", "none", "--attack", "fgsm(eps=[0.002, 0.01])", "--attack", "strong(eps=0.01, steps=3, queries=5)",
        "--data", f'manifest(path="{root / "list.csv"}", size=64)', "--cache", root / "cache", "--out", out,
    ]  # fmt: skip
    assert run_cli([str(argument) for argument in arguments]) == 0
    return out


@pytest.fixture(scope="module")
def opened(run: Path) -> Opened:
    return open_run(run)


@pytest.fixture(scope="module")
def derived(opened: Opened) -> Any:
    return rederive(load_registry(), opened, check_thresholds(opened, Report("")), Silent())


# --- sound records --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_result_has_no_errors(name: str) -> None:
    report = audited(RESULTS / name)
    assert report.errors == []
    # Copies: FGSM on a detector that hides its gradient does nothing, and the verdict says so.
    assert {one.check for one in report.notes} <= {"unequal terms", "split", "verdict", "constant predictor", "copies"}
    assert report.checked["numbers"] > 600
    assert [sentence for sentence in report.unchecked if "do not lie beside" not in sentence] == []


def test_a_record_of_everything_has_no_errors_and_every_number_is_looked_at(run: Path) -> None:
    report = audited(run)
    assert report.errors == []
    record = json.loads((run / "record.json").read_text())
    assert record["intervals"]["method"].endswith("identity")
    assert record["over_seeds"]
    assert record["curves"]
    assert record["cells"][0]["video"]
    assert record["cells"][0]["manipulations"]
    assert any(cell["broken_by"] for cell in record["cells"])
    assert report.checked["numbers"] > 4000
    assert report.unchecked == []


def test_declared_differences_in_training_are_notes(run: Path) -> None:
    notes = [one for one in audited(run).notes if one.check == "unequal terms"]
    assert len(notes) == 2
    assert "epochs (1 against 2)" in notes[0].message


def test_files_that_do_not_lie_beside_a_record_are_counted_and_no_finding() -> None:
    assert audited(RESULTS / "mini-demo").unchecked == [
        "4 checkpoints, logs and attackers do not lie beside the record"
    ]


# --- altered ones ---------------------------------------------------------------------------------------------------

LISTS = ("cells", "curves", "over_seeds")
SKIPPED = ("seconds", "forwards", "backwards", "undefined", "verdict", "seed")


def numbers(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all numbers of a record that follow from its scores."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key not in SKIPPED:
                yield from numbers(value, (*path, key))
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from numbers(value, (*path, index))
    elif isinstance(part, (int, float)) and not isinstance(part, bool):
        yield path


def found(opened: Opened, derived: Any) -> list[Finding]:
    report = Report("")
    check_numbers(opened, derived, report)
    return report.findings


def altered(opened: Opened, path: tuple[Any, ...], change: Any) -> Opened:
    """The run with one value of its record changed."""
    name, number, *rest = path
    record = {**opened.record, name: list(opened.record[name])}
    record[name][number] = entry = copy.deepcopy(record[name][number])
    for key in rest[:-1]:
        entry = entry[key]
    entry[rest[-1]] = change(entry[rest[-1]])
    return Opened(opened.path, record, opened.version, opened.frames, opened.validation, opened.places)


def test_no_number_can_be_altered_without_being_found(opened: Opened, derived: Any) -> None:
    paths = [path for name in LISTS for path in numbers(opened.record[name], (name,))]
    assert len(paths) > 5000
    kinds: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for path in reversed(paths):  # one of each kind: what it is, wherever it is of
        kinds[(path[0], *(key for key in path[1:] if isinstance(key, str)))] = path
    assert len(kinds) > 300
    sample = list(kinds.values())[::5]
    unseen = [path for path in sample if not found(altered(opened, path, lambda value: value + 0.01), derived)]
    assert unseen == []


def test_a_number_that_was_removed_is_found(opened: Opened, derived: Any) -> None:
    (finding,) = found(altered(opened, ("cells", 0, "metrics", "auc"), lambda value: None), derived)
    assert (finding.check, finding.reported) == ("metrics", "none")


def test_a_difference_where_there_is_no_baseline_is_found(opened: Opened, derived: Any) -> None:
    defended = next(cell["versus_baseline"] for cell in opened.record["cells"] if cell["versus_baseline"])
    assert found(altered(opened, ("cells", 0, "versus_baseline"), lambda value: defended), derived)


def test_the_findings_of_one_part_of_a_cell_are_one(opened: Opened, derived: Any) -> None:
    changed = altered(opened, ("cells", 0, "metrics", "auc"), lambda value: value / 2)
    changed = altered(changed, ("cells", 0, "metrics", "accuracy"), lambda value: value / 2)
    (finding,) = found(changed, derived)
    assert "nor do auc" in finding.message or "nor do accuracy" in finding.message


@pytest.mark.parametrize("name", ["mini-demo", "dual"])
def test_an_older_record_is_held_against_its_scores_too(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(RESULTS / name, tmp_path / name)
    record = json.loads((folder / "record.json").read_text())
    record["cells"][-1]["metrics"]["auc"] += 0.1
    (folder / "record.json").write_text(json.dumps(record))
    assert [one.check for one in audited(folder).errors] == ["AUC", "metrics"]


def test_the_auc_by_ranks_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 200), rng.integers(0, 20, 200) / 20
    assert rank_auc(label, score) == pytest.approx(roc_auc_score(label, score))
    assert rank_auc(np.ones(3), score[:3]) is None


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_exit_code_of_a_sound_run_is_0_and_that_of_an_altered_one_3(
    dfbench: Cli, run: Path, tmp_path: Path
) -> None:
    code, out, _ = dfbench("audit", run)
    assert code == 0
    assert "numbers checked" in out
    folder = shutil.copytree(run, tmp_path / "run")
    record = json.loads((folder / "record.json").read_text())
    record["cells"][0]["metrics"]["accuracy"] = 0.999
    (folder / "record.json").write_text(json.dumps(record))
    code, out, _ = dfbench("audit", run, folder / "record.json")
    assert code == 3
    assert "accuracy is not what the counts give" in out


def test_several_records_are_told_one_by_one(dfbench: Cli, run: Path) -> None:
    code, out, _ = dfbench("audit", run, run / "record.json", "--format", "json")
    assert code == 0
    assert [report["name"] for report in json.loads(out)] == [str(run), str(run / "record.json")]


@pytest.mark.parametrize("remove, message", [("record.json", "no record at"), ("scores.parquet", "no scores at")])
def test_a_folder_without_record_or_scores_is_a_usage_error(
    dfbench: Cli, run: Path, tmp_path: Path, remove: str, message: str
) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / remove).unlink()
    code, _, err = dfbench("audit", folder)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_damaged_scores_are_a_usage_error(dfbench: Cli, run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "scores.parquet").write_bytes(b"PAR1")
    code, _, err = dfbench("audit", folder)
    assert code == 2
    assert "cannot be read as Parquet" in err
