"""H.264 by the real codec, libx264: one intra frame for an image, a stream for a clip."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dfbench.contracts import Corruption
from dfbench.errors import MissingDependency
from dfbench.rng import SampleRng
from dfbench_corruptions.surrogate import recode

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_AVX512 = "asm=AVX2"
"""For CPUs with AVX-512. x264's code for it reads memory it did not write, in macroblock trees: measured on small
clips, equal input gave up to ten different streams in twenty runs, none of them that of the plain C code. With AVX2 it
is that, every time."""


class H264(Corruption):
    """Each image encoded by libx264 as one intra frame of a yuv420p stream, and decoded.

    Preset medium, one thread (the same bits on every machine), ``mbtree=0``: with macroblock-tree rate control a
    single frame loses about 4 dB against the same frame in a clip, so that the CRF would not mean what it means in
    video. Odd sides are padded to even by repeating the edge, and cropped. FaceForensics++ calls CRF 23 and 40 c23 and
    c40.

    A clip is encoded as one stream with x264's own defaults of preset medium (predicted frames, macroblock tree), as
    FaceForensics++ was; its pixels differ from those of intra frames at the same CRF.

    Args:
        crf: constant rate factor, 0 (nearly lossless) to 51 (worst).

    Raises:
        MissingDependency: PyAV is not installed.
    """

    temporal = True

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
        self.clip_label = f"h264_clip_crf{crf}"

    def __call__(self, x: Tensor, rng: SampleRng) -> Tensor:
        """See :class:`~dfbench.contracts.Corruption`."""
        pixels = (x.detach() * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        decoded = np.stack([decode(encode(image, self.crf)) for image in pixels])
        decoded = decoded[:, : x.shape[2], : x.shape[3]]
        return torch.from_numpy(decoded.copy()).permute(0, 3, 1, 2).contiguous().to(x) / 255

    def surrogate(self, x: Tensor) -> Tensor:
        """See :class:`~dfbench.contracts.Corruption`.

        Without prediction between blocks, and with one step for all coefficients, that of the quantisation parameter
        ``crf``: 2^((crf - 4) / 6) grey levels (ITU-T H.264, 8.5.9: it doubles every 6, and is 1 at 4).
        """
        steps = torch.full((8, 8), 2 ** ((self.crf - 4) / 6))
        return recode(x, steps, steps)

    def clip(self, frames: Iterator[NDArray[Any]], rate: Fraction) -> Iterator[NDArray[Any]]:
        """See :class:`~dfbench.contracts.Corruption`."""
        encoder, decoder = None, _decoder()
        has_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        options = {"x264-params": NO_AVX512} if has_avx512 else {}
        for number, image in enumerate(frames):
            if encoder is None:
                encoder, shape = _encoder(image, self.crf, rate, options), image.shape
            for packet in encoder.encode(_frame(image, number)):
                yield from _images(decoder.decode(packet), shape)
        if encoder is not None:
            for packet in encoder.encode(None):
                yield from _images(decoder.decode(packet), shape)
            yield from _images(decoder.decode(None), shape)


def encode(image: NDArray[np.uint8], crf: int) -> list[Any]:
    """The packets of one RGB image (H, W, 3) as an intra frame, padded to even sides."""
    encoder = _encoder(image, crf, Fraction(25), {"x264-params": "mbtree=0"})
    return [*encoder.encode(_frame(image, 0)), *encoder.encode(None)]


def decode(packets: list[Any]) -> NDArray[np.uint8]:
    """The RGB image (H, W, 3) in the packets of one frame."""
    decoder = _decoder()
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    (frame,) = frames
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _encoder(image: NDArray[Any], crf: int, rate: Fraction, options: dict[str, str]) -> Any:
    import av

    codec = av.CodecContext.create("libx264", "w")
    codec.height, codec.width = (side + side % 2 for side in image.shape[:2])
    codec.pix_fmt = "yuv420p"
    codec.thread_count = 1
    codec.framerate, codec.time_base = rate, 1 / rate
    codec.options = {"crf": str(crf), "preset": "medium", **options}
    return codec


def _decoder() -> Any:
    import av

    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    return codec


def _frame(image: NDArray[Any], number: int) -> Any:
    import av

    image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuv420p")
    frame.pts = number
    return frame


def _images(frames: list[Any], shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    for frame in frames:
        yield frame.to_ndarray(format="rgb24")[: shape[0], : shape[1]]
