"""The check of a face detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfbench.contracts import Spec
from dfbench.faces import Face, FaceDetector
from dfbench.registry import Component
from dfbench.testing.common import check_pickle, component_of, conforming


def check_detector(what: Spec | Component, frames: NDArray[Any], **params: Any) -> None:
    """Faces as the contract says, the same again, alone or with others, and none in an even grey.

    Args:
        what: the detector's spec, with ``params`` as keywords, or its component.
        frames: RGB uint8 (n, H, W, 3), n > 1, each with a face.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, params)
    with conforming(component) as who:
        detector = component.build()
        assert isinstance(detector, FaceDetector), f"{who} builds a {type(detector).__name__}, not a faces.FaceDetector"
        detector.to("cpu")
        before = frames.copy()
        found = detector(frames)
        assert np.array_equal(frames, before), f"{who} changed the frames it was given"
        assert len(found) == len(frames), f"{who} gave {len(found)} lists of faces for {len(frames)} frames"
        for number, faces in enumerate(found):
            assert faces, f"{who} found no face in frame {number}, which shows one"
            for face in faces:
                _check_face(face, who)
            sizes = [face.size for face in faces]
            assert sizes == sorted(sizes, reverse=True), f"{who} must list the faces of a frame largest first"
        assert detector(frames) == found, f"{who} finds other faces in the same frames the second time"
        for number, faces in enumerate(found):
            alone = detector(frames[number : number + 1])[0]
            assert alone == faces, f"{who} finds other faces in frame {number} alone than among other frames"
        assert detector(np.full_like(frames[:1], 127)) == [[]], f"{who} finds a face in an even grey"
        check_pickle(component, who)


def _check_face(face: Face, who: str) -> None:
    left, top, right, bottom = face.box
    assert left < right, f"{who}: the box {face.box} must be left, top, right, bottom"
    assert top < bottom, f"{who}: the box {face.box} must be left, top, right, bottom"
    assert 0 <= face.score <= 1, f"{who}: the score {face.score} must lie in [0, 1]"
    assert np.shape(face.landmarks) == (5, 2), f"{who}: landmarks must be five points (x, y), not {face.landmarks}"
    eyes, mouth = np.array(face.landmarks)[:2], np.array(face.landmarks)[3:]
    assert eyes[0, 0] < eyes[1, 0], f"{who}: the eye further left in the image must come first"
    assert eyes[:, 1].mean() < mouth[:, 1].mean(), f"{who}: landmarks must be eyes, nose, corners of the mouth"
