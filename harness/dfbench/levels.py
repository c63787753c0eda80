"""From scores of samples to scores of videos, to the rows of one manipulation, and to what belongs together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dfbench.contracts import FAKE, REAL

BY_VIDEO, BY_IDENTITY = "video", "identity"

FEWEST = 20
"""Groups of people below which intervals are clustered by video: the bootstrap of a handful of clusters is too narrow
(Cameron, Gelbach and Miller, Rev. Econ. Stat. 90, 2008, find it so for 5 to 30)."""

_METHOD = "percentile bootstrap, clustered by "


def per_video(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean score of each video.

    A video is known by its data set, label, manipulation and name, so that equal names of different manipulations stay
    apart: 140 real videos and the four fakes of each are 700.

    Args:
        frame: a row per sample, with ``video, manipulation, label, score``, and ``data`` where it holds several sets.

    Returns:
        A row per video, in order of appearance: the same columns (and ``cluster``, which is the same for all frames of
        a video), where ``score`` is the mean over its samples, and ``frames``, the number of its samples.
    """
    known_by = [name for name in ("data", "label", "manipulation", "video", "cluster") if name in frame.columns]
    videos = frame.groupby(known_by, sort=False)["score"].agg(["mean", "size"]).reset_index()
    return videos.rename(columns={"mean": "score", "size": "frames"})


def manipulations(frame: pd.DataFrame) -> list[str]:
    """The manipulations of the fakes, by name."""
    return sorted(frame.loc[frame["label"] == FAKE, "manipulation"].unique())


def of_manipulation(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The fakes of one manipulation, and all real samples: what is known of each, its score and what it was called."""
    chosen = (frame["label"] == REAL) | (frame["manipulation"] == name)
    known = ("video", "cluster", "manipulation", "label", decided_by(frame))
    kept = [column for column in frame.columns if column in known or column.startswith("called_")]
    return frame.loc[chosen, kept].reset_index(drop=True)


def decided_by(frame: pd.DataFrame) -> str:
    """The column that tells what each sample is taken for: ``worst_score`` under an attack that stops at the first
    success (``Attack.worst_case``), else ``score``."""
    return "worst_score" if "worst_score" in frame.columns else "score"


def right(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which samples are taken for what they are (n,)."""
    answers: NDArray[np.bool_] = (frame[decided_by(frame)].to_numpy() >= 0.5) == (frame["label"].to_numpy() == FAKE)
    return answers


def clusters(frame: pd.DataFrame, by: str = "") -> tuple[list[str], str]:
    """Which samples belong together, so that the bootstrap draws them together.

    Samples of one video do, and so do those that share a person, directly or through others: the groups are the
    connected components over ``video`` and ``identities``. Where these tell little apart, samples are clustered by
    video alone: with fewer than ``FEWEST`` groups in effect, counted for reals and for fakes by (sum n)^2 / sum n^2,
    which is the number of groups where all are of one size n (Kish, Survey Sampling, 1965).

    Args:
        frame: ``video`` and ``label`` of each sample and, where the data set tells people, ``identities``, joined by
            ``|``.
        by: ``video``: whatever people they share.

    Returns:
        The cluster of each sample, and ``identity``, or ``video`` where the groups are the videos.
    """
    videos = frame["video"].astype(str)
    if by == BY_VIDEO or "identities" not in frame.columns:
        return videos.tolist(), BY_VIDEO
    groups = _people(frame)
    if groups.nunique() == videos.nunique() or _effective(groups, frame["label"]) < FEWEST:
        return videos.tolist(), BY_VIDEO
    return groups.tolist(), BY_IDENTITY


def interval_method(frames: Mapping[str, pd.DataFrame]) -> str:
    """How the intervals of a run are made, for its record.

    Args:
        frames: by evaluated data set, the frame of any of its cells.
    """
    used: dict[str, list[str]] = {}
    for name, frame in frames.items():
        used.setdefault(_told(frame), []).append(name)
    if len(used) < 2:
        return _METHOD + next(iter(used), BY_VIDEO)
    return _METHOD + ", ".join(f"{how} on {' and '.join(names)}" for how, names in used.items())


def recorded(method: str) -> str:
    """The ``by`` for :func:`clusters` that gives the clusters of a record again, from how its intervals were made."""
    return "" if BY_IDENTITY in method else BY_VIDEO


def _told(frame: pd.DataFrame) -> str:
    """By what the samples of one data set are clustered, and why where they share people all the same."""
    _, by = clusters(frame)
    if by == BY_VIDEO and "identities" in frame.columns and _people(frame).nunique() < frame["video"].nunique():
        return f"{BY_VIDEO} (groups of samples that share people would be fewer than {FEWEST} in effect)"
    return by


def _people(frame: pd.DataFrame) -> pd.Series[str]:
    """The group of each sample, called by the first of its videos in alphabetical order."""
    frame = frame.reset_index(drop=True)
    number, names = pd.factorize(frame["video"].astype(str), sort=True)
    told = frame["identities"].fillna("").str.split("|").explode()
    told = told[told != ""]
    people, known = pd.factorize(told)
    size = len(names) + len(known)
    edges = coo_matrix((np.ones(len(told)), (number[told.index], len(names) + people)), shape=(size, size))
    _, group = connected_components(edges, directed=False)
    first = pd.Series(names).groupby(group[: len(names)]).transform("min")
    return pd.Series(first.to_numpy()[number])


def _effective(groups: pd.Series[str], label: pd.Series[int]) -> float:
    """How many groups there are in effect, of the class that has fewer."""
    counts: Iterator[pd.Series[int]] = (members.value_counts() for _, members in groups.groupby(label.to_numpy()))
    return min(float(count.sum() ** 2 / (count**2).sum()) for count in counts)
