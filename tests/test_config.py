from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfbench.config import RunConfig, SweepConfig, build_config, parse_defense
from dfbench.contracts import DefenseSpec
from dfbench.errors import UsageError
from dfbench.plugins import Plugins, Provider, Registered
from dfbench.registry import Registry, load_registry
from dfbench.sweepfile import load_sweep


def sweep(**changes: Any) -> SweepConfig:
    request: dict[str, Any] = {
        "models": ["hybrid"],
        "defenses": ["pgd-at"],
        "scenarios": [("pgd", "none", "")],
        "data": ["mini"],
        **changes,
    }
    return build_config(load_registry(), **request)


def config(**changes: Any) -> RunConfig:
    (run,) = sweep(**changes).runs
    return run


def test_the_baseline_and_the_clean_row_are_added_for_comparison() -> None:
    made = config()
    assert [plan.label for plan in made.defenses] == ["none", "pgd-at"]
    assert [(s.attack_label, s.corruption_label) for s in made.scenarios] == [
        ("none", "none"),
        ("pgd(eps=8/255)", "none"),
    ]


def test_a_baseline_with_its_own_recipe_is_not_joined_by_the_default_one() -> None:
    assert [plan.label for plan in config(defenses=["none(epochs=2)"]).defenses] == ["none(epochs=2)"]


def test_the_same_component_in_two_spellings_is_run_once() -> None:
    made = config(scenarios=[("pgd(eps=8/255)", "none", ""), ("pgd", "none", ""), ("pgd( steps = 10 )", "none", "")])
    assert [s.attack_label for s in made.scenarios] == ["none", "pgd(eps=8/255)"]


def test_the_training_data_are_evaluated_where_no_others_are_named() -> None:
    assert [component.label for component in config().eval_data] == ["mini"]


def test_evaluated_data_keep_their_order_and_are_evaluated_once() -> None:
    made = config(eval_data=["mini(size=96)", "mini", "mini(size=128)"])
    assert [component.label for component in made.eval_data] == ["mini(size=96)", "mini"]
    assert made.data.label == "mini"


def test_recipe_parameters_are_written_inside_the_defense() -> None:
    plan = parse_defense(load_registry(), "dual(epochs=3, lr=1e-4, eps=2/255)")
    assert (plan.recipe.epochs, plan.recipe.lr) == (3, 1e-4)
    assert plan.components[0].params["eps"] == 2 / 255
    assert "epochs" not in plan.components[0].params
    assert plan.label == "dual(eps=2/255, epochs=3, lr=0.0001)"


def test_a_defense_brings_its_own_default_recipe() -> None:
    plan = parse_defense(load_registry(), "dual")
    assert plan.recipe.schedule == "hold"
    assert plan.start is not None
    assert plan.start.label == "none"


def test_defenses_compose_with_the_recipe_of_the_first() -> None:
    plan = parse_defense(load_registry(), "pgd-at(epochs=2)+dual(tv=0.5)")
    assert [c.spec.name for c in plan.components] == ["pgd-at", "dual"]
    assert plan.recipe.epochs == 2
    with pytest.raises(UsageError, match="'epochs' belongs to the training recipe: write it in the first"):
        parse_defense(load_registry(), "pgd-at+dual(epochs=2)")


def test_a_defense_that_starts_from_itself_is_refused() -> None:
    loop = DefenseSpec("loop", "loop:Loop", "starts from itself", recipe={"start": "loop"})
    registry = Registry(Plugins([Registered(loop, Provider("loop", "1", "loop", "loop"))], []))
    with pytest.raises(UsageError, match="starts from itself"):
        parse_defense(registry, "loop")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"models": ["hybird"]}, "unknown model 'hybird': did you mean 'hybrid'"),
        ({"defenses": ["duel"]}, "unknown defense 'duel': did you mean 'dual'"),
        ({"defenses": ["dual(epoch=3)"]}, "no parameter 'epoch': did you mean 'epochs'"),
        ({"defenses": ["dual(epochs=0)"]}, "'epochs' must be a whole number from 1"),
        ({"defenses": ["dual(optimizer=adamm)"]}, "did you mean 'adam'"),
        ({"scenarios": [("pgd(eps=300/255)", "none", "")]}, "'eps' must be a number from 0 to 1"),
        ({"scenarios": [("pgd(steps=2.5)", "none", "")]}, "'steps' must be a whole number"),
        ({"scenarios": [("none", "jpg", "")]}, "unknown corruption 'jpg': did you mean 'jpeg'"),
        ({"data": ["mimi"]}, "unknown dataset 'mimi': did you mean 'mini'"),
        ({"data": ["folder"]}, "needs the parameter 'path'"),
        ({"eval_data": ["mini", "mimi"]}, "unknown dataset 'mimi': did you mean 'mini'"),
        ({"split": "tset"}, "unknown split 'tset': did you mean 'test'"),
    ],
)
def test_what_is_unknown_or_ill_typed_is_a_usage_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        config(**changes)


def test_the_key_of_a_sweep_depends_on_what_is_run() -> None:
    assert sweep().key == sweep().key
    assert sweep().key != sweep(seeds=[1]).key
    assert sweep().key != sweep(eval_data=["mini(size=96)"]).key
    assert sweep().key != sweep(scenarios=[("pgd(steps=9)", "none", "")]).key


def test_every_training_set_is_run_with_every_seed_and_evaluated_on_itself() -> None:
    made = sweep(data=["mini(size=96)", "mini"], seeds=[0, 2, 0])
    told = [(run.data.label, run.seed, [c.label for c in run.eval_data]) for run in made.runs]
    small, plain = "mini(size=96)", "mini"
    assert told == [(small, 0, [small]), (small, 2, [small]), (plain, 0, [plain]), (plain, 2, [plain])]


def test_a_scenario_is_called_what_the_user_calls_it_or_else_what_it_does() -> None:
    asked = [("pgd", "jpeg", "upload"), ("pgd", "none", ""), ("none", "jpeg", "")]
    names = [scenario.name for scenario in config(scenarios=asked).scenarios]
    assert names == ["clean", "upload", "pgd(eps=8/255)", "jpeg(quality=50)"]


def test_the_clean_row_can_be_given_a_name() -> None:
    assert config(scenarios=[("none", "none", "untouched")]).scenarios[0].name == "untouched"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"scenarios": [("pgd", "none", "a"), ("fgsm", "none", "a")]}, "two different scenarios are called 'a'"),
        ({"scenarios": [("pgd", "none", "a"), ("pgd", "none", "b")]}, "'a' and 'b' are the same"),
        ({"tables": [("t", "results", ["cleen"])]}, "scenario 'cleen': did you mean 'clean'"),
        ({"tables": [("t", "results", []), ("t", "survival", [])]}, "'t' and 't' would have the same files"),
        ({"tables": [("a b", "results", []), ("a-b", "survival", [])]}, "'a b' and 'a-b' would have the same files"),
        ({"tables": [("t", "result", [])]}, "unknown table 'result': did you mean 'results'"),
    ],
)
def test_names_in_a_sweep_are_unique_and_known(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep(**changes)


def test_a_sweep_file_lists_rows_and_tables(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        'model = "hybrid"\nseeds = [0, 1]\n[[scenario]]\nname = "upload"\nattack = "pgd"\ncorruption = "jpeg"\n'
        '[[table]]\ntemplate = "scenarios"\nscenarios = ["upload"]\n'
    )
    assert load_sweep(path) == {
        "models": ["hybrid"],
        "seeds": [0, 1],
        "scenarios": [("pgd", "jpeg", "upload")],
        "tables": [("scenarios", "scenarios", ["upload"])],
    }


def test_attacks_and_corruptions_of_a_sweep_file_form_a_matrix(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text('attack = ["none", "pgd"]\ncorruption = ["none", "jpeg"]\n')
    pairs = [("none", "none", ""), ("none", "jpeg", ""), ("pgd", "none", ""), ("pgd", "jpeg", "")]
    assert load_sweep(path)["scenarios"] == pairs


@pytest.mark.parametrize(
    "text, message",
    [
        ('defence = ["dual"]', "unknown key 'defence'; did you mean 'defense'"),
        ("defense = [", "cannot be read as TOML"),
        ("model = 3", "'model' must be a text or a list of texts"),
        ("seeds = 3", "'seeds' must be a list of whole numbers"),
        ("seeds = [true]", "'seeds' must be a list of whole numbers"),
        ("allow_leak = 1", "'allow_leak' must be true or false"),
        ('attack = "pgd"\n[[scenario]]\nattack = "pgd"', "form a matrix"),
        ('[[scenario]]\natack = "pgd"', r"unknown key 'atack' in \[\[scenario\]\]; did you mean 'attack'"),
        ("[[scenario]]\nattack = 3", "'attack' in .* must be a text, not 3"),
        ('[scenario]\nattack = "pgd"', "write every scenario as"),
        ('[[table]]\nname = "t"', "has no template"),
    ],
)
def test_a_faulty_sweep_file_is_a_usage_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_sweep(path)


def test_a_missing_sweep_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_sweep(tmp_path / "absent.toml")


def test_a_list_of_values_is_a_row_for_each_and_the_row_without_the_attack() -> None:
    made = config(scenarios=[("fgsm(eps=[0.001, 0.005])", "jpeg", "")])
    names = ["clean", "jpeg(quality=50)", "fgsm(eps=0.001) + jpeg(quality=50)", "fgsm(eps=0.005) + jpeg(quality=50)"]
    assert [scenario.name for scenario in made.scenarios] == names


def test_rows_of_a_named_sweep_are_called_after_it_and_what_varies() -> None:
    made = config(scenarios=[("pgd(eps=[0.001, 0.005], steps=5)", "none", "PGD")])
    assert [s.name for s in made.scenarios] == ["clean", "PGD eps=0.001", "PGD eps=0.005"]
    assert {s.attack.params["steps"] for s in made.scenarios if s.attack} == {5}


def test_a_table_names_a_whole_sweep_of_values() -> None:
    asked = [("fgsm(eps=[0.001, 0.005])", "none", "FGSM"), ("pgd", "none", "PGD")]
    (table,) = sweep(scenarios=asked, tables=[("t", "scenarios", ["clean", "FGSM"])]).tables
    assert table.scenarios == ("clean", "FGSM eps=0.001", "FGSM eps=0.005")


def test_lists_of_values_combine_and_equal_ones_count_once() -> None:
    made = config(scenarios=[("pgd(eps=[0.001, 0.001], steps=[1, 2])", "jpeg(quality=[30, 90])", "")])
    attacked = [s for s in made.scenarios if s.attack]
    assert len(attacked) == 4
    assert [s.attack.params["steps"] for s in attacked if s.attack] == [1, 2, 1, 2]
    assert [s.corruption.params["quality"] for s in attacked if s.corruption] == [30, 30, 90, 90]


@pytest.mark.parametrize(
    "attack, message",
    [
        ("fgsm(eps=[])", "the list of the parameter 'eps' is empty"),
        ("fgsm(eps=[0.1, 2])", "must be a number from 0 to 1, not 2"),
        ("fgsm(eps=[[0.1]])", "must be a number from 0 to 1, not \\[0.1\\]"),
    ],
)
def test_a_faulty_list_of_values_is_a_usage_error(attack: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(scenarios=[(attack, "none", "")])


def test_the_common_recipe_is_that_of_every_defense_that_does_not_set_its_own() -> None:
    made = config(defenses=["none", "pgd-at(lr=0.002)"], recipe={"lr": 1e-3, "epochs": 7})
    assert [(plan.recipe.lr, plan.recipe.epochs) for plan in made.defenses] == [(1e-3, 7), (2e-3, 7)]
    start = made.defenses[1].start
    assert start is not None
    assert start.label == made.defenses[0].label == "none(epochs=7, lr=0.001)"


def test_an_unknown_parameter_of_the_common_recipe_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="the recipe has no parameter 'epoch': did you mean 'epochs'"):
        config(recipe={"epoch": 3})


def test_a_defense_with_a_list_of_values_is_an_arm_for_each() -> None:
    labels = [plan.label for plan in config(defenses=["none", "pim(alpha=[0.25, 1], r=[0.1, 0.2])"]).defenses]
    assert labels == ["none"] + [f"pim(alpha={alpha}, r={r})" for alpha in (0.25, 1.0) for r in (0.1, 0.2)]


def test_a_sweep_that_holds_eps_0_has_the_row_without_the_attack_for_it() -> None:
    made = config(scenarios=[("fgsm(eps=[0, 0.001])", "none", "")])
    assert [scenario.name for scenario in made.scenarios] == ["clean", "fgsm(eps=0.001)"]


def test_a_single_value_in_a_list_is_measured_at_0_too() -> None:
    names = [s.name for s in config(scenarios=[("fgsm(eps=[0.001])", "jpeg", "")]).scenarios]
    assert names == ["clean", "jpeg(quality=50)", "fgsm(eps=0.001) + jpeg(quality=50)"]
