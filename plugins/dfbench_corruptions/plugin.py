"""The built-in corruptions."""

from __future__ import annotations

from collections.abc import Iterator

from dfbench import hookimpl
from dfbench.contracts import CorruptionSpec, Param


@hookimpl
def dfbench_corruptions() -> Iterator[CorruptionSpec]:
    """What images meet on upload."""
    yield CorruptionSpec(
        "jpeg",
        "dfbench_corruptions.jpeg:Jpeg",
        "JPEG round trip, 4:2:0, by libjpeg-turbo",
        params=(Param("quality", int, 50, "libjpeg's quality, 1 (worst) to 100", low=1, high=100),),
        source="ITU-T T.81",
    )
    yield CorruptionSpec(
        "h264",
        "dfbench_corruptions.h264:H264",
        "one intra frame of H.264, 4:2:0, by libx264",
        params=(Param("crf", int, 23, "constant rate factor, 0 (nearly lossless) to 51 (worst)", low=0, high=51),),
        source="ITU-T H.264; Roessler et al., FaceForensics++, ICCV 2019 (c23 and c40 are CRF 23 and 40)",
    )
