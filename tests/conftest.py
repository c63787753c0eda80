"""Fixtures of the tests of whole runs: a small set of images whose fakes can be learned, and the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfbench.cli import run_cli

TINY = "timm(name=test_efficientnet, weights=none)"
"""A model of 0.3 M parameters: real architecture, milliseconds per batch."""


def draw(rng: np.random.Generator, fake: bool, size: int = 64) -> np.ndarray:
    """A smooth random image; a fake has a soft patch of another texture in its middle."""
    small = Image.fromarray(rng.integers(60, 196, (5, 5, 3), dtype=np.uint8))
    image = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC), dtype=float)
    if fake:
        stripes = 40 * np.sign(np.sin(np.arange(size) * 1.3))[None, :, None]
        middle = np.exp(-(((np.indices((size, size)) - size / 2) / (size / 5)) ** 2).sum(0))[..., None]
        image = image + middle * stripes
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def write_faces(root: Path, counts: Iterable[tuple[str, int]] = (("train", 24), ("val", 8), ("test", 12))) -> Path:
    """A folder data set of smooth random images, whose fakes have a patch of another texture."""
    rng = np.random.default_rng(0)
    for split, count in counts:
        for name in ("real", "fake"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw(rng, name == "fake")).save(folder / f"{split}-{name}-{chr(97 + number)}x.png")
    return root


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder data set ``{train,val,test}/{real,fake}/*.png`` of 48, 16 and 24 images."""
    return write_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for tests that only read what a run left, so that the same training is not done twice."""
    return tmp_path_factory.mktemp("cache")


Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dfbench(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """``dfbench("run", ...) -> (exit code, standard output, standard error)``, in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run_cli([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call
