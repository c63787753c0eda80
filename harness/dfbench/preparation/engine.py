"""All jobs of a corpus: which are done, the worker processes, the manifest, and what it all came to."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dfbench.contracts import Progress
from dfbench.corpus import Clip, Corpus
from dfbench.errors import ContractError, DataError, UsageError
from dfbench.keys import core_version, digest
from dfbench.preparation.job import Job, Settings
from dfbench.preparation.manifest import assemble, notes
from dfbench.preparation.pool import carry_out
from dfbench.prepared import FORMAT, fingerprint, shard_bytes
from dfbench.store import storage_errors, write_atomic, write_text

IMAGES_PER_JOB = 64

_NAME = re.compile(r"[\w .@+=,()-]+(/[\w .@+=,()-]+)*")

_CODE = ("preparation/video", "preparation/track", "preparation/crop", "preparation/job", "faces", "images", "phash")


@dataclass(frozen=True)
class Report:
    """What a preparation came to.

    Args:
        counts: a row per split, class and manipulation: clips, clips without a crop, frames looked at, frames without
            the main face, crops.
        failed: clips without a crop, with the reason.
        fingerprint: of the prepared set.
        notes: the survey's, and what the download lacked.
        frames: frames looked at in this run (not those found done).
        seconds: how long this run took.
        resumed: clips that an earlier run had finished.
    """

    counts: pd.DataFrame
    failed: list[dict[str, str]]
    fingerprint: str
    notes: list[str]
    frames: int
    seconds: float
    resumed: int


def prepare_corpus(
    name: str, corpus: Corpus, out: Path, settings: Settings, *, workers: int, progress: Progress
) -> Report:
    """Turn a corpus into a folder of crops that :class:`dfbench.prepared.PreparedSet` reads.

    Jobs that ``out`` already holds, made with the same settings from files of the same size and time, are kept.

    Args:
        name: the data set's name.
        corpus: the download.
        out: the folder to make or to complete.
        settings: how crops are made.
        workers: processes.
        progress: where progress is shown.

    Raises:
        DataError: the corpus cannot be used, or not one crop came of it.
        UsageError: ``out`` holds crops made otherwise.
        StorageError: ``out`` cannot be written, or the disk is full.
    """
    survey = corpus.survey()
    if survey.errors:
        raise DataError(f"{name}: {'; '.join(survey.errors)} (dfbench data check {name} tells more)")
    if not survey.clips:
        raise DataError(f"{name}: no clips found: dfbench data check {name} tells what is missing")
    if settings.codec and any(clip.is_image for clip in survey.clips):
        raise UsageError(f"{name} is made of images: leave --recompress out, and give the run --corruption instead")
    recipe = describe(name, corpus, settings)
    _claim(out, recipe)
    code = {"code": core_version(*_CODE), "detector": settings.detector.identity(), "recipe": recipe}
    if settings.codec:
        code["codec"] = settings.codec.identity()
    jobs = _jobs(survey.clips, digest(code))
    started = time.monotonic()
    outcomes = {job.name: done for job in jobs if (done := _finished(out / "shards", job, settings.size))}
    resumed = sum(len(outcome["clips"]) for outcome in outcomes.values())
    todo = [job for job in jobs if job.name not in outcomes]
    if todo:  # until all is done again, nobody shall read new shards by the old manifest
        (out / "prepared.json").unlink(missing_ok=True)
    looked = 0
    with progress.task("clips", len(survey.clips)) as advance:
        advance(resumed, f"{resumed} done before" if resumed else "")
        for job, outcome in carry_out(todo, settings, out / "shards", workers):
            outcomes[job.name] = outcome
            looked += sum(clip["sampled"] for clip in outcome["clips"])
            advance(len(job.clips), f"{looked / (time.monotonic() - started):.1f} frames/s")
    seconds = time.monotonic() - started
    manifest, counts, failed = assemble(jobs, outcomes)
    if manifest.empty:
        raise DataError(f"{name}: not one face was found; the first clip: {failed[0]['video']}: {failed[0]['reason']}")
    remarks = notes(survey, counts, failed)
    mark = fingerprint(recipe, manifest)
    write_atomic(out / "manifest.parquet", lambda path: manifest.to_parquet(path, index=False))
    about = {
        "format": FORMAT,
        "dataset": name,
        "size": settings.size,
        "preparation": recipe,
        "fingerprint": mark,
        "failed": failed,
        "notes": remarks,
    }
    write_text(out / "prepared.json", json.dumps(about, indent=1) + "\n")
    return Report(counts, failed, mark, remarks, looked, seconds, resumed)


def describe(name: str, corpus: Corpus, settings: Settings) -> dict[str, Any]:
    """How crops are made, as plain data: part of their fingerprint and of every record."""
    codec = settings.codec.build() if settings.codec else None
    return {
        "dataset": name,
        "compression": corpus.compression,
        "recompress": (codec.clip_label or settings.codec.label) if codec and settings.codec else "",
        "frames": settings.frames,
        "detector": settings.detector.label,
        "size": settings.size,
        "margin": settings.margin,
        "align": settings.align,
    }


def _claim(out: Path, recipe: dict[str, Any]) -> None:
    """Mark ``out`` as being made this way; refuse it if it was begun in another."""
    file = out / "preparation.json"
    if file.is_file():
        try:
            begun = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{file} is damaged ({error}): delete {out} and prepare it again") from None
        changed = [
            f"{key} {begun.get(key)!r}, now {value!r}" for key, value in recipe.items() if begun.get(key) != value
        ]
        if changed:
            raise UsageError(f"{out} holds crops made otherwise ({'; '.join(changed)}): choose another --out")
    elif out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty and holds no prepared data: choose another --out")
    with storage_errors(out):
        (out / "shards").mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(recipe, indent=1) + "\n")


def _jobs(clips: Sequence[Clip], code: str) -> list[Job]:
    """Videos one by one, images 64 together. A job's key tells files, settings and code.

    Raises:
        ContractError: the corpus gave two clips one name, or a name that is no place below a folder.
    """
    names = Counter(clip.video for clip in clips)
    for name, count in names.items():
        if count > 1 or not _NAME.fullmatch(name) or ".." in name or name.startswith(("images/", "/")):
            raise ContractError(
                f"the corpus names {count} clips {name!r}: names must be unique, like Deepfakes/519_515"
            )
    images = [clip for clip in clips if clip.is_image]
    packs: list[tuple[str, tuple[Clip, ...]]] = [(clip.video, (clip,)) for clip in clips if not clip.is_image]
    packs += [
        (f"images/{start // IMAGES_PER_JOB:05d}", tuple(images[start : start + IMAGES_PER_JOB]))
        for start in range(0, len(images), IMAGES_PER_JOB)
    ]
    return [Job(name, pack, digest([code, [_file(clip) for clip in pack]])) for name, pack in packs]


def _file(clip: Clip) -> list[Any]:
    try:
        status = clip.path.stat()
    except OSError:  # a dangling link, say: the job will tell
        return [clip.video]
    return [clip.video, status.st_size, status.st_mtime_ns]


def _finished(shards: Path, job: Job, size: int) -> dict[str, Any] | None:
    """The outcome of a job that is done. A clip that failed is tried again: its cause may have gone."""
    try:
        outcome: dict[str, Any] = json.loads((shards / f"{job.name}.json").read_text(encoding="utf-8"))
        if outcome["key"] != job.key or any(clip["reason"] for clip in outcome["clips"]):
            return None
    except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: to be done
        return None
    shard = shards / f"{job.name}.npy"
    whole = shard.is_file() and shard.stat().st_size == shard_bytes(len(outcome["rows"]), size)
    return outcome if not outcome["rows"] or whole else None
