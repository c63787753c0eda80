"""``--dry-run``: what a run would do, what is already in the cache, and what the rest costs in passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from dfbench.config import DefensePlan
from dfbench.contracts import LearnedAttack
from dfbench.registry import Component
from dfbench.runner import Arm, Runner


@dataclass(frozen=True)
class Job:
    """One piece of work and its cost, in single-image passes through the detector; None where not known ahead."""

    what: str
    cached: bool
    forwards: float | None
    backwards: float | None


def plan(runner: Runner) -> list[Job]:
    """The jobs of a run, in their order. Prepares the data sets, since the cost depends on their sizes."""
    runner.prepare()
    config = runner.config
    jobs: dict[str, Job] = {}
    for component in config.models:
        for defense in config.defenses:
            _training_jobs(runner, component, defense, jobs)
            arm = Arm(component, defense)
            made: set[tuple[str, str]] = set()
            for cell in runner.cells(arm):
                scenario = cell.scenario
                attack = runner.attacks[scenario.attack_label]
                name = f"{component.label} | {defense.label} | {scenario.attack_label}"
                if isinstance(attack, LearnedAttack) and attack.needs_fit:
                    passes = attack.fit_epochs() * _training_n(runner)
                    done = runner.store.find("attackers", runner.attacker_key(arm, scenario)) is not None
                    jobs.setdefault(f"fit   {name}", Job(f"fit   {name}", done, passes, passes))
                done = runner.store.find("cells", runner.cell_key(cell)) is not None
                # The attacked images are made once, for all corruptions that are still to do.
                images = (cell.data, scenario.attack_label)
                cost = attack.passes() if attack and images not in made else (0.0, 0.0)
                if not done:
                    made.add(images)
                n = runner.data.evaluated_n(cell.data)
                where = f" | {cell.data}" if len(config.eval_data) > 1 else ""
                title = f"test  {name} | {scenario.corruption_label}{where}"
                forwards, backwards = ((cost[0] + 1) * n, cost[1] * n) if cost else (None, None)
                jobs[title] = Job(title, done, forwards, backwards)
    return list(jobs.values())


def _training_n(runner: Runner) -> int:
    return int(runner.data.counts[runner.config.data.label]["train"]["n"])


def _training_jobs(runner: Runner, component: Component, defense: DefensePlan, jobs: dict[str, Job]) -> None:
    if defense.start:
        _training_jobs(runner, component, defense.start, jobs)
    title = f"train {component.label} | {defense.label}"
    objectives = [objective.build() for objective in defense.components]
    images = defense.recipe.epochs * _training_n(runner)
    clean = 1.0 if all(objective.clean_weight for objective in objectives) else 0.0
    forwards = images * (clean + sum(objective.passes()[0] for objective in objectives))
    backwards = images * (clean + sum(objective.passes()[1] for objective in objectives))
    done = runner.store.find("checkpoints", runner.checkpoint_key(component, defense)) is not None
    jobs[title] = Job(title, done, forwards, backwards)


def show_plan(runner: Runner) -> None:
    """Print the plan as a table, with the sum of what is not yet in the cache."""
    jobs = plan(runner)
    table = Table(title="plan", title_style="bold", caption="passes of single images through the detector")
    for name in ("job", "cached", "forward", "backward"):
        table.add_column(name, justify="left" if name == "job" else "right", overflow="fold")
    for job in jobs:
        cost = ("", "") if job.cached else (_count(job.forwards), _count(job.backwards))
        table.add_row(job.what, "yes" if job.cached else "no", *cost)
    todo = [job for job in jobs if not job.cached]
    table.add_section()
    totals: list[Any] = [
        sum(x for x in column if x is not None)
        for column in ([job.forwards for job in todo], [job.backwards for job in todo])
    ]
    more = " + unknown" if any(job.forwards is None for job in todo) else ""
    table.add_row(f"{len(todo)} of {len(jobs)} jobs to do", "", *(_count(total) + more for total in totals))
    Console().print(table)


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
