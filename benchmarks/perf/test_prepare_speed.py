"""``dfbench data prepare`` beside a plain loop of OpenCV and MTCNN, on genuine FaceForensics++ clips.

Give a folder with some, in the official layout: ``DFBENCH_FFPP=/data/few-clips make perf``. Both start from files and
end with crops; the plain loop reads each video through once, takes 96 evenly spaced frames and detects them one by one.
Ours starts its worker processes within the measured time. Afterwards the boxes are compared: one of the plain loop's
must agree with each of ours within 2 pixels, and no frame may be lost. (The plain loop takes the largest detection of a
frame for its face, which now and then is a tie or a shoulder.)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dfbench.corpus import Corpus
from dfbench.preparation.engine import prepare_corpus
from dfbench.preparation.job import Settings
from dfbench.preparation.video import spread
from dfbench.progress import Silent
from dfbench.registry import load_registry

ROOT = Path(os.environ.get("DFBENCH_FFPP") or Path(__file__).parents[2].parent / "shared" / "data" / "ffpp")
FRAMES, SIZE, MARGIN = 96, 224, 0.3
Boxes = dict[tuple[str, int], np.ndarray]
"""The boxes (n, 4) in each frame that shows a face, by clip and frame."""

pytestmark = [
    pytest.mark.skipif(not ROOT.is_dir(), reason="no FaceForensics++ clips: set DFBENCH_FFPP to their folder"),
    pytest.mark.benchmark(group=f"face crops from videos, {FRAMES} frames of each"),
]


def corpus() -> Corpus:
    return load_registry().corpus("ffpp", ROOT)


def plain_loop(out: Path) -> Boxes:
    import cv2
    from facenet_pytorch import MTCNN

    detector, boxes = MTCNN(keep_all=True), Boxes()
    for clip in corpus().survey().clips:
        capture = cv2.VideoCapture(str(clip.path))
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        wanted = set(spread(total, FRAMES))
        for index in range(total):
            capture.grab()
            if index not in wanted:
                continue
            frame = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            found, _ = detector.detect(frame)
            if found is None:
                continue
            boxes[clip.video, index] = found
            left, top, right, bottom = found[0]
            side = min(max(right - left, bottom - top) * (1 + MARGIN), *frame.shape[:2])
            x = int(np.clip((left + right - side) / 2, 0, frame.shape[1] - side))
            y = int(np.clip((top + bottom - side) / 2, 0, frame.shape[0] - side))
            crop = cv2.resize(frame[y : y + int(side), x : x + int(side)], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(out / f"{clip.video.replace('/', '-')}-{index}.png"), crop[..., ::-1])
    return boxes


def dfbench_prepare(out: Path) -> Boxes:
    settings = Settings(FRAMES, SIZE, MARGIN, "none", load_registry().component("detector", "mtcnn"), None, "cpu")
    prepare_corpus("ffpp", corpus(), out / "ffpp", settings, workers=os.cpu_count() or 1, progress=Silent())
    rows = pd.read_parquet(out / "ffpp" / "manifest.parquet")
    return {(row.video, row.frame): np.array([row.box]) for row in rows.itertuples()}


@pytest.fixture(scope="module")
def expected() -> Boxes:
    """What the plain loop found, filled by its benchmark, which runs first."""
    return {}


def test_plain_loop_of_opencv_and_mtcnn(benchmark, expected, tmp_path) -> None:
    expected.update(benchmark.pedantic(plain_loop, (tmp_path,), rounds=1))


def test_dfbench_prepare(benchmark, expected, tmp_path) -> None:
    boxes = benchmark.pedantic(dfbench_prepare, (tmp_path,), rounds=1)
    assert set(expected) <= set(boxes), "faces were lost"
    off = [np.abs(theirs - boxes[key]).max(axis=1).min() for key, theirs in expected.items()]
    benchmark.extra_info["largest difference of a box, pixels"] = float(max(off))
    assert max(off) <= 2
