"""The built-in metrics: of per-sample scores and decisions, and of attention under attack where a run measures it."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import MetricSpec

_METRICS: tuple[tuple[str, str, str, bool | None], ...] = (
    ("accuracy", "threshold", "share of samples classified rightly at threshold 0.5", True),
    ("accuracy_fake", "threshold", "share of fakes called fake; under attack: evasion (fake to real) withstood", True),
    ("accuracy_real", "threshold", "share of reals called real; under attack: framing (real to fake) withstood", True),
    ("balanced_accuracy", "threshold", "mean of the shares of real and of fake samples classified rightly", True),
    ("f1_macro", "threshold", "mean of F1_real and F1_fake", True),
    ("f1_real", "threshold", "F1 with real as the positive class", True),
    ("f1_fake", "threshold", "F1 with fake as the positive class", True),
    ("auc", "ranking", "area under the ROC curve; a tie counts half", True),
    ("ap", "ranking", "average precision: sum of precision times step in recall, not interpolated", True),
    ("eer", "ranking", "equal error rate, on the ROC curve joined by straight lines", False),
    ("tpr_at_fpr_1pct", "ranking", "highest true-positive rate of a threshold with at most 1% false positives", True),
    ("ece", "calibration", "expected calibration error, 15 bins of the confidence in the predicted class", False),
    ("always_fake_accuracy", "threshold", "floor: accuracy of answering fake always", None),
    ("always_real_accuracy", "threshold", "floor: accuracy of answering real always", None),
    ("tp", "threshold", "count of fakes called fake", None),
    ("fp", "threshold", "count of reals called fake", None),
    ("tn", "threshold", "count of reals called real", None),
    ("fn", "threshold", "count of fakes called real", None),
    ("n", "threshold", "number of samples", None),
)

_TESTS = {"accuracy": "mcnemar", "auc": "delong", "ece": "none"}
"""By function, how two detectors are compared in it where samples are independent."""

_WORST = "worst-case {}: of what no member of an attack that stops at the first success turned wrong"
_FROZEN = "{}, at the threshold of {} on clean validation data"
_EER, _FPR = ("label", "called_eer"), ("label", "called_fpr_1pct")

_DECISIONS: tuple[tuple[str, str, str, bool, tuple[str, ...]], ...] = (
    ("worst_case_accuracy", "accuracy", _WORST.format("accuracy"), True, ("label", "worst_score")),
    ("worst_case_accuracy_fake", "accuracy_fake", _WORST.format("accuracy of fakes"), True, ("label", "worst_score")),
    ("worst_case_accuracy_real", "accuracy_real", _WORST.format("accuracy of reals"), True, ("label", "worst_score")),
    ("accuracy_at_frozen_eer", "accuracy", _FROZEN.format("accuracy", "equal error rates"), True, _EER),
    ("tpr_at_frozen_fpr_1pct", "accuracy_fake", _FROZEN.format("share of fakes called fake", "FPR 1%"), True, _FPR),
    ("fpr_at_frozen_fpr_1pct", "false_positive_rate", _FROZEN.format("share of reals called fake", "FPR 1%"), False,
     _FPR),
)  # fmt: skip
"""Metrics of ``threshold`` of other decisions than that of the score at 0.5."""

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
    """Threshold metrics, by direction too, ranking metrics, calibration, floors of constant answers and counts; the
    worst case and frozen thresholds; attention under attack."""
    for name, module, summary, higher_is_better in _METRICS:
        target, test = f"dfbench_metrics.{module}:{name}", _TESTS.get(name, "")
        yield MetricSpec(name, target, summary, higher_is_better=higher_is_better, test=test)
    for name, function, summary, higher, columns in _DECISIONS:
        target, test = f"dfbench_metrics.threshold:{function}", _TESTS.get(function, "")
        yield MetricSpec(name, target, summary, higher_is_better=higher, columns=columns, test=test)
    for name, function, summary, higher_is_better, columns in _ATTENTION:
        target = f"dfbench_metrics.attention:{function}"
        yield MetricSpec(name, target, summary, higher_is_better=higher_is_better, columns=columns)
