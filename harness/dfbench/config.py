"""One frozen RunConfig: everything a run does, resolved and validated before any compute."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dfbench.contracts import SPLITS, DefenseSpec
from dfbench.errors import UsageError, did_you_mean
from dfbench.grammar import format_expr, parse_sum
from dfbench.keys import digest
from dfbench.recipe import RECIPE_NAMES, Recipe, recipe_params
from dfbench.registry import Component, Registry
from dfbench.schema import bind, default_of

NONE = "none"
BASELINE = "none"


@dataclass(frozen=True)
class DefensePlan:
    """A defense as it will be trained: its objectives, its recipe, and what it starts from."""

    label: str
    components: tuple[Component, ...]
    recipe: Recipe
    start: DefensePlan | None = None

    @property
    def is_baseline(self) -> bool:
        """Plain training: what the other arms are compared with."""
        return [component.spec.name for component in self.components] == [BASELINE]

    def identity(self) -> dict[str, Any]:
        """What decides the trained weights, for cache keys. The start enters through its checkpoint's own key."""
        return {
            "objectives": [component.identity() for component in self.components],
            "recipe": {k: v for k, v in asdict(self.recipe).items() if k != "start"},
        }


@dataclass(frozen=True)
class Scenario:
    """One row of the table: an attack, then a corruption; None where there is none."""

    attack: Component | None
    corruption: Component | None

    @property
    def attack_label(self) -> str:
        """The attack as written in tables."""
        return _told(self.attack)

    @property
    def corruption_label(self) -> str:
        """The corruption as written in tables."""
        return _told(self.corruption)


def _told(component: Component | None) -> str:
    """The label, which always tells the first parameter: it is the strength, and a reader must not have to guess it."""
    if component is None:
        return NONE
    shown = {
        param.name: component.params[param.name]
        for position, param in enumerate(component.spec.params)
        if position == 0 or component.params[param.name] != default_of(param)
    }
    return format_expr(component.spec.name, shown)


@dataclass(frozen=True)
class RunConfig:
    """A run: every model with every defense, trained on ``data``, through every scenario on one split of each data set
    of ``eval_data``."""

    models: tuple[Component, ...]
    defenses: tuple[DefensePlan, ...]
    scenarios: tuple[Scenario, ...]
    data: Component
    eval_data: tuple[Component, ...]
    split: str
    seed: int
    allow_leak: bool = False
    """Train although the splits leak; tables and record then say so. Changes no result, and is part of no cache key."""

    def as_dict(self) -> dict[str, Any]:
        """The resolved configuration as plain data, for the record."""
        return {
            "models": [component.identity() for component in self.models],
            "defenses": [
                {"label": plan.label, **plan.identity(), "start": plan.start.label if plan.start else None}
                for plan in self.defenses
            ],
            "scenarios": [
                {
                    "attack": scenario.attack.identity() if scenario.attack else None,
                    "corruption": scenario.corruption.identity() if scenario.corruption else None,
                }
                for scenario in self.scenarios
            ],
            "data": self.data.identity(),
            "eval_data": [component.identity() for component in self.eval_data],
            "split": self.split,
            "seed": self.seed,
            "allow_leak": self.allow_leak,
        }

    @property
    def key(self) -> str:
        """A short name for this configuration, the same wherever it is run."""
        return digest(self.as_dict())[:8]


def parse_defense(registry: Registry, text: str, _seen: tuple[str, ...] = ()) -> DefensePlan:
    """Resolve ``dual+pim(alpha=0.5)``: the first component's parameters may hold the recipe's.

    Raises:
        UsageError: unknown or ill-typed component or parameter, or a start that leads back to itself.
    """
    if text in _seen:
        raise UsageError(f"the defense {text!r} starts from itself ({' <- '.join(_seen)}): choose another start")
    components, labels, recipe = [], [], Recipe()
    for position, expr in enumerate(parse_sum(text)):
        registered = registry.get("defense", expr.name)
        spec = registered.spec
        assert isinstance(spec, DefenseSpec)
        shared = recipe_params(spec.recipe) if position == 0 else ()
        own = {param.name for param in spec.params}
        if misplaced := [name for name in expr.params if position and name in RECIPE_NAMES - own]:
            raise UsageError(f"{misplaced[0]!r} belongs to the training recipe: write it in the first part of {text!r}")
        bound = bind(expr, (*spec.params, *shared), f"defense {expr.name!r}")
        if position == 0:
            recipe = Recipe(**{param.name: bound[param.name] for param in shared})
        given = {p.name: bound[p.name] for p in (*spec.params, *shared) if bound[p.name] != default_of(p)}
        components.append(Component(registered, {name: bound[name] for name in bound if name in own}))
        labels.append(format_expr(expr.name, given))
    start = parse_defense(registry, recipe.start, (*_seen, text)) if recipe.start else None
    return DefensePlan("+".join(labels), tuple(components), recipe, start)


def build_config(
    registry: Registry,
    *,
    models: Sequence[str],
    defenses: Sequence[str],
    scenarios: Sequence[tuple[str, str]],
    data: str,
    eval_data: Sequence[str] = (),
    split: str = "test",
    seed: int = 0,
    allow_leak: bool = False,
) -> RunConfig:
    """Resolve and validate everything by name; the baseline defense and the clean scenario are added for comparison.

    Without ``eval_data`` the detectors are evaluated on the data set that they are trained on.

    Raises:
        UsageError: anything unknown, ill-typed or out of range.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}: {did_you_mean(split, SPLITS)}")
    plans = [parse_defense(registry, text) for text in defenses]
    if not any(plan.is_baseline for plan in plans):
        plans.insert(0, parse_defense(registry, BASELINE))
    rows = [
        Scenario(
            None if attack == NONE else registry.component("attack", attack),
            None if corruption == NONE else registry.component("corruption", corruption),
        )
        for attack, corruption in [(NONE, NONE), *scenarios]
    ]
    # By label: what is asked for twice, in whatever spelling, is run once.
    return RunConfig(
        tuple({c.label: c for c in (registry.component("model", text) for text in models)}.values()),
        tuple({plan.label: plan for plan in plans}.values()),
        tuple({(row.attack_label, row.corruption_label): row for row in rows}.values()),
        registry.component("dataset", data),
        tuple({c.label: c for c in (registry.component("dataset", text) for text in eval_data or (data,))}.values()),
        split,
        seed,
        allow_leak,
    )


_KEYS = {
    "model", "defense", "attack", "corruption", "scenario", "data", "eval_data", "split", "seed", "allow_leak",
}  # fmt: skip


def load_toml(path: Path) -> dict[str, Any]:
    """Read a run file: lists ``model``, ``defense``, ``attack``, ``corruption``, ``eval_data``, or tables
    ``[[scenario]]`` with ``attack`` and ``corruption``; ``data``, ``split``, ``seed``, ``allow_leak``.

    Raises:
        UsageError: missing, not TOML, or with a key that is not known.
    """
    try:
        with path.open("rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError as error:
        raise UsageError(f"no such file: {path}") from error
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from error
    for key in content:
        if key not in _KEYS:
            raise UsageError(f"{path}: unknown key {key!r}; {did_you_mean(key, _KEYS)}")
    return content
