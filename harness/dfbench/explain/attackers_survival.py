"""What of an attack survives compression: its success before and after each corruption, from the run's cells."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfbench.config import NONE
from dfbench.explain.common import Request, arm_names, built
from dfbench.explain.figure import COLOURS, drawing
from dfbench.rundir import TrainedArm

BEFORE = "before"
_READING = (
    "Attack success is the share, among the images that the detector gets right without the attack but with the same "
    "corruption, of those that the attack turns wrong; with 95% intervals. Panels in a row compare attacks at equal "
    "eps. The percentage on a bar is what the "
    "corruption leaves of the success before."
)


def survival(request: Request) -> pd.DataFrame:
    """A row per data set, arm, attack and corruption, of the attacks that the run followed by a corruption.

    ``corruption`` is ``before`` for the attack alone; ``success`` has its interval ``low``, ``high`` and the number
    ``n`` of images that were right without the attack; ``retained`` is the success over that before the corruption.
    """
    names = arm_names(request.arms)
    rows: list[dict[str, Any]] = []
    for cell in request.run.record["cells"]:
        arm = TrainedArm(cell["model"], cell["defense"], cell["train_data"], cell["seed"])
        success = cell["attack_success"]
        if arm not in names or success is None or success["value"] is None:
            continue
        low, high = success["interval"] or (np.nan, np.nan)
        rows.append(
            {
                "data": cell["data"],
                "arm": names[arm],
                "attack": cell["attack"],
                "corruption": BEFORE if cell["corruption"] == NONE else cell["corruption_column"],
                "success": success["value"],
                "low": low,
                "high": high,
                "n": success["n"],
            }
        )
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).drop_duplicates(["data", "arm", "attack", "corruption"])
    corrupted = set(table[table["corruption"] != BEFORE]["attack"])
    table = table[table["attack"].isin(corrupted)].reset_index(drop=True)
    attacks = {label: built(request.run, label) for label in table["attack"].unique()}
    eps = {label: attack.eps if attack else None for label, attack in attacks.items()}
    bounds = [eps[label] for label in table["attack"]]
    table.insert(3, "eps_255", [np.nan if bound is None else bound * 255 for bound in bounds])
    before = table[table["corruption"] == BEFORE].set_index(["data", "arm", "attack"])["success"]
    keys = pd.MultiIndex.from_frame(table[["data", "arm", "attack"]])
    table["retained"] = table["success"].to_numpy() / before.reindex(keys).replace(0, np.nan).to_numpy()
    return table


def draw_survival(path: Path, table: pd.DataFrame) -> None:
    """Bars of :func:`survival`: a row of panels for each data set and eps, a panel for each arm."""
    several = table["data"].nunique() > 1
    rows: list[tuple[Any, pd.DataFrame]] = list(table.groupby(["data", "eps_255"], sort=False, dropna=False))
    arms, attacks = table["arm"].unique().tolist(), table["attack"].unique().tolist()
    corruptions = sorted(table["corruption"].unique(), key=lambda name: name != BEFORE)
    width = max(3.2, 0.45 * len(corruptions) * (1 + max(part["attack"].nunique() for _, part in rows)))
    with drawing(path, width * len(arms) + 0.8, 2.9 * len(rows) + 0.5, _READING) as figure:
        figures = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
        for part, ((data, eps), ours) in zip(figures, rows, strict=True):
            bound = "without a bound in L-inf" if np.isnan(eps) else f"at eps {eps:g}/255"
            part.suptitle(f"Attacks {bound}" + (f", {data}" if several else ""), fontsize=10)
            panels = part.subplots(1, len(arms), sharey=True, squeeze=False)[0]
            shown = [attack for attack in attacks if attack in set(ours["attack"])]
            for axes, arm in zip(panels, arms, strict=True):
                _bars(axes, ours[ours["arm"] == arm], shown, corruptions)
                axes.set_title(textwrap.fill(arm, 40))
            panels[0].set_ylabel("attack success")
            part.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)


def _bars(axes: Any, ours: pd.DataFrame, attacks: list[str], corruptions: list[str]) -> None:
    bar = 0.8 / len(attacks)
    for number, attack in enumerate(attacks):
        part = ours[ours["attack"] == attack].set_index("corruption").reindex(corruptions)
        place = np.arange(len(corruptions)) + (number - (len(attacks) - 1) / 2) * bar
        height = part["success"].to_numpy()
        axes.bar(place, height, bar * 0.94, color=COLOURS[number % len(COLOURS)], label=attack)
        spread = np.array([height - part["low"], part["high"] - height]).clip(min=0)
        axes.errorbar(place, height, spread, fmt="none", ecolor="black", elinewidth=1, capsize=2)
        for where, corruption, told in zip(place, corruptions, part.to_dict("records"), strict=True):
            if corruption != BEFORE and not np.isnan(told["retained"]):
                top = np.nanmax([told["success"], told["high"]])
                axes.text(where, top + 0.02, f"{told['retained']:.0%}", ha="center", fontsize=8)
    axes.set(
        xlim=(-0.5, len(corruptions) - 0.5), ylim=(0, 1.12), yticks=np.linspace(0, 1, 6), xticks=range(len(corruptions))
    )
    axes.set_xticklabels([textwrap.fill(name, 18, break_long_words=False) for name in corruptions])
