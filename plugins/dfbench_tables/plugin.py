"""The built-in table templates."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import REQUIRED, Param, TableSpec


@hookimpl
def dfbench_tables() -> Iterable[TableSpec]:
    """The long table of everything, scenarios, manipulations, survival of attacks, the worst case, directions, areas
    over eps, counts, attention, ablations, and a run beside published numbers."""
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
    yield TableSpec(
        "worst-case",
        "dfbench_tables.worst_case:WorstCase",
        "the worst case of a combined attack beside attacks of fixed steps at the same eps, and what broke the samples",
    )
    yield TableSpec(
        "directions",
        "dfbench_tables.directions:Directions",
        "accuracy of fakes and of reals, at thresholds frozen on clean validation data too, and calibration",
    )
    yield TableSpec(
        "nauc",
        "dfbench_tables.nauc:Nauc",
        "normalised area under each metric over eps, of every attack that was swept, with paired differences",
        params=(Param("metrics", str, "accuracy,f1_macro", "metrics in their order, separated by commas"),),
    )
    yield TableSpec(
        "confusion",
        "dfbench_tables.confusion:Confusion",
        "true and false positives and negatives of every scenario and defense, counts and rates",
    )
    yield TableSpec(
        "attention",
        "dfbench_tables.attention:Attention",
        "how alike Grad-CAM maps of clean and changed images are, with floors and paired differences (needs --cam)",
    )
    yield TableSpec(
        "grid",
        "dfbench_tables.grid:Ablation",
        "an ablation: a metric over two parameters of a defense, with paired differences from the baseline",
        params=(
            Param("x", str, "", "parameter of the columns, e.g. r; empty: found from the arms"),
            Param("y", str, "", "parameter of the rows, e.g. alpha"),
            Param("metric", str, "auc", "the metric"),
            Param("scenario", str, "", "the scenario; empty: a table for each"),
            Param("defense", str, "", "names of the objectives, e.g. dual+pim; empty: of every defense that has both"),
        ),
    )
    yield TableSpec(
        "published",
        "dfbench_tables.published:PublishedNumbers",
        "a run beside published numbers, every one marked, with known problems and the differences in protocol",
        params=(Param("file", str, REQUIRED, "published numbers, as results/published/*.toml"),),
    )
