"""One frozen RunConfig: everything a run does, resolved and validated before any compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dfbench.contracts import SPLITS, DefenseSpec
from dfbench.errors import UsageError, did_you_mean
from dfbench.grammar import format_expr, format_value, parse_sum, variants
from dfbench.keys import digest
from dfbench.names import file_name
from dfbench.recipe import RECIPE_NAMES, Recipe, recipe_params
from dfbench.registry import Component, Registry
from dfbench.schema import bind, default_of
from dfbench.trust.result import LEVELS

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
    given_name: str = ""
    family: str = ""
    """What the user called all rows that one entry with lists of values gave, e.g. a sweep of eps."""

    @property
    def name(self) -> str:
        """What the user called it, or what it does."""
        return self.given_name or scenario_name(self.attack_label, self.corruption_label)

    @property
    def clean(self) -> bool:
        """Whether nothing happens to the images."""
        return self.attack is None and self.corruption is None

    @property
    def attack_label(self) -> str:
        """The attack as written in tables."""
        return _told(self.attack)

    @property
    def corruption_label(self) -> str:
        """The corruption as written in tables."""
        return _told(self.corruption)


def scenario_name(attack: str, corruption: str) -> str:
    """The name of a scenario that the user gave none, from its labels: ``clean``, ``pgd(eps=1/255) + jpeg(...)``."""
    return " + ".join(label for label in (attack, corruption) if label != NONE) or "clean"


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
    """A run: every model with every defense, trained on ``data`` from ``seed``, through every scenario on one split of
    each data set of ``eval_data``."""

    models: tuple[Component, ...]
    defenses: tuple[DefensePlan, ...]
    scenarios: tuple[Scenario, ...]
    data: Component
    eval_data: tuple[Component, ...]
    split: str
    seed: int
    allow_leak: bool = False
    """Train although the splits leak; tables and record then say so. Changes no result, and is part of no cache key."""
    cam: bool = False
    """Also measure how the detectors' Grad-CAM maps change under attacks and corruptions."""
    checks: str = "fast"
    """How much the verdicts of attacked cells look at: one of ``dfbench.trust.result.LEVELS``."""


@dataclass(frozen=True)
class NamedTable:
    """A table that is asked for: its name, its template, and the scenarios it shows (none: all)."""

    name: str
    template: Component
    scenarios: tuple[str, ...] = ()


@dataclass(frozen=True)
class SweepConfig:
    """Runs that are alike but for their training data and their seed, and the tables that show them together."""

    runs: tuple[RunConfig, ...]
    tables: tuple[NamedTable, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, each once."""
        return tuple(dict.fromkeys(run.seed for run in self.runs))

    @property
    def data(self) -> tuple[Component, ...]:
        """The data sets that are trained on, each once."""
        return tuple({run.data.label: run.data for run in self.runs}.values())

    @property
    def eval_data(self) -> tuple[Component, ...]:
        """The data sets that are evaluated on, each once."""
        return tuple({c.label: c for run in self.runs for c in run.eval_data}.values())

    def as_dict(self) -> dict[str, Any]:
        """The resolved configuration as plain data, for the record."""
        one = self.runs[0]
        return {
            "models": [component.identity() for component in one.models],
            "defenses": [
                {"label": plan.label, **plan.identity(), "start": plan.start.label if plan.start else None}
                for plan in one.defenses
            ],
            "scenarios": [
                {
                    "name": scenario.name,
                    "attack": scenario.attack.identity() if scenario.attack else None,
                    "corruption": scenario.corruption.identity() if scenario.corruption else None,
                }
                for scenario in one.scenarios
            ],
            "data": [component.identity() for component in self.data],
            "eval_data": [component.identity() for component in self.eval_data],
            "evaluated_on": {run.data.label: [component.label for component in run.eval_data] for run in self.runs},
            "split": one.split,
            "seeds": list(self.seeds),
            "allow_leak": one.allow_leak,
            "cam": one.cam,
            "checks": one.checks,
            "tables": [
                {"name": table.name, "template": table.template.label, "scenarios": list(table.scenarios)}
                for table in self.tables
            ],
        }

    @property
    def key(self) -> str:
        """A short name for this configuration, the same wherever it is run."""
        return digest(self.as_dict())[:8]


def parse_defense(
    registry: Registry, text: str, common: Mapping[str, Any] | None = None, _seen: tuple[str, ...] = ()
) -> DefensePlan:
    """Resolve ``dual+pim(alpha=0.5)``: the first component's parameters may hold the recipe's.

    Args:
        registry: where components are found.
        text: as the user wrote it.
        common: recipe parameters of every defense, also of those that another one starts from, as if they were written
            in each that does not set them itself.

    Raises:
        UsageError: unknown or ill-typed component or parameter, or a start that leads back to itself.
    """
    if text in _seen:
        raise UsageError(f"the defense {text!r} starts from itself ({' <- '.join(_seen)}): choose another start")
    components, labels, recipe = [], [], Recipe()
    exprs = parse_sum(text)
    names = [expr.name for expr in exprs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{text}: {twice[0]!r} is in this defense twice: leave one of them out")
    for position, expr in enumerate(exprs):
        registered = registry.get("defense", expr.name)
        spec = registered.spec
        assert isinstance(spec, DefenseSpec)
        shared = recipe_params(spec.recipe) if position == 0 else ()
        own = {param.name for param in spec.params}
        if misplaced := [name for name in expr.params if position and name in RECIPE_NAMES - own]:
            raise UsageError(f"{misplaced[0]!r} belongs to the training recipe: write it in the first part of {text!r}")
        if position == 0:
            expr = replace(expr, params={**(common or {}), **expr.params})
        bound = bind(expr, (*spec.params, *shared), f"defense {expr.name!r}")
        if position == 0:
            recipe = Recipe(**{param.name: bound[param.name] for param in shared})
        given = {p.name: bound[p.name] for p in (*spec.params, *shared) if bound[p.name] != default_of(p)}
        components.append(Component(registered, {name: bound[name] for name in bound if name in own}))
        labels.append(format_expr(expr.name, given))
    start = parse_defense(registry, recipe.start, common, (*_seen, text)) if recipe.start else None
    return DefensePlan("+".join(labels), tuple(components), recipe, start)


def build_config(
    registry: Registry,
    *,
    models: Sequence[str],
    defenses: Sequence[str],
    scenarios: Sequence[tuple[str, str, str]],
    data: Sequence[str],
    eval_data: Sequence[str] = (),
    split: str = "test",
    seeds: Sequence[int] = (0,),
    allow_leak: bool = False,
    cam: bool = False,
    checks: str = "fast",
    recipe: Mapping[str, Any] | None = None,
    tables: Sequence[tuple[str, str, Sequence[str]]] = (),
) -> SweepConfig:
    """Resolve and validate everything by name; the baseline defense and the clean scenario are added for comparison.

    Args:
        scenarios: attack, corruption and name (or "") of each. A parameter with a list of values stands for one row
            for each, ``fgsm(eps=[0.001, 0.005])``; the row without the attack is then always there, to measure from.
        defenses: a list of values stands for one defense for each, ``pim(r=[0.1, 0.2])``.
        recipe: training parameters of every defense, unless it sets them itself.
        data: data sets to train on, each for itself.
        eval_data: data sets to evaluate on; without any, detectors are evaluated on the one they were trained on.
        tables: name, template and scenarios (none: all) of each.
        registry, models, split, seeds, allow_leak, cam, checks: as the command line has them.

    Raises:
        UsageError: anything unknown, ill-typed, out of range, or named twice.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}: {did_you_mean(split, SPLITS)}")
    if checks not in LEVELS:
        raise UsageError(f"unknown checks {checks!r}: {did_you_mean(checks, LEVELS)}")
    if unknown := [name for name in recipe or {} if name not in RECIPE_NAMES]:
        raise UsageError(
            f"the recipe has no parameter {unknown[0]!r}: {did_you_mean(unknown[0], RECIPE_NAMES)}; what belongs to "
            "one defense is written in it, as in pim(alpha=0.5)"
        )
    plans = [parse_defense(registry, text, recipe) for given in defenses for text in variants(given)]
    if not any(plan.is_baseline for plan in plans):
        plans.insert(0, parse_defense(registry, BASELINE, recipe))
    rows = _scenarios(registry, scenarios)
    # By label: what is asked for twice, in whatever spelling, is run once.
    trained = {c.label: c for c in (registry.component("dataset", text) for text in data)}
    tested = {c.label: c for c in (registry.component("dataset", text) for text in eval_data)}
    one = RunConfig(
        tuple({c.label: c for c in (registry.component("model", text) for text in models)}.values()),
        tuple({plan.label: plan for plan in plans}.values()),
        rows,
        next(iter(trained.values())),
        (),
        split,
        0,
        allow_leak,
        cam,
        checks,
    )
    runs = [
        replace(one, data=component, eval_data=tuple(tested.values()) or (component,), seed=seed)
        for component in trained.values()
        for seed in dict.fromkeys(seeds)
    ]
    return SweepConfig(tuple(runs), _tables(registry, tables, rows))


def _scenarios(registry: Registry, asked: Sequence[tuple[str, str, str]]) -> tuple[Scenario, ...]:
    """The scenarios as asked for, each once, the clean one first where it was not asked for."""
    rows: dict[tuple[str, str], Scenario] = {}
    for row in [Scenario(None, None), *(row for entry in asked for row in _rows(registry, *entry))]:
        known = rows.get((row.attack_label, row.corruption_label), row)
        if known.given_name and row.given_name and known.given_name != row.given_name:
            raise UsageError(f"the scenarios {known.given_name!r} and {row.given_name!r} are the same: keep one")
        rows[row.attack_label, row.corruption_label] = row if row.given_name else known
    names = [row.name for row in rows.values()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two different scenarios are called {twice[0]!r}: give each a name of its own")
    return tuple(rows.values())


def _rows(registry: Registry, attack: str, corruption: str, name: str) -> Iterator[Scenario]:
    """The scenarios of one entry: several where a parameter has a list of values."""
    attacks = [None] if attack == NONE else registry.variants("attack", attack)
    corruptions = [None] if corruption == NONE else registry.variants("corruption", corruption)
    listed = attack != NONE and variants(attack) != [attack]
    for after, of_corruption in zip(corruptions, _what_varies(corruptions), strict=True):
        if listed:
            yield Scenario(None, after)  # a sweep of eps is measured at 0 too
        for before, of_attack in zip(attacks, _what_varies(attacks), strict=True):
            if listed and before and before.params.get("eps") == 0:
                continue  # that is the row just given
            what = ", ".join(filter(None, (of_attack, of_corruption)))
            if name and what:
                yield Scenario(before, after, f"{name} {what}", name)
            else:
                yield Scenario(before, after, name)


def _what_varies(components: Sequence[Component | None]) -> list[str]:
    """For each of the variants of a component, the parameters in which they differ: ``eps=0.001``."""
    params = [component.params if component else {} for component in components]
    varied = [name for name in params[0] if len({str(one[name]) for one in params}) > 1]
    return [", ".join(f"{name}={format_value(one[name])}" for name in varied) for one in params]


def _tables(
    registry: Registry, asked: Sequence[tuple[str, str, Sequence[str]]], rows: Sequence[Scenario]
) -> tuple[NamedTable, ...]:
    known: dict[str, list[str]] = {row.name: [row.name] for row in rows}
    for row in rows:
        if row.family:
            known.setdefault(row.family, []).append(row.name)
    tables: dict[str, NamedTable] = {}
    for name, template, scenarios in asked:
        if twin := next((other for other in tables if file_name(other) == file_name(name)), None):
            raise UsageError(f"the tables {twin!r} and {name!r} would have the same files: give each a name of its own")
        if unknown := [scenario for scenario in scenarios if scenario not in known]:
            hint = did_you_mean(unknown[0], known)
            raise UsageError(f"the table {name!r} asks for the scenario {unknown[0]!r}: {hint}")
        shown = tuple(row for scenario in scenarios for row in known[scenario])
        tables[name] = NamedTable(name, registry.component("table", template), shown)
    return tuple(tables.values())
