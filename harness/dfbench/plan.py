"""``--dry-run``: what a run would do, what is already in the cache, and what the rest costs in passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from dfbench.contracts import LearnedAttack
from dfbench.runner import Arm, Runner
from dfbench.sweep import Sweep


@dataclass(frozen=True)
class Job:
    """One piece of work and its cost, in single-image passes through the detector; None where not known ahead."""

    what: str
    model: str
    cached: bool
    forwards: float | None
    backwards: float | None


def plan(runner: Runner) -> list[Job]:
    """The jobs of a prepared run, in their order."""
    jobs: dict[str, Job] = {}
    for component in runner.config.models:
        for defense in runner.config.defenses:
            arm = runner.arm(component, defense)
            _training_jobs(runner, arm, jobs)
            _test_jobs(runner, arm, jobs)
    return [replace(job, what=job.what + runner.where) for job in jobs.values()]


def _training_jobs(runner: Runner, arm: Arm, jobs: dict[str, Job]) -> None:
    defense = arm.plan
    if defense.start:
        _training_jobs(runner, runner.arm(arm.model, defense.start), jobs)
    title = f"train {arm.model.label} | {runner.short[defense.label]}"
    objectives = [objective.build() for objective in defense.components]
    images = defense.recipe.epochs * _training_n(runner)
    clean = 1.0 if all(objective.clean_weight for objective in objectives) else 0.0
    forwards = images * (clean + sum(objective.passes()[0] for objective in objectives))
    backwards = images * (clean + sum(objective.passes()[1] for objective in objectives))
    done = runner.store.find("checkpoints", runner.checkpoint_key(arm.model, defense)) is not None
    jobs[title] = Job(title, arm.model.label, done, forwards, backwards)


def _test_jobs(runner: Runner, arm: Arm, jobs: dict[str, Job]) -> None:
    made: set[tuple[str, str]] = set()
    model = arm.model.label
    for cell in runner.cells(arm):
        scenario = cell.scenario
        attack = runner.attacks[scenario.attack_label]
        name = f"{model} | {runner.short[arm.plan.label]} | {scenario.attack_label}"
        if isinstance(attack, LearnedAttack) and attack.needs_fit:
            passes = attack.fit_epochs() * _training_n(runner)
            done = runner.store.find("attackers", runner.attacker_key(arm, scenario)) is not None
            jobs.setdefault(f"fit   {name}", Job(f"fit   {name}", model, done, passes, passes))
        done = runner.store.find("cells", runner.cell_key(cell)) is not None
        # The attacked images are made once, for all corruptions that are still to do.
        images = (cell.data, scenario.attack_label)
        cost = attack.passes() if attack and images not in made else (0.0, 0.0)
        if not done:
            made.add(images)
        n = runner.data.evaluated_n(cell.data)
        where = f" | {cell.data}" if len(runner.config.eval_data) > 1 else ""
        title = f"test  {name} | {scenario.corruption_label}{where}"
        forwards, backwards = ((cost[0] + 1) * n, cost[1] * n) if cost else (None, None)
        jobs[title] = Job(title, model, done, forwards, backwards)


def _training_n(runner: Runner) -> int:
    return int(runner.data.counts[runner.config.data.label]["train"]["n"])


def show_plan(sweep: Sweep) -> None:
    """Print the plan as a table, with the sum of what is not yet in the cache and the time that this will take here.

    Prepares the data sets, since the cost depends on their sizes, and runs a batch through each model for the time.
    """
    sweep.prepare()
    # By title: what several runs share (a start that is trained once) is one job.
    jobs = list({job.what: job for runner in sweep.runners for job in plan(runner)}.values())
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
    console = Console()
    console.print(table)
    if todo:
        seconds = _seconds(sweep.runners[0], todo)
        device = sweep.runners[0].device
        console.print(f"about {_duration(seconds)} for these passes on this {device}, and some more around them")


def _seconds(runner: Runner, jobs: list[Job]) -> float:
    """The time of these jobs' passes on this machine, from a timed batch of images of the first training set's size
    through each model; the rest comes on top."""
    total = 0.0
    for label in dict.fromkeys(job.model for job in jobs):
        forward, backward = runner.pass_seconds(label)
        for job in jobs:
            if job.model == label:
                total += (job.forwards or 0) * forward + (job.backwards or 0) * backward
    return total


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
