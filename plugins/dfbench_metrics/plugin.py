"""The built-in metrics of per-sample scores."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import MetricSpec

_METRICS: tuple[tuple[str, str, str, bool | None], ...] = (
    ("accuracy", "threshold", "share of samples classified rightly at threshold 0.5", True),
    ("balanced_accuracy", "threshold", "mean of the shares of real and of fake samples classified rightly", True),
    ("f1_macro", "threshold", "mean of F1_real and F1_fake", True),
    ("f1_real", "threshold", "F1 with real as the positive class", True),
    ("f1_fake", "threshold", "F1 with fake as the positive class", True),
    ("auc", "ranking", "area under the ROC curve; a tie counts half", True),
    ("ap", "ranking", "average precision: sum of precision times step in recall, not interpolated", True),
    ("eer", "ranking", "equal error rate, on the ROC curve joined by straight lines", False),
    ("tpr_at_fpr_1pct", "ranking", "highest true-positive rate of a threshold with at most 1% false positives", True),
    ("always_fake_accuracy", "threshold", "floor: accuracy of answering fake always", None),
    ("always_real_accuracy", "threshold", "floor: accuracy of answering real always", None),
    ("tp", "threshold", "count of fakes called fake", None),
    ("fp", "threshold", "count of reals called fake", None),
    ("tn", "threshold", "count of reals called real", None),
    ("fn", "threshold", "count of fakes called real", None),
    ("n", "threshold", "number of samples", None),
)


@hookimpl
def dfbench_metrics() -> Iterable[MetricSpec]:
    """Threshold metrics, ranking metrics, the floors of constant answers, and counts."""
    for name, module, summary, higher_is_better in _METRICS:
        yield MetricSpec(name, f"dfbench_metrics.{module}:{name}", summary, higher_is_better=higher_is_better)
