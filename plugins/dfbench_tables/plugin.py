"""The built-in table templates."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import Param, TableSpec


@hookimpl
def dfbench_tables() -> Iterable[TableSpec]:
    """The long table of everything, the table of scenarios, manipulations, and how attacks survive corruptions."""
    yield TableSpec(
        "results",
        "dfbench_tables.results:Results",
        "every scenario with every defense, a row each, with intervals and the difference in AUC from the baseline",
    )
    yield TableSpec(
        "manipulations",
        "dfbench_tables.manipulations:Manipulations",
        "the fakes of each manipulation against all real samples, a row for each scenario and defense",
    )
    yield TableSpec(
        "scenarios",
        "dfbench_tables.scenarios:Scenarios",
        "a row for each scenario, defenses side by side under each metric, the best in bold, with paired differences",
        params=(
            Param("metrics", str, "accuracy,auc,tpr_at_fpr_1pct", "metrics in their order, separated by commas"),
            Param(
                "level",
                str,
                "auto",
                "what is counted; auto: videos where the data set is made of them",
                choices=("auto", "samples", "videos"),
            ),
        ),
    )
    yield TableSpec(
        "survival",
        "dfbench_tables.survival:Survival",
        "how much of each attack's success is left after each corruption, sorted by the attack's eps",
    )
