"""Check a download before hours are spent on it: open every clip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from dfbench.contracts import Progress
from dfbench.corpus import Clip
from dfbench.errors import DataError
from dfbench.images import open_rgb
from dfbench.preparation.video import opened, require_av

_CLIPS_PER_TASK = 16
_WAITS = 4
"""Threads per core: opening a clip waits for the disk."""


def unreadable(clips: Sequence[Clip], progress: Progress) -> list[tuple[Clip, str]]:
    """The clips that cannot be read, each with the reason, in their order.

    Of a video the first frame is decoded, an image is decoded whole.

    Raises:
        MissingDependency: there are videos, and PyAV is not installed.
    """
    if not all(clip.is_image for clip in clips):
        require_av()

    def work(start: int) -> list[tuple[int, str]]:
        numbers = range(start, min(start + _CLIPS_PER_TASK, len(clips)))
        return [(number, _fault(clips[number])) for number in numbers]

    faults: dict[int, str] = {}
    pool = ThreadPoolExecutor(_WAITS * (os.cpu_count() or 1))
    try:
        with progress.task("opening clips", len(clips)) as advance:
            tasks = [pool.submit(work, start) for start in range(0, len(clips), _CLIPS_PER_TASK)]
            for task in as_completed(tasks):
                outcome = task.result()
                faults.update((number, fault) for number, fault in outcome if fault)
                advance(len(outcome), f"{len(faults)} unreadable")
    finally:
        pool.shutdown(cancel_futures=True)
    return [(clips[number], faults[number]) for number in sorted(faults)]


def _fault(clip: Clip) -> str:
    """Why a clip cannot be read; empty if it can."""
    try:
        if clip.is_image:
            open_rgb(clip.path.read_bytes())
            return ""
        with opened(clip.path) as container:
            # One thread: the clips keep all cores busy as it is.
            container.streams.video[0].codec_context.thread_count = 1
            return "" if next(container.decode(video=0), None) else "no frames"
    except DataError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
