"""Verdicts of attacked cells: where they stand, what they cost, and what one cell says of another."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import TINY
from detectors import noise_images, own_labels, small_detector
from torch import Tensor, nn

from dfbench.cli import run_cli
from dfbench.contracts import Attack, Batch, Defense
from dfbench.deployment import Guarded, deploy
from dfbench.errors import ContractError
from dfbench.evaluate import Scene, _Scorer
from dfbench.rng import SampleRng
from dfbench.trust.beside import beaten
from dfbench.trust.cell import _told, iterated
from dfbench.trust.detector import BASIC_COST, FLOOR_COST, check_detector
from dfbench.trust.result import FOUND, NOT_RUN, judged, not_run, verdict
from dfbench.trust.result import beside as aside
from dfbench.trust.run import CELL_SHARE, DETECTOR_SHARE, FEWEST, _survived, detector_sizes
from dfbench.trust.subject import Subject, drawn
from dfbench.view import ModelView
from dfbench_attacks.gradient import FGSM, PGD
from dfbench_attacks.strong import Strong

RECIPE = "epochs=7, batch_size=16, lr=0.01, precision=fp32"
ASK = [
    "run", "--model", TINY, "--defense", f"none({RECIPE})", "--defense", f"squeeze({RECIPE}, straight_through=false)",
    "--attack", "none", "--attack", "pgd(eps=2/255)", "--attack", "strong(eps=2/255, steps=5, queries=20)",
    "--attack", "pgd(eps=0)",
]  # fmt: skip


@pytest.fixture(scope="module")
def ran(faces: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Runs the same with other options."""

    def run(*more: str) -> Path:
        out = tmp_path_factory.mktemp("trust") / "out"
        data = f'folder(path="{faces}", size=64)'
        assert run_cli([*ASK, "--data", data, "--cache", str(shared_cache), "--out", str(out), *more]) == 0
        return out

    return run


@pytest.fixture(scope="module")
def out(ran: Callable[..., Path]) -> Path:
    return ran()


@pytest.fixture(scope="module")
def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "record.json").read_text())
    return found


def cell(record: dict[str, Any], attack: str, defense: str = "none") -> dict[str, Any]:
    (found,) = [c for c in record["cells"] if c["attack"].startswith(attack) and c["defense"].startswith(defense)]
    return dict(found)


def test_only_attacked_cells_have_a_verdict(record: dict[str, Any]) -> None:
    with_one = {c["attack"] for c in record["cells"] if c["verdict"]}
    assert {name.partition("(")[0] for name in with_one} == {"pgd", "strong"}
    assert cell(record, "none")["verdict"] is None
    assert cell(record, "pgd(eps=0")["verdict"] is None


def test_a_detector_that_hides_its_gradient_is_suspect_under_every_attack(record: dict[str, Any]) -> None:
    for attack in ("pgd(eps=2/255", "strong"):
        found = cell(record, attack, "squeeze")["verdict"]
        assert found["verdict"] == "suspect"
        assert any("zero for 100% of samples" in reason for reason in found["reasons"])


def test_a_plain_detector_is_not_suspected(record: dict[str, Any]) -> None:
    for attack in ("pgd(eps=2/255", "strong"):
        assert cell(record, attack)["verdict"]["verdict"] != "suspect"


def test_a_table_shows_the_verdict_and_its_reasons(out: Path) -> None:
    table = (out / "table.md").read_text()
    assert "SUSPECT" in table
    assert "zero for 100% of samples" in table


def test_every_check_tells_what_it_cost(record: dict[str, Any]) -> None:
    found = cell(record, "pgd(eps=2/255")
    spent = sum(check["passes"] for check in found["verdict"]["checks"])
    took = found["forwards"] + 2 * found["backwards"]
    assert 0 < spent <= (DETECTOR_SHARE * 2 + CELL_SHARE) * took + FEWEST * BASIC_COST


def test_none_checks_nothing(ran: Callable[..., Path]) -> None:
    record = json.loads((ran("--checks", "none") / "record.json").read_text())
    assert all(c["verdict"] is None for c in record["cells"])
    assert record["config"]["checks"] == "none"


def test_full_also_asks_square(ran: Callable[..., Path]) -> None:
    record = json.loads((ran("--checks", "full") / "record.json").read_text())
    checks = {check["check"]: check for check in cell(record, "pgd(eps=2/255")["verdict"]["checks"]}
    assert "black box" in checks
    assert checks["floor"]["status"] != NOT_RUN


def test_checks_are_taken_from_the_cache(
    ran: Callable[..., Path], record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("checked again")

    monkeypatch.setattr("dfbench.trust.run.check_detector", never)
    again = json.loads((ran() / "record.json").read_text())
    assert [c["verdict"] for c in again["cells"]] == [c["verdict"] for c in record["cells"]]


def test_a_worst_case_has_metrics_of_its_own_and_no_others(record: dict[str, Any]) -> None:
    worst = cell(record, "strong")
    assert "worst_case_accuracy" in worst["metrics"]
    assert not {"accuracy", "auc", "f1_macro"} & worst["metrics"].keys()
    assert "worst_case_accuracy" not in cell(record, "pgd(eps=2/255")["metrics"]


def test_it_is_counted_which_part_of_an_ensemble_broke_how_many(record: dict[str, Any]) -> None:
    worst = cell(record, "strong")
    assert sum(worst["broken_by"].values()) == worst["n"]
    assert worst["broken_by"].get("", 0) == round(worst["metrics"]["worst_case_accuracy"] * worst["n"])


def test_clean_validation_scores_are_kept_beside_the_record(out: Path, record: dict[str, Any]) -> None:
    rows = pd.read_parquet(out / "validation.parquet")
    assert set(rows["defense"]) == {entry["defense"] for entry in record["training"]}
    assert len(rows) == 16 * len(record["training"])
    assert all(entry["thresholds"]["samples"].keys() == {"eer", "fpr_1pct"} for entry in record["training"])


# --- cells beside each other --------------------------------------------------------------------------------------


def scored(attack: str, right: list[int], checks: list[Any] | None = None) -> Any:
    frame = pd.DataFrame({"label": 1, "score": [0.9 if one else 0.1 for one in right]})
    return SimpleNamespace(arm="arm", data="data", frame=frame, checks=checks, cost={"backwards": len(right)},
                           scenario=SimpleNamespace(attack_label=attack, corruption_label="none"))  # fmt: skip


PAIR = [scored("pgd", [1] * 10 + [0] * 10), scored("fgsm", [1] * 8 + [0] * 12)]
WITHIN = [PGD(eps=0.1), FGSM(eps=0.1)]


def test_an_iterated_attack_is_suspect_beside_a_stronger_one_within_its_eps() -> None:
    found = beaten(PAIR, WITHIN)
    assert found[0].status == FOUND
    assert found[0].value == pytest.approx(0.1)
    assert "fgsm" in found[0].message


def test_a_single_step_is_not_held_to_what_others_break() -> None:
    assert list(beaten(PAIR, WITHIN)) == [0]


def test_answers_of_a_random_detector_are_not_held_against_each_other() -> None:
    pair = [scored("pgd", [1] * 10 + [0] * 10, [judged("random", False, "", 0.2, 0.001, 4)]), PAIR[1]]
    assert beaten(pair, WITHIN) == {}


def test_an_attack_that_is_seen_to_iterate_is_held_to_it() -> None:
    assert iterated(FGSM(), 20, 10)
    assert not iterated(FGSM(), 10, 10)


def test_a_stronger_attack_with_a_larger_eps_says_nothing() -> None:
    assert beaten(PAIR, [PGD(eps=0.1), FGSM(eps=0.2)])[0].status != FOUND


# --- the parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passes", [1e3, 1e4, 1e6])
def test_the_checks_of_a_detector_stay_within_their_share(passes: float) -> None:
    sizes = detector_sizes("fast", passes, 10_000)
    cost = sizes.basic * BASIC_COST + sizes.floor * FLOOR_COST
    assert cost <= max(DETECTOR_SHARE * passes, FEWEST * BASIC_COST)


def test_a_check_that_found_something_makes_a_cell_suspect() -> None:
    results = [judged("one", True, "because", 1, 0, 3), not_run("two", "too dear")]
    found = verdict("fast", results)
    assert (found["verdict"], found["reasons"]) == ("suspect", ["because"])
    assert [check["status"] for check in found["checks"]] == ["found", "not run"]


def test_which_samples_are_checked_depends_on_their_ids_alone() -> None:
    ids = [f"s{i}" for i in range(20)]
    order = drawn(ids, 0)
    assert [ids[::-1][i] for i in drawn(ids[::-1], 0)] == [ids[i] for i in order]
    assert order != sorted(order)


def test_what_was_not_affordable_leaves_a_cell_unchecked() -> None:
    assert verdict("fast", [not_run("floor", "too dear")])["verdict"] == "unchecked"
    assert verdict("fast", [aside("floor", "not here")])["verdict"] == "reliable"


def test_the_checks_of_a_detector_cost_what_they_state() -> None:
    detector = small_detector()
    x = noise_images(8)
    batch = Batch(x, own_labels(detector, x), tuple(map(str, range(8))))
    subject = Subject(detector, ModelView(detector), True, False, 0)
    found = check_detector(subject, batch, batch)
    assert sum(result.passes for result in found) == 8 * (BASIC_COST + FLOOR_COST)


class Telling(Attack):
    """Tells too little, or what it may not."""

    eps = 0.1
    told: Mapping[str, list[Any]] = {"step": [1]}

    def __call__(self, view: ModelView, x: Tensor, y: Tensor, rng: Any) -> Tensor:
        self.facts = self.told
        return x


def test_facts_that_do_not_fit_the_batch_are_an_error_that_names_them() -> None:
    scene = Scene("telling", Telling(), "none", None)
    scorer = _Scorer(small_detector(), [scene], 0, None)
    scorer.score(Batch(noise_images(3), torch.tensor([0, 1, 0]), ("a", "b", "c")), [scene])
    assert "1 values of 'step' for 3 images" in str(scorer.failures[scene])


def test_a_fact_may_not_be_called_as_a_column_of_the_harness() -> None:
    attack = Telling()
    scene = Scene("telling", attack, "none", None)
    attack.told = {"score": [1.0, 1.0, 1.0]}
    scorer = _Scorer(small_detector(), [scene], 0, None)
    scorer.score(Batch(noise_images(3), torch.tensor([0, 1, 0]), ("a", "b", "c")), [scene])
    assert "'score', as the harness does" in str(scorer.failures[scene])


def test_the_scores_of_a_random_detector_depend_on_neither_batch_nor_order() -> None:
    noisy = Guarded(small_detector(), lambda x: (x + 0.3 * torch.randn_like(x)).clamp(0, 1)).eval()
    scene, x, y = Scene("none", None, "none", None), noise_images(4), torch.tensor([0, 1, 0, 1])
    found = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        scorer = _Scorer(noisy, [scene], 0, None, stochastic=True)
        for part in (order[:1], order[1:]):
            scorer.score(Batch(x[part], y[part], tuple(f"s{i}" for i in part)), [scene])
        found.append(pd.concat(scorer.rows[scene]).set_index("id")["score"].sort_index())
    pd.testing.assert_series_equal(*found)


def test_checks_that_fail_are_a_finding() -> None:
    def fail() -> list[Any]:
        raise MemoryError("too much")

    (found,) = _survived(fail)
    assert (found.status, found.message) == (FOUND, "the checks failed: MemoryError: too much")


@pytest.mark.parametrize("told, status", [(["", "", "apgd"], FOUND), (["apgd", "", ""], "passed")])
def test_an_attack_that_tells_another_outcome_than_its_scores_is_found(told: list[str], status: str) -> None:
    frame = pd.DataFrame({"label": [1, 1, 0], "worst_score": [0.1, 0.9, 0.1], "broken_by": told})
    (found,) = _told(SimpleNamespace(frame=frame))  # type: ignore[arg-type]
    assert found.status == status


def test_on_a_random_detector_no_sample_is_left_alone() -> None:
    detector, x = small_detector(), noise_images(4)
    attack = Strong(eps=0.2, steps=2, queries=3, eot=2)
    attack(ModelView(detector), x, own_labels(detector, x), SampleRng(0, "abcd"))
    assert set(attack.facts["backwards"]) == {attack.passes()[1]}
    assert all(attack.facts["broken_by"])


# --- what is deployed ---------------------------------------------------------------------------------------------


class Inverted(Defense):
    def deployed(self, model: nn.Module) -> nn.Module:
        return Guarded(model, lambda x: 1 - x)


def test_a_defense_may_act_at_inference() -> None:
    x = noise_images(4)
    model = small_detector()
    assert torch.equal(deploy(small_detector(), [Inverted()]).model(x), model(1 - x))


def test_going_straight_through_changes_the_gradient_and_not_the_answer() -> None:
    x = noise_images(4).requires_grad_(True)
    walls = [Guarded(small_detector(), lambda x: (x * 15).round() / 15, straight_through=s) for s in (False, True)]
    logits = [wall(x) for wall in walls]
    assert torch.allclose(*logits, atol=1e-5)
    grads = [torch.autograd.grad(one.sum(), x)[0].abs().sum() for one in logits]
    assert float(grads[0]) == 0 < float(grads[1])


def test_what_is_deployed_must_be_a_detector() -> None:
    class Bad(Defense):
        def deployed(self, model: nn.Module) -> nn.Module:
            return nn.Sequential(model)

    with pytest.raises(ContractError, match="lacks weights, cam_layer, min_size"):
        deploy(small_detector(), [Bad()])
