"""How attackers that learn came along: success, total variation and low-band energy ratio over the steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dfbench.explain.common import Request, arm_names
from dfbench.explain.figure import COLOURS, drawing
from dfbench.perturbation import LOW_BAND
from dfbench.rundir import TrainedArm

TRAINED, FITTED = "trained with the detector", "fitted to the finished detector"
_VALUES = (
    ("success", "attack success\n(share of images answered wrongly)"),
    ("tv", "TV of delta/eps\n(mean step between neighbours)"),
    ("low_band", f"energy up to {LOW_BAND} cycles/pixel\n(share of delta's energy)"),
)
_COLUMNS = ["kind", "arm", "attack", "step", "success", "tv", "low_band"]
_READING = (
    "The course of attackers that learn, means over windows of steps. Above, attackers that trained against a detector "
    "while it learned to withstand them; below, attackers fitted to a finished, frozen detector. White noise of the "
    "same bound has 0.05 of its energy in the low band, a smooth perturbation nearly all."
)


def curves(request: Request) -> pd.DataFrame:
    """A row per logged window of steps: kind, arm, attack, step, success, tv, low_band; empty without such a log."""
    names = arm_names(request.arms)
    rows: list[tuple[Any, ...]] = []
    for arm, name in names.items():
        for epoch in request.run.training_log(arm):
            for point in epoch.get("points", []):  # logs of older runs have none
                if "attacker_success" in point:
                    told = (point["attacker_success"], point["attacker_tv"], point["attacker_low_band"])
                    rows.append((TRAINED, name, arm.defense, point["step"], *told))
    for entry in request.run.record["attackers"]:
        arm = TrainedArm(entry["model"], entry["defense"], entry["data"], entry["seed"])
        if arm in names:
            for point in request.run.attacker_log(arm, entry["attack"]):
                # What a log holds is its attack's own choice.
                told = tuple(point.get(value, float("nan")) for value in ("success", "tv", "low_band"))
                rows.append((FITTED, names[arm], entry["attack"], point["step"], *told))
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw_curves(path: Path, table: pd.DataFrame, arms: Sequence[str]) -> None:
    """Draw the table of :func:`curves`: a row for each kind of attacker, a column for each value; arms by colour."""
    kinds = table["kind"].unique().tolist()
    with drawing(path, 11, 3.1 * len(kinds) + 0.2, _READING) as figure:
        for part, kind in zip(figure.subfigures(len(kinds), 1, squeeze=False)[:, 0], kinds, strict=True):
            lines = table[table["kind"] == kind]
            panels = part.subplots(1, len(_VALUES))
            attacks = lines["attack"].unique().tolist() if kind == FITTED else []
            for axes, (value, label) in zip(panels, _VALUES, strict=True):
                for (arm, attack), ours in lines.groupby(["arm", "attack"], sort=False):
                    axes.plot(
                        ours["step"],
                        ours[value],
                        ("-", "--", ":", "-.")[attacks.index(attack) % 4 if attacks else 0],
                        marker="o",
                        markersize=3,
                        color=COLOURS[arms.index(arm) % len(COLOURS)],
                        label=f"{arm}: {attack}" if attacks else arm,
                    )
                axes.set(xlabel="step", ylabel=label, ylim=(0, 1 if value != "tv" else None), xlim=(0, None))
            part.suptitle(f"Attackers {kind}", fontsize=10)
            part.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
