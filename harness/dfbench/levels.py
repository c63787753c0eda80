"""From scores of samples to scores of videos, and to the rows of one manipulation."""

from __future__ import annotations

import pandas as pd

from dfbench.contracts import FAKE, REAL


def per_video(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean score of each video.

    A video is known by its data set, label, manipulation and name, so that equal names of different manipulations stay
    apart: 140 real videos and the four fakes of each are 700.

    Args:
        frame: a row per sample, with ``video, manipulation, label, score``, and ``data`` where it holds several sets.

    Returns:
        A row per video, in order of appearance: the same columns, where ``score`` is the mean over its samples and
        ``video`` remains the cluster of the bootstrap, and ``frames``, the number of its samples.
    """
    known_by = [name for name in ("data", "label", "manipulation", "video") if name in frame.columns]
    videos = frame.groupby(known_by, sort=False)["score"].agg(["mean", "size"]).reset_index()
    return videos.rename(columns={"mean": "score", "size": "frames"})


def manipulations(frame: pd.DataFrame) -> list[str]:
    """The manipulations of the fakes, by name."""
    return sorted(frame.loc[frame["label"] == FAKE, "manipulation"].unique())


def of_manipulation(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The fakes of one manipulation, and all real samples: ``video, manipulation, label, score`` of each."""
    chosen = (frame["label"] == REAL) | (frame["manipulation"] == name)
    return frame.loc[chosen, ["video", "manipulation", "label", "score"]].reset_index(drop=True)
