"""Evenly spaced frames of a video, decoding as little as the codec allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import Corruption
from dfbench.errors import DataError, MissingDependency

DEFAULT_RATE = Fraction(25)
"""Frames per second of a clip that does not tell its own."""


@dataclass(frozen=True)
class Timeline:
    """The frames of a video in the order in which they are shown: presentation times, and which are keyframes."""

    times: list[int]
    keyframe: list[bool]


def spread(total: int, count: int) -> list[int]:
    """Indices of ``count`` frames evenly spaced over ``total``: the middles of as many equal parts; all if fewer."""
    if total <= count:
        return list(range(total))
    return [int((i + 0.5) * total / count) for i in range(count)]


def sample(path: Path, count: int, codec: Corruption | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
    """Evenly spaced frames of a video.

    Without a temporal codec only what the wanted frames depend on is decoded: a keyframe that lies between two of them
    is jumped to, and frames that no other frame refers to are passed over.

    Args:
        path: the video file.
        count: how many frames; a shorter video gives all of its frames.
        codec: re-encodes the clip first: the whole of it where a frame depends on others (H.264), else the wanted
            frames alone (JPEG).

    Yields:
        Index within the video, from 0, and RGB uint8 (H, W, 3).

    Raises:
        DataError: empty, not a video, truncated, or a wanted frame cannot be decoded.
        MissingDependency: PyAV is not installed.
    """
    with opened(path) as container:
        timeline = _timeline(container)
        wanted = spread(len(timeline.times), count)
        rate = container.streams.video[0].average_rate or DEFAULT_RATE
    if codec is not None and codec.temporal:
        every = list(range(len(timeline.times)))
        coded = codec.clip((frame for _, frame in _decode(path, timeline, every)), rate)
        yield from ((i, frame) for i, frame in zip(every, coded, strict=True) if i in wanted)
        return
    frames = _decode(path, timeline, wanted)
    if codec is None:
        yield from frames
    else:
        yield from zip(wanted, codec.clip((frame for _, frame in frames), rate), strict=True)


def _timeline(container: Any) -> Timeline:
    """Read from the packets, of which nothing is decoded; a container's own frame count is often wrong."""
    stream = container.streams.video[0]
    shown = [p for p in container.demux(stream) if p.size and not p.is_discard]
    if not shown:
        raise DataError("no frames")
    if any(packet.pts is None for packet in shown):
        raise DataError("frames without a time: rewrap it, e.g. ffmpeg -i IN -c copy OUT.mp4")
    shown = sorted(shown, key=lambda packet: packet.pts)
    if any(a.pts == b.pts for a, b in pairwise(shown)):
        raise DataError("two frames with the same time: rewrap it, e.g. ffmpeg -i IN -c copy OUT.mp4")
    return Timeline([packet.pts for packet in shown], [packet.is_keyframe for packet in shown])


def _decode(path: Path, timeline: Timeline, wanted: list[int]) -> Iterator[tuple[int, NDArray[Any]]]:
    index_of = {timeline.times[i]: i for i in wanted}
    with opened(path) as container:
        stream = container.streams.video[0]
        # One thread: the workers fill the cores, and only so may skip_frame change from packet to packet.
        stream.codec_context.thread_count = 1
        for start, group in _runs(timeline, wanted):
            left = len(group)
            if start:
                container.seek(timeline.times[start], stream=stream)
            for packet in container.demux(stream):
                stream.codec_context.skip_frame = "DEFAULT" if packet.pts in index_of else "NONREF"
                for frame in packet.decode():
                    if frame.pts in index_of and not frame.is_corrupt:
                        yield index_of.pop(frame.pts), _rgb(frame)
                        left -= 1
                if not left:
                    break
        if index_of:
            missing = sorted(index_of.values())
            raise DataError(f"frame {missing[0]} of {len(timeline.times)} cannot be decoded")


def _runs(timeline: Timeline, wanted: list[int]) -> list[tuple[int, list[int]]]:
    """Wanted frames in stretches decoded in one go, each with the frame to start from (0, or a keyframe to seek).

    A new stretch begins where a keyframe lies between two wanted frames.
    """
    keys = [i for i, is_key in enumerate(timeline.keyframe) if is_key]
    before = np.searchsorted(keys, wanted, side="right") - 1
    cuts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(before)) if a != b), len(wanted)]
    return [(keys[max(0, before[a])] if before[a] > 0 else 0, wanted[a:b]) for a, b in pairwise(cuts)]


def _rgb(frame: Any) -> NDArray[Any]:
    pixels: NDArray[Any] = frame.to_ndarray(format="rgb24")
    # Telephones turn the picture by a mark in the file, counter-clockwise.
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90)) if frame.rotation else pixels


def require_av() -> None:
    """Raises MissingDependency where PyAV is not installed."""
    if find_spec("av") is None:
        raise MissingDependency(
            "reading videos needs the package av (PyAV), which is not installed: pip install 'dfbench-harness[h264]'"
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The container of a video, with every failure of the library as one line.

    Raises:
        DataError: zero bytes, not a video, or damaged; the message is the reason alone.
        MissingDependency: PyAV is not installed.
    """
    require_av()
    import av

    if not path.stat().st_size:
        raise DataError("zero bytes")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError("no video stream")
            yield container
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(f"cannot be decoded: {error.strerror or error}") from error
