"""Decoding: every kind of image becomes correct 8-bit RGB, or a named reason why not; never a black image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dfbench.images import ImageError
from dfbench_data.images import decode

RAMP = np.tile(np.linspace(0, 1, 64), (64, 1))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(seed: int = 0, side: int = 64) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def test_an_rgb_image_of_the_right_size_is_kept_bit_for_bit():
    assert np.array_equal(decode(encoded(photo()), 64), np.asarray(photo()))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(kind):
    values = np.rint(RAMP * 65535).astype(np.uint16)
    pixels = decode(encoded(Image.fromarray(values), kind), 64)
    assert np.abs(pixels[..., 0] - RAMP * 255).max() <= 1
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_sixteen_bit_colour_is_scaled_and_not_clipped():
    import cv2

    values = np.rint(np.stack([RAMP, RAMP.T, 1 - RAMP], axis=-1) * 65535).astype(np.uint16)
    content = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    assert np.abs(decode(content, 64) - values / 257).max() <= 1.01


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P"])
def test_grey_and_palette_images_become_rgb(mode):
    pixels = decode(encoded(photo().convert("L").convert(mode)), 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.std() > 10
    assert np.abs(pixels[..., 0].astype(int) - pixels[..., 1]).max() == 0


def test_cmyk_keeps_its_colours():
    red = Image.new("RGB", (64, 64), (250, 10, 10))
    pixels = decode(encoded(red.convert("CMYK"), "JPEG", quality=95), 64)
    assert np.abs(pixels.astype(int) - (250, 10, 10)).max() < 12


def test_transparent_parts_lie_on_white_whatever_colour_hides_beneath():
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 32, 64))
    pixels = decode(encoded(image), 64)
    assert tuple(pixels[32, 50]) == (255, 255, 255)
    assert tuple(pixels[32, 10]) == (200, 0, 0)


def test_a_transparent_palette_colour_lies_on_white():
    image = Image.new("P", (64, 64), 0)
    image.putpalette([0, 0, 0, 10, 200, 10])
    image.paste(1, (0, 0, 32, 64))
    pixels = decode(encoded(image, transparency=0), 64)
    assert tuple(pixels[32, 50]) == (255, 255, 255)
    assert tuple(pixels[32, 10]) == (10, 200, 10)


def test_the_exif_orientation_is_applied():
    upright = Image.new("RGB", (64, 64), "black")
    upright.paste("white", (0, 0, 64, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera was upside down
    pixels = decode(encoded(upright.rotate(180), "JPEG", exif=exif, quality=95), 64)
    assert pixels[:12].min() > 200
    assert pixels[-12:].max() < 50


def test_an_oblong_image_is_cropped_at_the_centre_and_not_squeezed():
    image = Image.new("RGB", (192, 64), "red")
    image.paste("blue", (64, 0, 128, 64))
    assert (decode(encoded(image), 32)[:, 2:-2] == (0, 0, 255)).all()


def test_reducing_is_antialiased():
    board = np.indices((256, 256)).sum(0) % 2 * 255
    pixels = decode(encoded(Image.fromarray(board.astype(np.uint8))), 64)
    assert np.abs(pixels.astype(int) - 127).max() < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_every_listed_format_is_read(kind):
    assert np.abs(decode(encoded(photo(), kind), 64).astype(int) - np.asarray(photo())).mean() < 6


BAD = {
    "zero bytes": (b"", "zero bytes"),
    "text": (b"no image at all", "not an image"),
    "truncated jpeg": (encoded(photo(), "JPEG")[:500], "cannot be decoded"),
    "truncated png": (encoded(photo())[:500], "cannot be decoded"),
    "truncated webp": (encoded(photo(side=256), "WEBP")[:300], "cannot be decoded|not an image"),
    "truncated bmp": (encoded(photo(), "BMP")[:500], "cannot be decoded"),
    "truncated tiff": (encoded(photo(), "TIFF")[:500], "cannot be decoded|not an image"),
    "too small": (encoded(photo(side=31)), "31x31 pixels, smaller than 32"),
    "too flat": (encoded(photo(side=64).resize((200, 20))), "200x20 pixels, smaller than 32"),
    "floating point": (encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"), "no defined range"),
    "32 bits": (encoded(Image.fromarray((RAMP * 2**30).astype(np.int32)), "TIFF"), "no defined range"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_with_the_reason(name):
    content, reason = BAD[name]
    with pytest.raises(ImageError, match=reason):
        decode(content, 64)
