"""What all jobs came to: the manifest of crops, the counts, and what a reader must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dfbench.contracts import CLASS_NAMES, SPLITS
from dfbench.corpus import Clip, Survey
from dfbench.preparation.job import Job

COUNTED = ("clips", "failed", "frames", "faceless", "crops")


def assemble(
    jobs: Sequence[Job], outcomes: Mapping[str, Mapping[str, Any]]
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, str]]]:
    """The manifest (a row per crop), the counts per split, class and manipulation, and the clips without a crop.

    Splits, labels and identities are those of the present survey, so that a mended split file needs no new crops.
    """
    rows: list[dict[str, Any]] = []
    counts: dict[tuple[str, int, str], Counter[str]] = {}
    failed = []
    for job in jobs:
        clips = {clip.video: clip for clip in job.clips}
        for about in outcomes[job.name]["clips"]:
            clip = clips[about["video"]]
            reason = about["reason"] or ("" if about["found"] else f"no face in any of {about['sampled']} frames")
            group = counts.setdefault((clip.split, clip.label, clip.manipulation), Counter())
            group.update(clips=1, frames=about["sampled"], faceless=about["sampled"] - about["found"])
            group.update(crops=about["found"], failed=bool(reason))
            failed += [{"video": clip.video, "reason": reason}] if reason else []
        rows += [_row(clips[row["video"]], row, f"shards/{job.name}.npy") for row in outcomes[job.name]["rows"]]
    table = [
        {"split": split, "class": CLASS_NAMES[label], "manipulation": manipulation, **{k: n[k] for k in COUNTED}}
        for (split, label, manipulation), n in sorted(
            counts.items(), key=lambda item: (SPLITS.index(item[0][0]), item[0])
        )
    ]
    return pd.DataFrame(rows), pd.DataFrame(table), failed


def _row(clip: Clip, row: Mapping[str, Any], shard: str) -> dict[str, Any]:
    return {
        "id": clip.video if clip.is_image else f"{clip.video}/{row['frame']:05d}",
        "video": clip.video,
        "frame": row["frame"],
        "label": clip.label,
        "manipulation": clip.manipulation,
        "source_identity": clip.source_identity,
        "target_identity": clip.target_identity,
        "split": clip.split,
        "box": [float(value) for value in row["box"]],
        "landmarks": [float(value) for point in row["landmarks"] for value in point],
        "score": row["score"],
        "sha256": row["sha256"],
        "phash": row["phash"],
        "shard": shard,
        "row": row["row"],
    }


def notes(survey: Survey, counts: pd.DataFrame, failed: Sequence[Mapping[str, str]]) -> list[str]:
    """What a reader of numbers measured on the crops must know."""
    found = list(survey.notes)
    if survey.missing:
        found.append(
            f"parts of the official release are missing, e.g. {survey.missing[0]}: dfbench data check lists all"
        )
    if failed:
        example = f"{failed[0]['video']}: {failed[0]['reason']}"
        found.append(f"{len(failed)} of {counts['clips'].sum()} clips gave no crop, e.g. {example}")
    crops = counts.groupby(["split", "class"])["crops"].sum()
    for split in counts["split"].unique():
        found += [f"the {split} split has no {name} crops" for name in CLASS_NAMES if not crops.get((split, name), 0)]
    if faceless := int(counts["faceless"].sum()):
        found.append(f"{faceless} of {counts['frames'].sum()} frames do not show the main face and were left out")
    return found
