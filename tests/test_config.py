from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfbench.config import RunConfig, build_config, load_toml, parse_defense
from dfbench.contracts import DefenseSpec
from dfbench.errors import UsageError
from dfbench.plugins import Plugins, Provider, Registered
from dfbench.registry import Registry, load_registry


def config(**changes: Any) -> RunConfig:
    request: dict[str, Any] = {
        "models": ["hybrid"],
        "defenses": ["pgd-at"],
        "scenarios": [("pgd", "none")],
        "data": "mini",
        **changes,
    }
    return build_config(load_registry(), **request)


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
    made = config(scenarios=[("pgd(eps=8/255)", "none"), ("pgd", "none"), ("pgd( steps = 10 )", "none")])
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
        ({"scenarios": [("pgd(eps=300/255)", "none")]}, "'eps' must be a number from 0 to 1"),
        ({"scenarios": [("pgd(steps=2.5)", "none")]}, "'steps' must be a whole number"),
        ({"scenarios": [("none", "jpg")]}, "unknown corruption 'jpg': did you mean 'jpeg'"),
        ({"data": "mimi"}, "unknown dataset 'mimi': did you mean 'mini'"),
        ({"data": "folder"}, "needs the parameter 'path'"),
        ({"eval_data": ["mini", "mimi"]}, "unknown dataset 'mimi': did you mean 'mini'"),
        ({"split": "tset"}, "unknown split 'tset': did you mean 'test'"),
    ],
)
def test_what_is_unknown_or_ill_typed_is_a_usage_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        config(**changes)


def test_the_key_of_a_run_depends_on_what_is_run() -> None:
    assert config().key == config().key
    assert config().key != config(seed=1).key
    assert config().key != config(eval_data=["mini(size=96)"]).key
    assert config().key != config(scenarios=[("pgd(steps=9)", "none")]).key


def test_an_unknown_key_in_a_run_file_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('defence = ["dual"]\n')
    with pytest.raises(UsageError, match="unknown key 'defence'; did you mean 'defense'"):
        load_toml(path)
    path.write_text("defense = [")
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        load_toml(path)
    with pytest.raises(UsageError, match="no such file"):
        load_toml(tmp_path / "absent.toml")
