"""Records that were doctored after the run: ``dfbench audit`` must tell what was done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfbench import checkpoint
from dfbench.progress import Silent
from dfbench.recheck.chosen import check_thresholds
from dfbench.recheck.finding import Report
from dfbench.recheck.opened import open_run
from dfbench.recheck.rederive import rederive
from dfbench.recheck.run import audit_run
from dfbench.registry import load_registry
from dfbench.thresholds import freeze

from .fault import Fault, Findings, Ground

Record = dict[str, Any]
NUMBERS = ("n", "metrics", "undefined", "intervals", "versus_baseline", "attack_success", "perturbation", "video")


def audited(folder: Path) -> list[str]:
    return [str(finding) for finding in audit_run(folder, load_registry(), Silent()).findings]


def of_record(change: Callable[[Record], None]) -> Findings:
    """What is found after a change of the record."""

    def findings(ground: Ground) -> list[str]:
        folder = ground.copy_of_run()
        record = json.loads((folder / "record.json").read_text())
        change(record)
        (folder / "record.json").write_text(json.dumps(record))
        return audited(folder)

    return findings


def of_scores(change: Callable[[pd.DataFrame, Record], pd.DataFrame], *, consistent: bool = True) -> Findings:
    """What is found after a change of the scores; ``consistent``: the record's numbers are made to follow from them."""

    def findings(ground: Ground) -> list[str]:
        folder = ground.copy_of_run()
        record = json.loads((folder / "record.json").read_text())
        change(pd.read_parquet(folder / "scores.parquet"), record).to_parquet(folder / "scores.parquet")
        if consistent:
            opened = open_run(folder)
            derived = rederive(load_registry(), opened, check_thresholds(opened, Report("")), Silent())
            for cell, ours in zip(record["cells"], derived["cells"], strict=True):
                cell.update({key: ours[key] for key in NUMBERS})
            record["curves"] = derived["curves"]
            (folder / "record.json").write_text(json.dumps(record))
        return audited(folder)

    return findings


def of_folder(change: Callable[[Path, Record], None]) -> Findings:
    """What is found after a change of the files beside the record."""

    def findings(ground: Ground) -> list[str]:
        folder = ground.copy_of_run()
        record = json.loads((folder / "record.json").read_text())
        change(folder, record)
        (folder / "record.json").write_text(json.dumps(record))
        return audited(folder)

    return findings


def sound(ground: Ground) -> list[str]:
    """The same run as it was written."""
    return ground.findings_of_run


def cell(record: Record, defense: str, attack: str) -> int:
    """The number of a cell; of a sweep of eps the last one."""
    return max(
        number
        for number, one in enumerate(record["cells"])
        if one["defense"].startswith(defense) and one["attack"].startswith(attack)
    )


def metrics(record: Record, defense: str, attack: str) -> dict[str, Any]:
    found: dict[str, Any] = record["cells"][cell(record, defense, attack)]["metrics"]
    return found


# --- the record -------------------------------------------------------------------------------------------------


def binary_f1(record: Record) -> None:
    for one in record["cells"]:
        one["metrics"]["f1_macro"] = one["metrics"]["f1_fake"]


def hard_auc(record: Record) -> None:
    for one in record["cells"]:
        one["metrics"]["auc"] = one["metrics"]["balanced_accuracy"]


def batches(record: Record) -> None:
    for one in record["cells"]:
        for name in ("tp", "fp", "tn", "fn", "n"):
            one["metrics"][name] //= 4


def lost_counts(record: Record) -> None:
    metrics(record, "none", "pgd")["fn"] -= 2


def accuracy(record: Record) -> None:
    metrics(record, "pim", "pgd")["accuracy"] += 1 / 24


def another_cells(record: Record) -> None:
    metrics(record, "none", "pgd")["ece"] = metrics(record, "none", "none")["ece"]


def interval(record: Record) -> None:
    low, high = record["cells"][cell(record, "none", "pgd")]["intervals"]["accuracy"]
    record["cells"][cell(record, "none", "pgd")]["intervals"]["accuracy"] = [low + 0.1, high]


def difference(record: Record) -> None:
    versus = record["cells"][cell(record, "pim", "pgd")]["versus_baseline"]["difference"]["accuracy"]
    versus["p"] = versus["p"] / 100


def area(record: Record) -> None:
    record["curves"][-1]["nauc"]["accuracy"]["value"] += 0.05


def on_test(folder: Path, record: Record) -> None:
    scores = pd.read_parquet(folder / "scores.parquet")
    rows = scores[scores["cell"] == cell(record, "none", "none")]
    chosen = freeze(rows, video_level=False)
    entry = next(one for one in record["training"] if one["defense"].startswith("none"))
    entry["thresholds"] = {"samples": dict(chosen["samples"]), "videos": None}


def on_training_split(record: Record) -> None:
    record["config"]["split"] = "train"
    for one in record["cells"]:
        one["split"] = "train"


def undeclared_terms(folder: Path, record: Record) -> None:
    """The baseline's recipe, wherever it is told, is another than that of the defense."""
    plan = next(one for one in record["config"]["defenses"] if one["label"].startswith("none"))
    entry = next(one for one in record["training"] if one["defense"] == plan["label"])
    plan["recipe"]["label_smoothing"] = entry["recipe"]["label_smoothing"] = 0.0


def alpha(folder: Path, record: Record) -> None:
    """The checkpoint was trained with alpha = 1, the record says 0.5."""
    entry = next(one for one in record["training"] if one["defense"].startswith("pim"))
    file = folder / entry["checkpoint"]
    about = checkpoint.load_metadata(file)
    about["defense"]["objectives"][0]["params"]["alpha"] = 1.0
    checkpoint.save(file, checkpoint.load_tensors(file), about)


def label_of_alpha(record: Record) -> None:
    plan = next(one for one in record["config"]["defenses"] if one["label"].startswith("pim"))
    plan["objectives"][0]["params"]["alpha"] = 1.0


def transfer(folder: Path, record: Record) -> None:
    """The attacker that was fitted to the baseline stands in for the one that meets the defended detector."""
    ours, theirs = (
        next(one for one in record["attackers"] if one["defense"].startswith(name)) for name in ("pim", "none")
    )
    (folder / ours["file"]).write_bytes((folder / theirs["file"]).read_bytes())


def unfitted(record: Record) -> None:
    record["attackers"] = [one for one in record["attackers"] if one["defense"].startswith("none")]


def hidden_skips(folder: Path, record: Record) -> None:
    """Most steps were skipped, as the log tells and the record does not."""
    entry = next(one for one in record["training"] if one["defense"].startswith("pim"))
    rows = [json.loads(line) for line in (folder / entry["log"]).read_text().splitlines()]
    for row in rows:
        row["skipped_steps"] = row["steps"] - 1
    (folder / entry["log"]).write_text("".join(json.dumps(row) + "\n" for row in rows))


def nan_losses(folder: Path, record: Record) -> None:
    entry = next(one for one in record["training"] if one["defense"].startswith("pim"))
    rows = [json.loads(line) for line in (folder / entry["log"]).read_text().splitlines()]
    for row in rows:
        row["loss"]["pgd"] = float("nan")
    (folder / entry["log"]).write_text("".join(json.dumps(row) + "\n" for row in rows))


def other_epoch(folder: Path, record: Record) -> None:
    """The epoch that was kept is not the one that validation chose."""
    entry = next(one for one in record["training"] if one["defense"].startswith("none"))
    rows = [json.loads(line) for line in (folder / entry["log"]).read_text().splitlines()]
    rows[(entry["epoch_kept"] + 1) % len(rows)]["validation"]["auc"] = 1.5
    (folder / entry["log"]).write_text("".join(json.dumps(row) + "\n" for row in rows))


def allowed_leak(record: Record) -> None:
    record["warnings"].insert(0, "LEAK: 3 videos are in both train and test")


def two_sets(record: Record) -> None:
    record["eval_data"][0]["fingerprint"] = "f" * 64


def whitewashed(record: Record) -> None:
    """A check found something, and the verdict is reliable all the same."""
    verdict = record["cells"][cell(record, "pim", "pgd")]["verdict"]
    verdict["checks"][0].update(status="found", message="the gradient is zero for 40% of the samples")


# --- the scores -------------------------------------------------------------------------------------------------


def probabilities(rows: pd.DataFrame, p: np.ndarray) -> pd.DataFrame:
    """The rows with these scores, and logits that give them."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    fake = np.log(p / (1 - p)).astype(np.float32)
    return rows.assign(score=1 / (1 + np.exp(-fake.astype(float))), logit_real=np.float32(0), logit_fake=fake)


def changed(defense: str, attack: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Any:
    """A change of the rows of one cell."""

    def of_all(scores: pd.DataFrame, record: Record) -> pd.DataFrame:
        number = cell(record, defense, attack)
        parts = [change(rows) if key == number else rows for key, rows in scores.groupby("cell", sort=True)]
        return pd.concat(parts, ignore_index=True)

    return of_all


def flipped(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(label=np.where(rows["id"] == rows["id"].iloc[0], 1 - rows["label"], rows["label"]))


def without_the_hard(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["score"] >= 0.5) == (rows["label"] == 1)]


def copied(scores: pd.DataFrame, record: Record) -> pd.DataFrame:
    """The scores of the clean images stand in for those under attack."""
    clean = scores[scores["cell"] == cell(record, "none", "none")]
    attacked = scores["cell"] == cell(record, "none", "pgd")
    for column in ("score", "logit_real", "logit_fake"):
        scores.loc[attacked, column] = clean[column].to_numpy()
    return scores


def beyond(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(linf=2 * rows["linf"])


def touched(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(linf=1e-3, l2=1e-2)


def by_hand(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores that were lifted to the right side, without their logits."""
    right = np.where(rows["label"] == 1, np.maximum(rows["score"], 0.6), np.minimum(rows["score"], 0.4))
    return rows.assign(score=right)


def not_numbers(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(score=np.nan)


def trained_on(scores: pd.DataFrame, record: Record) -> pd.DataFrame:
    """Every image a second time, as the training split has twice as many."""
    return pd.concat([scores, scores.assign(id="train/" + scores["id"])]).sort_values("cell", kind="stable")


def validated_on(folder: Path, record: Record) -> None:
    """The validation samples are the evaluated ones."""
    validation = pd.read_parquet(folder / "validation.parquet")
    scores = pd.read_parquet(folder / "scores.parquet")
    known = scores.drop_duplicates("id")[["video"]].head(validation["id"].nunique())
    names = dict(zip(validation["id"].unique(), known["video"], strict=True))
    validation["video"] = validation["id"].map(names)
    validation.to_parquet(folder / "validation.parquet")


AUDIT = "dfbench audit"
RIGHT, WRONG = 0.9, 0.1

FAULTS = [
    Fault("F1 of fake under the name macro-F1", "every macro-F1 of a record is the F1 of fake", AUDIT,
          r"f1_macro does not follow from the scores, it is f1_fake", of_record(binary_f1), sound),
    Fault("AUC from hard labels", "every AUC of a record is computed from decisions", AUDIT,
          r"AUC from hard labels", of_record(hard_auc), sound),
    Fault("decisions stored as scores", "the scores of a cell take two values", AUDIT,
          r"the scores take only two values",
          of_scores(changed("none", "none", lambda rows: probabilities(
              rows, np.where(rows["score"] >= 0.5, RIGHT, WRONG)))), sound),
    Fault("batches counted as samples", "the counts of a record are of batches of 4", AUDIT,
          r"samples are counted|are not the counts of its \d+ samples", of_record(batches), sound),
    Fault("counts that do not add up", "two missed fakes are left out of the confusion matrix", AUDIT,
          r"tp \+ fp \+ tn \+ fn do not add up to n", of_record(lost_counts), sound),
    Fault("an accuracy that was improved", "one more sample counted as right under attack", AUDIT,
          r"accuracy is not what the counts give", of_record(accuracy), sound),
    Fault("a number of another cell", "the ECE under attack is that of the clean cell", AUDIT,
          r"ece does not follow from the scores, it is that of clean", of_record(another_cells), sound),
    Fault("an interval that was narrowed", "the lower end of an interval raised", AUDIT,
          r"intervals: accuracy does not follow from the scores", of_record(interval), sound),
    Fault("a p that was lowered", "the p of a difference divided by 100", AUDIT,
          r"versus baseline: difference accuracy p does not follow from the scores", of_record(difference), sound),
    Fault("an area that was enlarged", "the area under a curve over eps raised by 0.05", AUDIT,
          r"nauc: accuracy value does not follow from the scores", of_record(area), sound),
    Fault("threshold chosen on test", "thresholds frozen on the evaluated scores", AUDIT,
          r"does not follow from the validation scores: it was chosen on the evaluated split",
          of_folder(on_test), sound),
    Fault("evaluated on the training split", "an \"in-domain\" record of the split that was trained on", AUDIT,
          r"evaluated on the split that they were trained on", of_record(on_training_split), sound),
    Fault("other samples than the split's", "the scores hold training images beside the test images", AUDIT,
          r"the scores are not of the samples that the data set had", of_scores(trained_on), sound),
    Fault("validation on test videos", "validation and test samples of the same videos", AUDIT,
          r"videos of the evaluated split are in the validation split too", of_folder(validated_on), sound),
    Fault("a leak that was allowed", "a record whose run was told to train on leaky splits", AUDIT,
          r"LEAK: 3 videos are in both train and test", of_record(allowed_leak), sound),
    Fault("two data sets under one name", "the evaluated data have another fingerprint", AUDIT,
          r"it has two fingerprints", of_record(two_sets), sound),
    Fault("a constant predictor's accuracy", "a detector that answers fake always, without a warning", AUDIT,
          r"answers fake to every image, and no warning of the record says so",
          of_scores(changed("none", "none", lambda rows: probabilities(
              rows, 0.6 + 0.3 * rows["score"].to_numpy()))), sound),
    Fault("a label flip in a record", "one label of one cell is the other one", AUDIT,
          r"labels of 1 samples differ from those in clean",
          of_scores(changed("none", "pgd", flipped), consistent=False), sound),
    Fault("hard samples left out", "a cell without the samples that it got wrong", AUDIT,
          r"other samples than in clean",
          of_scores(changed("none", "pgd", without_the_hard), consistent=False), sound),
    Fault("scores of clean images under attack", "the rows of the clean cell copied to an attacked one", AUDIT,
          r"its scores are those of clean", of_scores(copied), sound),
    Fault("scores that were edited", "wrong scores moved across the threshold", AUDIT,
          r"are not the softmax of the logits beside them", of_scores(changed("none", "pgd", by_hand)), sound),
    Fault("scores that are not numbers", "NaN in every score of a cell", AUDIT,
          r"scores are NaN or infinite", of_scores(changed("none", "pgd", not_numbers), consistent=False), sound),
    Fault("a perturbation above eps", "rows whose perturbation is twice the bound", AUDIT,
          r"the perturbation of \d+ samples exceeds eps".replace(r"\d+", "24"),
          of_scores(changed("none", "pgd", beyond)), sound),
    Fault("an attack in the clean cell", "clean rows with a perturbation", AUDIT,
          r"where no attack was", of_scores(changed("none", "none", touched)), sound),
    Fault("unequal terms, undeclared", "the baseline trained without label smoothing, the defense with it", AUDIT,
          r"trained unlike its baseline, which the record does not declare: label_smoothing",
          of_folder(undeclared_terms), sound),
    Fault("another alpha than reported", "alpha = 0.5 in the record, 1.0 in the checkpoint", AUDIT,
          r"pim: alpha of the checkpoint is another than the record says", of_folder(alpha), sound),
    Fault("a label that tells another alpha", "the label implies alpha = 0.5, the configuration has 1.0", AUDIT,
          r"alpha was not its default, which the label implies", of_record(label_of_alpha), sound),
    Fault("a transfer attacker as white-box", "the attacker's file is the one fitted to the baseline", AUDIT,
          r"was fitted to another detector", of_folder(transfer), sound),
    Fault("an attacker that was never fitted", "a learned attack's row without an attacker of its own", AUDIT,
          r"its attacker was not fitted to this detector", of_record(unfitted), sound),
    Fault("skipped steps, undeclared", "a log in which nearly every step was skipped", AUDIT,
          r"skipped_steps of the training log is another than the record says", of_folder(hidden_skips), sound),
    Fault("NaN losses passed off as training", "a log whose loss on attacked images is NaN", AUDIT,
          r"the loss pgd was not finite: it trained nothing", of_folder(nan_losses), sound),
    Fault("another epoch than validation chose", "a log in which a later epoch validates better", AUDIT,
          r"the kept epoch is not the one that validation chose", of_folder(other_epoch), sound),
    Fault("a verdict that was whitewashed", "reliable, although a check found zero gradients", AUDIT,
          r"its verdict is reliable, which does not follow from its checks", of_record(whitewashed), sound),
]  # fmt: skip
