"""The built-in face detectors."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import DetectorSpec, Param


@hookimpl
def dfbench_detectors() -> Iterable[DetectorSpec]:
    """What finds the faces that ``dfbench data prepare`` crops."""
    yield DetectorSpec(
        "mtcnn",
        "dfbench_detectors.mtcnn:Mtcnn",
        "MTCNN with the weights in the facenet-pytorch wheel; large faces first",
        params=(Param("min_face", int, 20, "smallest face looked for, in pixels of the frame", low=20),),
        source="Zhang et al., Joint Face Detection and Alignment Using Multitask Cascaded CNNs, IEEE SPL 2016",
    )
