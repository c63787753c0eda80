"""What a face detector must be: frames in, faces out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Face:
    """One face in a frame.

    Args:
        box: left, top, right, bottom, in pixels of the frame; it may reach beyond the frame.
        landmarks: (x, y) of the eyes (the one further left in the image first), the nose, and the corners of the mouth
            (left first), in pixels of the frame.
        score: the detector's confidence in [0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    score: float

    @property
    def size(self) -> float:
        """The longer side of the box, in pixels."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2


class FaceDetector(ABC):
    """Finds faces. The largest face of a clip is tracked, cropped and stored by ``dfbench data prepare``."""

    def to(self, device: str) -> None:
        """Move to a torch device (``cpu``, ``cuda``); called once, before use. A detector may ignore it."""

    @abstractmethod
    def __call__(self, frames: NDArray[Any]) -> list[list[Face]]:
        """The faces of each frame, largest first.

        Args:
            frames: RGB uint8 (n, H, W, 3).

        Returns:
            A list per frame; empty where there is no face. Small faces may be left out of a frame that has a larger
            one. What is found in a frame depends on that frame alone.
        """
