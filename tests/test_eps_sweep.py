"""Attacks over their bounds: shared work, interruptions, curves and their areas, and trainings on equal terms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY, Cli
from detectors import small_detector
from torch import Tensor

from dfbench import evaluate
from dfbench.contracts import Attack, Sample, Split
from dfbench.evaluate import Scene, score_cells
from dfbench.nauc import nauc, nauc_seed
from dfbench.progress import Bars
from dfbench.recordfile import load_record
from dfbench_attacks.gradient import FGSM, MIFGSM, PGD

EPS = (2 / 255, 4 / 255, 8 / 255)
ATTACKS: dict[str, Attack] = {
    **{f"fgsm {eps}": FGSM(eps) for eps in EPS},
    **{f"pgd {eps}": PGD(eps, alpha=1 / 255, steps=4, random_start=False) for eps in EPS},
    **{f"mifgsm {eps}": MIFGSM(eps, alpha=1 / 255, steps=4) for eps in EPS},
}
SCENES = [Scene(name, attack, "none", None) for name, attack in ATTACKS.items()]


class Noise(Split):
    """Thirty noise images of 32 x 32."""

    def __init__(self) -> None:
        self.samples = [Sample(f"n{i}", i % 2, f"n{i}") for i in range(30)]

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def scored(scenes: list[Scene], **options: Any) -> tuple[dict[Scene, evaluate.CellScores], dict[Scene, Exception]]:
    settings = {"batch_size": 8, "seed": 0, "device": torch.device("cpu"), "progress": Bars(), "title": "test"}
    return score_cells(small_detector(), scenes, Noise(), **{**settings, **options})


@pytest.fixture(scope="module")
def together() -> dict[Scene, evaluate.CellScores]:
    return scored(SCENES)[0]


def test_attacks_scored_together_give_what_they_give_alone(together: dict[Scene, evaluate.CellScores]) -> None:
    for scene in SCENES:
        alone = scored([scene])[0][scene]
        pd.testing.assert_frame_equal(together[scene].frame, alone.frame, check_exact=True)
        assert (together[scene].forwards, together[scene].backwards) == (alone.forwards, alone.backwards)


def test_the_clean_gradient_and_equal_prefixes_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    plain = torch.autograd.grad

    def counted(*args: Any, **keywords: Any) -> Any:
        taken.append(1)
        return plain(*args, **keywords)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    scored(SCENES, batch_size=30)
    # Alone: 3 + 12 + 12. Together the clean one once for all; and PGD's and MIFGSM's images, all one step of 1/255 from
    # the clean ones, once; from there on PGD's own until the bounds tell them apart, and MIFGSM's own.
    assert 5 < len(taken) <= 3 + 12 + 12 - 8 - 5 - 4


class Faulty(FGSM):
    """Fails at the third batch."""

    calls = 0

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: Any) -> Tensor:
        Faulty.calls += 1
        if Faulty.calls == 3:
            raise ValueError("broken on purpose")
        return super().__call__(view, x, y, rng)


def test_an_attack_that_fails_does_not_harm_those_it_is_scored_with(
    together: dict[Scene, evaluate.CellScores],
) -> None:
    Faulty.calls, broken = 0, Scene("faulty", Faulty(1 / 255), "none", None)
    scores, failures = scored([SCENES[0], broken, SCENES[4]])
    assert list(failures) == [broken]
    assert str(failures[broken]) == "broken on purpose"
    for scene in (SCENES[0], SCENES[4]):
        pd.testing.assert_frame_equal(scores[scene].frame, together[scene].frame, check_exact=True)


class Impatient(FGSM):
    """Interrupted by the user at the third batch."""

    calls = 0

    def __call__(self, view: Any, x: Tensor, y: Tensor, rng: Any) -> Tensor:
        Impatient.calls += 1
        if Impatient.calls == 3:
            raise KeyboardInterrupt
        return super().__call__(view, x, y, rng)


def interrupted() -> list[Scene]:
    Impatient.calls = 0
    return [Scene("fgsm", FGSM(EPS[0]), "none", None, "a" * 64), Scene("x", Impatient(EPS[1]), "none", None, "b" * 64)]


@pytest.mark.parametrize("order", [1, -1], ids=["as before", "the other way round"])
def test_an_interrupted_scoring_goes_on_where_it_stopped(
    together: dict[Scene, evaluate.CellScores], tmp_path: Path, order: int
) -> None:
    scenes = interrupted()
    with pytest.raises(KeyboardInterrupt):
        scored(scenes, kept=tmp_path)
    scores = scored(scenes[::order], kept=tmp_path)[0]
    assert Impatient.calls == 3 + 2  # batches 1 to 3, then 3 and 4: the first two are not made again
    for scene, whole in zip(scenes, SCENES[:2], strict=True):
        pd.testing.assert_frame_equal(scores[scene].frame, together[whole].frame)
        assert scores[scene].forwards == together[whole].forwards


def test_a_scene_that_joins_an_interrupted_scoring_is_scored_whole(
    together: dict[Scene, evaluate.CellScores], tmp_path: Path
) -> None:
    scenes, joining = interrupted(), Scene("pgd", SCENES[3].attack, "none", None, "c" * 64)
    with pytest.raises(KeyboardInterrupt):
        scored(scenes, kept=tmp_path)
    scores = scored([joining, *scenes], kept=tmp_path)[0]
    for scene, whole in zip([joining, *scenes], [SCENES[3], *SCENES[:2]], strict=True):
        pd.testing.assert_frame_equal(scores[scene].frame, together[whole].frame)


def test_a_failed_scene_does_not_cost_the_others_what_an_interruption_keeps(
    together: dict[Scene, evaluate.CellScores], tmp_path: Path
) -> None:
    class Broken(FGSM):
        def __call__(self, view: Any, x: Tensor, y: Tensor, rng: Any) -> Tensor:
            raise ValueError("broken on purpose")

    scenes = interrupted()
    with pytest.raises(KeyboardInterrupt):
        scored([Scene("broken", Broken(0.1), "none", None, "d" * 64), *scenes], kept=tmp_path)
    scored(scenes, kept=tmp_path)
    assert Impatient.calls == 3 + 2


def test_what_does_not_fit_an_interrupted_scoring_is_scored_again(
    together: dict[Scene, evaluate.CellScores], tmp_path: Path
) -> None:
    scenes = interrupted()
    with pytest.raises(KeyboardInterrupt):
        scored(scenes, kept=tmp_path)
    damaged, other = sorted(tmp_path.glob("*.parquet"))
    damaged.write_bytes(b"PAR1, cut off")
    rows = pd.read_parquet(other)
    rows.assign(id=rows["id"].to_numpy()[::-1]).to_parquet(other)
    scores = scored(scenes, kept=tmp_path)[0]
    for scene, whole in zip(scenes, SCENES[:2], strict=True):
        pd.testing.assert_frame_equal(scores[scene].frame, together[whole].frame)


def test_an_attack_that_cannot_be_hashed_is_scored_as_any() -> None:
    @dataclass
    class Plain(FGSM):
        eps: float = EPS[0]

    scene = Scene("plain", Plain(), "none", None)
    assert list(scored([scene])[0]) == [scene]


# --- through the command line --------------------------------------------------------------------------------------

FILE = """
model = '{model}'
defense = ['none', 'pgd-at(steps=1, epochs=1)']
data = 'folder(path="{faces}", size=64)'
cam = true

[recipe]
epochs = 8
batch_size = 16
lr = 0.01

[[scenario]]
name = "FGSM"
attack = "fgsm(eps=[2/255, 4/255, 8/255])"

[[scenario]]
name = "FGSM, JPEG"
attack = "fgsm(eps=[2/255, 8/255])"
corruption = "jpeg(quality=60)"

[[scenario]]
attack = "mifgsm(eps=8/255, steps=2)"

[[table]]
template = "scenarios"
scenarios = ["clean", "FGSM"]
"""


@pytest.fixture(scope="module")
def finished(faces: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dfbench.cli import run_cli

    root = tmp_path_factory.mktemp("eps")
    (root / "eps.toml").write_text(FILE.format(model=TINY, faces=faces))
    assert run_cli(["sweep", str(root / "eps.toml"), "--cache", str(shared_cache), "--out", str(root / "out")]) == 0
    return root / "out"


@pytest.fixture(scope="module")
def record(finished: Path) -> dict[str, Any]:
    return load_record(finished)


def test_a_curve_begins_at_the_measured_point_without_the_attack(record: dict[str, Any]) -> None:
    curves = [(c["name"], c["corruption"], c["defense"][:6], c["eps"], c["scenarios"][0]) for c in record["curves"]]
    grids = ([0, 2 / 255, 4 / 255, 8 / 255], [0, 2 / 255, 8 / 255])
    expected = [
        (name, corruption, defense, grid, first)
        for (name, corruption, first), grid in zip(
            (("FGSM", "none", "clean"), ("FGSM, JPEG", "jpeg(quality=60)", "jpeg(quality=60)")), grids, strict=True
        )
        for defense in ("none(e", "pgd-at")
    ]
    assert sorted(curves) == sorted(expected)


def test_an_attack_at_one_bound_alone_is_no_curve(record: dict[str, Any]) -> None:
    assert not [curve for curve in record["curves"] if "mifgsm" in curve["attack"]]


def test_the_areas_of_the_record_follow_from_the_stored_scores(finished: Path, record: dict[str, Any]) -> None:
    scores = pd.read_parquet(finished / "scores.parquet")
    for curve in record["curves"]:
        values = []
        for name in curve["scenarios"]:
            rows = scores[(scores["scenario"] == name) & (scores["defense"] == curve["defense"])]
            values.append(float(((rows["score"] >= 0.5) == rows["label"]).mean()))
        assert curve["metrics"]["accuracy"] == pytest.approx(values)
        assert curve["nauc"]["accuracy"]["value"] == pytest.approx(nauc(curve["eps"], values))
        assert curve["nauc_seed"]["accuracy"]["value"] == pytest.approx(nauc_seed(curve["eps"], values))
        low, high = curve["nauc"]["accuracy"]["interval"]
        assert low <= curve["nauc"]["accuracy"]["value"] <= high


def test_the_difference_of_two_areas_is_paired(record: dict[str, Any]) -> None:
    base, ours = (curve for curve in record["curves"] if curve["name"] == "FGSM")
    assert base["versus_baseline"] is None
    versus = ours["versus_baseline"]
    assert versus["defense"] == base["defense"]
    expected = ours["nauc"]["accuracy"]["value"] - base["nauc"]["accuracy"]["value"]
    assert versus["nauc"]["accuracy"]["value"] == pytest.approx(expected)


def test_the_record_states_in_what_two_arms_were_trained_unlike_each_other(record: dict[str, Any]) -> None:
    base, ours = record["training"]
    assert base["differences"] == []
    unlike = {one["what"]: (one["here"], one["baseline"]) for one in ours["differences"]}
    assert unlike["epochs"] == (1, 8)
    assert unlike["start"] == (base["defense"], "")
    assert not {"lr", "batch_size", "optimizer"} & unlike.keys()
    assert all(ours["recipe"][what] == here for what, (here, _) in unlike.items() if what != "start")


def test_reported_parameters_are_those_that_were_trained_with(record: dict[str, Any], finished: Path) -> None:
    from dfbench.checkpoint import load_metadata

    for entry in record["training"]:
        trained = load_metadata(finished / entry["checkpoint"])
        assert trained["defense"]["recipe"] == entry["recipe"]
        log = [json.loads(line) for line in (finished / entry["log"]).read_text().splitlines()]
        assert len(log) == entry["epochs_trained"] == entry["recipe"]["epochs"]
        assert 0.9 < log[0]["lr"] / entry["recipe"]["lr"] <= 1 or entry["recipe"]["epochs"] == 1
        assert entry["steps"] == entry["recipe"]["epochs"] * 48 // entry["recipe"]["batch_size"]


def test_attention_is_measured_of_every_cell_but_the_clean_one(record: dict[str, Any]) -> None:
    for cell in record["cells"]:
        assert ("cam_pearson" in cell["metrics"]) == (cell["scenario"] != "clean")


def test_counts_are_of_samples(record: dict[str, Any]) -> None:
    for cell in record["cells"]:
        assert cell["n"] == 24
        assert sum(cell["metrics"][name] for name in ("tp", "fp", "tn", "fn")) == 24


def test_a_sweep_of_eps_is_written_in_one_option(dfbench: Cli, faces: Path, tmp_path: Path) -> None:
    arguments = ["--model", TINY, "--defense", "none(epochs=1, batch_size=16)", "--out", tmp_path / "out"]
    arguments += ["--data", f'folder(path="{faces}", size=64)', "--cache", tmp_path / "cache"]
    code, _, err = dfbench("run", *arguments, "--attack", "fgsm(eps=[0.001, 0.01])", "--table", "nauc")
    assert code == 0, err
    (curve,) = json.loads((tmp_path / "out/record.json").read_text())["curves"]
    assert curve["eps"] == [0.0, 0.001, 0.01]
    assert curve["scenarios"] == ["clean", "fgsm(eps=0.001)", "fgsm(eps=0.01)"]


@pytest.fixture(autouse=True)
def _no_left_overs() -> Iterator[None]:
    yield
    Faulty.calls = Impatient.calls = 0


@pytest.mark.parametrize(
    "defense, message",
    [
        ("pim(site=nosuch, epochs=1)", "site='nosuch' gives no feature map"),
        ("pgd-at(freeze=nosuch, epochs=1)", "freeze='nosuch' begins no parameter's name"),
        ("trades(epochs=1)+consistency", "add a loss called 'clean'"),
        ("pim(epochs=1)+pim", "'pim' is in this defense twice"),
    ],
)
def test_what_no_training_can_do_is_told_before_any_training(
    dfbench: Cli, faces: Path, tmp_path: Path, defense: str, message: str
) -> None:
    arguments = ["--model", TINY, "--data", f'folder(path="{faces}", size=64)', "--cache", tmp_path / "cache"]
    code, _, err = dfbench("run", *arguments, "--defense", "none(epochs=1)", "--defense", defense)
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "cache/checkpoints").exists()


def test_a_row_of_its_own_is_no_point_of_a_named_sweep(dfbench: Cli, faces: Path, tmp_path: Path) -> None:
    (tmp_path / "eps.toml").write_text(
        f"model = '{TINY}'\ndefense = 'none(epochs=1, batch_size=16)'\n"
        f"data = 'folder(path=\"{faces}\", size=64)'\n"
        '[[scenario]]\nname = "FGSM"\nattack = "fgsm(eps=[0.001, 0.005])"\n'
        '[[scenario]]\nname = "strong"\nattack = "fgsm(eps=8/255)"\n'
    )
    code, _, err = dfbench("sweep", tmp_path / "eps.toml", "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    assert code == 0, err
    (curve,) = load_record(tmp_path / "out")["curves"]
    assert (curve["name"], curve["eps"]) == ("FGSM", [0.0, 0.001, 0.005])


def test_a_defense_that_breaks_costs_its_own_arm_alone(
    dfbench: Cli, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dfbench_defenses.pim import PIM

    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(PIM, "losses", broken)
    arguments = ["--model", TINY, "--data", f'folder(path="{faces}", size=64)', "--cache", tmp_path / "cache"]
    defenses = ["--defense", "none(epochs=1)", "--defense", "pim(epochs=1)"]
    code, _, _ = dfbench("run", *arguments, *defenses, "--out", tmp_path / "out")
    assert code == 5
    base, ours = load_record(tmp_path / "out")["cells"]
    assert base["status"] == "ok"
    assert (ours["status"], "broken on purpose" in ours["reason"]) == ("failed", True)
