"""H.264 by the real codec: one intra frame of libx264."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dfbench.contracts import Corruption
from dfbench.errors import MissingDependency
from dfbench.rng import SampleRng

if TYPE_CHECKING:
    from numpy.typing import NDArray


class H264(Corruption):
    """Each image encoded by libx264 as one intra frame of a yuv420p stream, and decoded.

    Preset medium, one thread (the same bits on every machine), ``mbtree=0``: with macroblock-tree rate control a
    single frame loses about 4 dB against the same frame in a clip, so that the CRF would not mean what it means in
    video. Odd sides are padded to even by repeating the edge, and cropped. FaceForensics++ calls CRF 23 and 40 c23 and
    c40.

    Args:
        crf: constant rate factor, 0 (nearly lossless) to 51 (worst).

    Raises:
        MissingDependency: PyAV is not installed.
    """

    def __init__(self, crf: int = 23) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingDependency(
                "the corruption 'h264' needs the package av (PyAV, with libx264), which is not installed: "
                "pip install 'dfbench-harness[h264]'"
            ) from error
        if "libx264" not in av.codecs_available:
            raise MissingDependency(
                "the corruption 'h264' needs libx264, which this build of PyAV lacks: "
                "pip install --force-reinstall --only-binary av 'dfbench-harness[h264]'"
            )
        self.crf = crf
        self.label = f"h264_intra_crf{crf}"

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Corruption`."""
        pixels = (x.detach() * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        decoded = np.stack([decode(encode(image, self.crf)) for image in pixels])
        decoded = decoded[:, : x.shape[2], : x.shape[3]]
        return torch.from_numpy(decoded.copy()).permute(0, 3, 1, 2).contiguous().to(x) / 255


def encode(image: NDArray[np.uint8], crf: int) -> list[Any]:
    """The packets of one RGB image (H, W, 3) as an intra frame, padded to even sides."""
    import av

    image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
    codec = av.CodecContext.create("libx264", "w")
    codec.height, codec.width = image.shape[:2]
    codec.pix_fmt = "yuv420p"
    codec.thread_count = 1
    codec.time_base = Fraction(1, 25)
    codec.options = {"crf": str(crf), "preset": "medium", "x264-params": "mbtree=0"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuv420p")
    frame.pts = 0
    return [*codec.encode(frame), *codec.encode(None)]


def decode(packets: list[Any]) -> NDArray[np.uint8]:
    """The RGB image (H, W, 3) in the packets of one frame."""
    import av

    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    frames = [frame for packet in [*packets, None] for frame in codec.decode(packet)]
    (frame,) = frames
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
