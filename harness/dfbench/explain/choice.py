"""What of a run is explained where the user did not say: which detectors, which attacks, which samples."""

from __future__ import annotations

from collections.abc import Sequence

from dfbench.errors import CheckpointError, UsageError, did_you_mean
from dfbench.rundir import RunFolder, TrainedArm

MOST_ATTACKS = 3
"""Attacks that are looked at unless the user names others: more columns than that cannot be read side by side."""


def choose_arms(run: RunFolder, seed: int | None) -> list[TrainedArm]:
    """The detectors of one seed (the first by default), the plainly trained ones before the others.

    Raises:
        UsageError: the run has no such seed.
        CheckpointError: the folder holds the record alone.
    """
    seeds = run.record["config"]["seeds"]
    if seed is not None and seed not in seeds:
        raise UsageError(f"the run has no seed {seed}: it has {', '.join(map(str, seeds))}")
    wanted = seeds[0] if seed is None else seed
    plain = {
        defense["label"]
        for defense in run.record["config"]["defenses"]
        if [part["name"] for part in defense["objectives"]] == ["none"]
    }
    for entry in run.arms.values():
        if not (run.path / entry["checkpoint"]).is_file():
            raise CheckpointError(
                f"{run.path} holds no detector {entry['checkpoint']}: run again, with --out {run.path}; "
                "finished work comes from the cache"
            )
    return sorted((arm for arm in run.arms if arm.seed == wanted), key=lambda arm: arm.defense not in plain)


def choose_data(run: RunFolder, asked: str | None) -> str:
    """The label of a data set of the run: the one asked for, or the first that was evaluated.

    Raises:
        UsageError: the run has no such data set.
    """
    known = list(dict.fromkeys(used["name"] for part in ("eval_data", "data") for used in run.record[part]))
    if asked is None:
        return str(known[0])
    return _find(run, "dataset", asked, known)


def choose_attacks(run: RunFolder, arms: Sequence[TrainedArm], asked: Sequence[str], notes: list[str]) -> list[str]:
    """The labels of attacks of the run: those asked for, or :data:`MOST_ATTACKS` of them.

    By default the first of each kind (``pgd``, ``unet``) comes before second ones, in the order of the run; an attack
    that learns is left out where an arm has no attacker of its own. ``notes`` then tells what was left out.

    Raises:
        UsageError: an attack asked for is not in the run.
    """
    known = [str(cell["attack"]) for cell in run.record["cells"] if cell["attack"] != "none"]
    known = list(dict.fromkeys(known))
    if asked:
        return list(dict.fromkeys(_find(run, "attack", text, known) for text in asked))
    usable = [label for label in known if _can(run, arms, label, notes)]
    kinds: dict[str, list[str]] = {}
    for label in usable:
        kinds.setdefault(run.registry.component("attack", label).spec.name, []).append(label)
    first = [labels[0] for labels in kinds.values()]
    taken = [*first, *(label for label in usable if label not in first)][:MOST_ATTACKS]
    if left := [label for label in usable if label not in taken]:
        notes.append(f"attacks left out: {', '.join(left)}; name them with --attack to see them")
    return sorted(taken, key=known.index)


def _can(run: RunFolder, arms: Sequence[TrainedArm], label: str, notes: list[str]) -> bool:
    """Whether every arm has the attack; one that learns was not fitted to it otherwise, or its file was not kept."""
    try:
        for arm in arms:
            run.attack(arm, label)
    except (CheckpointError, UsageError) as error:
        notes.append(f"the attack {label} is left out: {error}")
        return False
    return True


def _find(run: RunFolder, kind: str, text: str, known: Sequence[str]) -> str:
    """The label in the run of the component that the user wrote, whose defaults may be spelt out there."""
    wanted = run.registry.component(kind, text)
    for label in known:
        if run.registry.component(kind, label) == wanted:
            return label
    told = {"dataset": "data set"}.get(kind, kind)
    raise UsageError(f"the {told} {text!r} is not in the run {run.path}: {did_you_mean(text, known)}")
