"""Data that would flatter every number: refused before training, or told by the checks of data."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dfbench.config import build_config
from dfbench.errors import DfbenchError
from dfbench.progress import Silent
from dfbench.recheck.traces import check_traces
from dfbench.registry import load_registry
from dfbench.rundata import RunData
from dfbench.store import Store

from .fault import Fault, Findings, Ground, write_faces

QUALITY = 75


def refused(make: Callable[[Path], str]) -> Findings:
    """With what a run refuses its data."""

    def findings(ground: Ground) -> list[str]:
        folder = ground.fresh()
        data = make(folder)
        config = build_config(load_registry(), models=["hybrid"], defenses=["none"], scenarios=[], data=[data])
        try:
            RunData(config.runs[0]).prepare(Store(folder / "cache"), Silent())
        except DfbenchError as error:
            return [str(error)]
        return []

    return findings


def listed(change: Callable[[pd.DataFrame], None]) -> Findings:
    """With what a run refuses a list of images: videos of two frames each, of a person each."""

    def make(folder: Path) -> str:
        write_faces(folder)
        files = sorted(folder.glob("*/*/*.png"))
        rows = pd.DataFrame({"path": [str(file.relative_to(folder)) for file in files]})
        rows["id"] = rows["path"]
        rows[["split", "label"]] = rows["path"].str.split("/", expand=True)[[0, 1]]
        rows["video"] = rows["split"] + "-" + rows["label"] + "-" + (rows.index // 2).astype(str)
        rows["target_identity"] = "of " + rows["video"]
        change(rows)
        rows.to_csv(folder / "list.csv", index=False)
        return f'manifest(path="{folder / "list.csv"}", size=64)'

    return refused(make)


def nothing(rows: pd.DataFrame) -> None:
    """Leaves a list as it is."""


def one_video(rows: pd.DataFrame) -> None:
    first, last = (rows.index[rows["split"] == split][0] for split in ("train", "test"))
    rows.loc[last, "video"] = rows.loc[first, "video"]


def one_person(rows: pd.DataFrame) -> None:
    first, last = (rows.index[rows["split"] == split][0] for split in ("train", "test"))
    rows.loc[rows["video"] == rows.loc[last, "video"], "target_identity"] = rows.loc[first, "target_identity"]


def equal_ids(rows: pd.DataFrame) -> None:
    """As crops that are called by their frame alone, so that one overwrites the other."""
    rows["id"] = rows["split"] + "/" + rows.groupby(["split", "label"]).cumcount().astype(str)


def faces(folder: Path) -> str:
    return f'folder(path="{write_faces(folder / "faces")}", size=64)'


def unreadable(folder: Path) -> str:
    data = faces(folder)
    file = next(iter(sorted((folder / "faces/test/fake").iterdir())))
    file.write_bytes(file.read_bytes()[:200])
    return data


def the_same_picture(folder: Path) -> str:
    data = faces(folder)
    source = next(iter(sorted((folder / "faces/train/fake").iterdir())))
    (folder / "faces/test/fake/another.png").write_bytes(source.read_bytes())
    return data


def compressed(*classes: str) -> Findings:
    """What the data audit says of the traces of compression, where the images of some classes were JPEG files once."""

    def findings(ground: Ground) -> list[str]:
        root = write_faces(ground.fresh())
        for file in [file for name in classes for file in root.glob(f"*/{name}/*.png")]:
            buffer = io.BytesIO()
            Image.open(file).save(buffer, "JPEG", quality=QUALITY)
            Image.fromarray(np.asarray(Image.open(buffer))).save(file)
        dataset = load_registry().component("dataset", f'folder(path="{root}", size=64)').build()
        dataset.prepare(str(ground.fresh()), Silent())
        return [
            str(finding)
            for split in ("train", "test")
            for finding in check_traces(dataset.split(split), split, Silent())
        ]

    return findings


def celebdf2(label: str) -> Findings:
    """What the check of a download says of a test list, in which 1 means real."""

    def findings(ground: Ground) -> list[str]:
        root = ground.fresh()
        names = ["Celeb-real/id0_0000", "Celeb-real/id1_0000", "YouTube-real/00000", "Celeb-synthesis/id0_id1_0000"]
        for name in names:
            file = root / f"{name}.mp4"
            file.parent.mkdir(exist_ok=True)
            file.touch()
        (root / "List_of_testing_videos.txt").write_text(f"1 {names[1]}.mp4\n{label} {names[3]}.mp4\n")
        return list(load_registry().corpus("celebdf2", root).survey().errors)

    return findings


RUN = "the run"

FAULTS = [
    Fault("a video split across sets", "frames of one video in train and test", RUN,
          r"1 videos are in both train and test", listed(one_video), listed(nothing)),
    Fault("a person in two splits", "one person's videos in train and test", RUN,
          r"1 identities are in both train and test", listed(one_person), listed(nothing)),
    Fault("one picture in two splits", "a training image under another name in test", RUN,
          r"crops of test are near-duplicates of crops in train", refused(the_same_picture), refused(faces)),
    Fault("equal names of different crops", "real and fake crops called by their frame number", RUN,
          r"listed more than once: give each image one id", listed(equal_ids), listed(nothing)),
    Fault("an unreadable image", "a PNG file that was cut short", RUN,
          r"1 of 88 images cannot be used", refused(unreadable), refused(faces)),
    Fault("JPEG applied to one class only", "fakes that were JPEG files once, saved as PNG", "dfbench data audit",
          r"the fake images were JPEG-compressed, the others were not", compressed("fake"), compressed("real", "fake")),
    Fault("a label flip in a list", "a fake that the official test list calls real", "dfbench data check",
          r"the label contradicts the folder", celebdf2("1"), celebdf2("0")),
]  # fmt: skip
