"""JPEG and H.264 are the real codecs, deterministic, and act on each image alone."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dfbench.contracts import Corruption
from dfbench.errors import MissingDependency
from dfbench.rng import SampleRng
from dfbench.threat import checked_corruption
from dfbench_corruptions.h264 import H264, encode
from dfbench_corruptions.jpeg import Jpeg


def pictures(count: int = 3, height: int = 64, width: int = 64) -> Tensor:
    """Smooth colour gradients with edges and grain, (count, 3, H, W) on the uint8 grid."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    images = []
    for k in range(count):
        base = np.stack([np.sin(x / (7 + k)), np.cos(y / (9 + k)), (x + y) % (20 + k) / 10 - 1], -1) * 90 + 128
        base[height // 4 : height // 2, width // 4 : width // 2] = (200, 40 * k, 90)
        images.append(np.clip(base + rng.normal(0, 6, base.shape), 0, 255).round())
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def corrupted(corruption: Corruption, x: Tensor) -> Tensor:
    return checked_corruption(corruption, x, SampleRng(0, [str(i) for i in range(len(x))]))


def psnr(x: Tensor, y: Tensor) -> float:
    return float(-10 * (x - y).square().mean().log10())


@pytest.mark.parametrize("quality", [1, 20, 50, 75, 100])
def test_jpeg_equals_pillow_pixel_for_pixel(quality: int) -> None:
    x = pictures(2, 63, 65)
    ours = (corrupted(Jpeg(quality), x) * 255).round().byte()
    for image, got in zip((x * 255).round().byte(), ours, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
        assert np.array_equal(np.asarray(Image.open(buffer)), got.permute(1, 2, 0).numpy())


def test_jpeg_rounds_half_to_even_before_it_encodes() -> None:
    x = torch.full((1, 3, 8, 8), 100.5 / 255)
    assert torch.equal(corrupted(Jpeg(100), x), corrupted(Jpeg(100), torch.full((1, 3, 8, 8), 100 / 255)))


def test_jpeg_quality_orders_psnr() -> None:
    x = pictures()
    values = [psnr(corrupted(Jpeg(quality), x), x) for quality in (10, 30, 50, 70, 90)]
    assert values == sorted(values)


def test_h264_crf_orders_psnr_and_size() -> None:
    x = pictures()
    pixels = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
    values = [psnr(corrupted(H264(crf), x), x) for crf in (0, 15, 23, 32, 40)]
    sizes = [sum(packet.size for packet in encode(pixels, crf)) for crf in (0, 15, 23, 32, 40)]
    assert values == sorted(values, reverse=True)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 3 * sizes[-1]


def test_h264_is_a_stream_of_one_intra_frame_by_libx264() -> None:
    pixels = (pictures(1)[0] * 255).byte().permute(1, 2, 0).numpy()
    (packet,) = encode(pixels, 23)
    assert packet.is_keyframe
    data = bytes(packet)
    assert b"x264 - core" in data
    assert b"crf=23.0" in data
    assert b"mbtree=0" in data
    assert b"threads=1" in data


def test_h264_is_near_the_original_so_no_colour_channel_or_range_is_mistaken() -> None:
    flat = torch.tensor([200, 60, 30]).div(255).view(1, 3, 1, 1).expand(1, 3, 32, 32).contiguous()
    assert float((corrupted(H264(10), flat) - flat).abs().max()) < 4 / 255


@pytest.mark.parametrize("corruption", [Jpeg(), H264()])
def test_odd_sizes_keep_their_shape_and_their_content(corruption: Corruption) -> None:
    x = pictures(2, 97, 101)
    assert psnr(corrupted(corruption, x), x) > 22


@pytest.mark.parametrize("corruption", [Jpeg(), H264()])
def test_an_image_is_corrupted_alike_alone_and_in_any_batch(corruption: Corruption) -> None:
    x = pictures(4)
    whole = corrupted(corruption, x)
    alone = torch.cat([corrupted(corruption, image) for image in x.split(1)])
    assert torch.equal(whole, alone)
    assert torch.equal(whole, corrupted(corruption, x))


@pytest.mark.parametrize("corruption", [Jpeg(), H264()])
def test_pixels_off_the_uint8_grid_and_other_layouts_are_taken(corruption: Corruption) -> None:
    x = pictures(2) * 0.999 + 0.0003
    assert torch.equal(corrupted(corruption, x.contiguous(memory_format=torch.channels_last)), corrupted(corruption, x))


def test_h264_names_its_column_after_what_it_is() -> None:
    assert H264(23).label == "h264_intra_crf23"
    assert Jpeg(50).label == ""


def test_h264_without_pyav_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependency, match=r"pip install 'dfbench-harness\[h264\]'"):
        H264()
