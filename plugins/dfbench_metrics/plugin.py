"""The built-in metrics: of per-sample scores, and of attention under attack where a run measures it."""

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

_PEARSON = "Pearson correlation of the Grad-CAM maps before and after"
_IINC = "IINC of the Grad-CAM maps before and after (0: the same)"
_IOU = "overlap of the ten strongest cells of the Grad-CAM maps before and after"
_FLIPPED, _UNFLIPPED = ", where the prediction changed", ", where the prediction stayed"
_RANDOM, _SHUFFLED = "floor: as {}, with a random map as before", "floor: as {}, with another image's map as before"

_ATTENTION: tuple[tuple[str, str, str, bool | None, tuple[str, ...]], ...] = (
    ("cam_pearson", "mean", _PEARSON, True, ("cam_pearson",)),
    ("cam_pearson_flipped", "mean_flipped", _PEARSON + _FLIPPED, True, ("cam_pearson", "flipped")),
    ("cam_pearson_unflipped", "mean_unflipped", _PEARSON + _UNFLIPPED, True, ("cam_pearson", "flipped")),
    ("cam_pearson_random", "mean", _RANDOM.format("cam_pearson"), None, ("cam_pearson_random",)),
    ("cam_pearson_shuffled", "mean", _SHUFFLED.format("cam_pearson"), None, ("cam_pearson_shuffled",)),
    ("iinc", "mean", _IINC, False, ("cam_iinc",)),
    ("iinc_flipped", "mean_flipped", _IINC + _FLIPPED, False, ("cam_iinc", "flipped")),
    ("iinc_unflipped", "mean_unflipped", _IINC + _UNFLIPPED, False, ("cam_iinc", "flipped")),
    ("iinc_random", "mean", _RANDOM.format("iinc"), None, ("cam_iinc_random",)),
    ("iinc_shuffled", "mean", _SHUFFLED.format("iinc"), None, ("cam_iinc_shuffled",)),
    (
        "iinc_consistency",
        "iinc_consistency",
        "1 - IINC; papers tabulate it as IINC, higher is better",
        True,
        ("cam_iinc",),
    ),
    ("cam_top10_iou", "mean", _IOU, True, ("cam_iou",)),
    ("cam_top10_iou_random", "mean", _RANDOM.format("cam_top10_iou"), None, ("cam_iou_random",)),
    ("cam_top10_iou_shuffled", "mean", _SHUFFLED.format("cam_top10_iou"), None, ("cam_iou_shuffled",)),
    (
        "cam_degenerate",
        "degenerate",
        "share of empty Grad-CAM maps, before or after",
        None,
        ("cam_empty_clean", "cam_empty"),
    ),
    ("flip_rate", "share", "share of predictions that changed, rightly or wrongly", False, ("flipped",)),
)


@hookimpl
def dfbench_metrics() -> Iterable[MetricSpec]:
    """Threshold metrics, ranking metrics, the floors of constant answers, and counts; attention under attack."""
    for name, module, summary, higher_is_better in _METRICS:
        yield MetricSpec(name, f"dfbench_metrics.{module}:{name}", summary, higher_is_better=higher_is_better)
    for name, function, summary, higher_is_better, columns in _ATTENTION:
        target = f"dfbench_metrics.attention:{function}"
        yield MetricSpec(name, target, summary, higher_is_better=higher_is_better, columns=columns)
