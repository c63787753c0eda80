"""Broken components and broken surroundings: one clear line, the right exit code, nothing finished lost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TINY, Cli
from installed import install

from dfbench.registry import load_registry

PLUGIN = """
from dfbench import hookimpl
from dfbench.contracts import AttackSpec, CorruptionSpec, DatasetSpec, ModelSpec

@hookimpl
def dfbench_attacks():
    for name in ("Leave", "NotANumber", "TrainMode", "Raise"):
        yield AttackSpec(f"bad-{name}", f"dfbench_bad.parts:{name}", "breaks its contract")

@hookimpl
def dfbench_models():
    for name in ("OneLogit", "Probabilities", "NoGradient", "Large", "NoWeights"):
        yield ModelSpec(f"bad-{name}", f"dfbench_bad.parts:{name}", "breaks its contract")

@hookimpl
def dfbench_corruptions():
    yield CorruptionSpec("bad-range", "dfbench_bad.parts:Brighten", "leaves [0, 1]")

@hookimpl
def dfbench_datasets():
    for name in ("NaNPixels", "FloatPixels", "OneClass", "Leaky"):
        yield DatasetSpec(f"bad-{name}", f"dfbench_bad.parts:{name}", "breaks its contract")
"""

PARTS = """
import numpy as np
import torch
from torch import nn
from dfbench.contracts import Attack, Corruption, Dataset, Sample, Split, Weights

class Leave(Attack):
    eps = 1 / 255
    def __call__(self, view, x, y, rng):
        return (x + 2 / 255).clamp(0, 1)

class NotANumber(Attack):
    def __call__(self, view, x, y, rng):
        return x * float("nan")

class TrainMode(Attack):
    def __call__(self, view, x, y, rng):
        view.module.train()
        return x

class Raise(Attack):
    def __call__(self, view, x, y, rng):
        raise ValueError("a bug of its own")

class Brighten(Corruption):
    def __call__(self, x, rng):
        return x + 0.5

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights, self.cam_layer, self.min_size = Weights("none"), "conv", 32
        self.conv = nn.Conv2d(3, 2, 3)
    def forward(self, x):
        return self.conv(x).mean((2, 3))

class OneLogit(Base):
    def forward(self, x):
        return super().forward(x)[:, :1]

class Probabilities(Base):
    def forward(self, x):
        return super().forward(x).softmax(1)

class NoGradient(Base):
    def forward(self, x):
        return super().forward(x.round())

class NoWeights(Base):
    def __init__(self):
        super().__init__()
        del self.weights

class Large(Base):
    def __init__(self):
        super().__init__()
        self.min_size = 512

class Some(Split):
    def __init__(self, owner, name):
        self.owner = owner
        self.samples = [Sample(f"{name}{i}", owner.label(i), owner.video(name, i)) for i in range(8)]
    def pixels(self, index, *, epoch=0, seed=0):
        return self.owner.image

class Good(Dataset):
    fingerprint = "0" * 64
    image = np.zeros((64, 64, 3), np.uint8)
    def split(self, name):
        return Some(self, name)
    def label(self, i):
        return i % 2
    def video(self, name, i):
        return f"{name}{i}"

class NaNPixels(Good):
    image = np.full((64, 64, 3), np.nan, np.float32)

class FloatPixels(Good):
    image = np.full((64, 64, 3), 0.5, np.float32)

class OneClass(Good):
    def label(self, i):
        return 1

class Leaky(Good):
    def video(self, name, i):
        return f"video{i}"
"""

BASELINE = "none(epochs=1, batch_size=16, lr=0.01)"


@pytest.fixture(autouse=True)
def bad_plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("site")
    sources = {"dfbench_bad/__init__.py": "", "dfbench_bad/plugin.py": PLUGIN, "dfbench_bad/parts.py": PARTS}
    install(folder, "dfbench-bad", sources, {"bad": "dfbench_bad.plugin"})
    monkeypatch.syspath_prepend(folder)
    load_registry.cache_clear()
    yield
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("dfbench_bad")]:
        del sys.modules[name]


@pytest.fixture
def data(faces: Path) -> tuple[str, ...]:
    return ("--data", f'folder(path="{faces}", size=64)')


@pytest.mark.parametrize(
    "attack, reason",
    [
        ("bad-Leave", "left its eps-ball"),
        ("bad-NotANumber", "NaN or infinity"),
        ("bad-TrainMode", "in training mode"),
        ("bad-Raise", "ValueError: a bug of its own"),
    ],
)
def test_a_cell_whose_attack_breaks_its_contract_fails_alone(
    dfbench: Cli, data: tuple[str, ...], shared_cache: Path, tmp_path: Path, attack: str, reason: str
) -> None:
    code, out, err = dfbench(
        "run", "--model", TINY, "--defense", BASELINE, "--attack", attack, *data, "--cache", shared_cache,
        "--out", tmp_path,
    )  # fmt: skip
    cells = json.loads((tmp_path / "record.json").read_text())["cells"]
    assert code == 5
    assert [c["status"] for c in cells] == ["ok", "failed"]
    assert reason in cells[1]["reason"]
    assert cells[1]["metrics"] == {}
    assert "Traceback" not in out + err


def test_a_corruption_that_leaves_the_range_fails_without_the_cells_beside_it(
    dfbench: Cli, data: tuple[str, ...], shared_cache: Path, tmp_path: Path
) -> None:
    code, _, _ = dfbench(
        "run", "--model", TINY, "--defense", BASELINE, "--corruption", "bad-range", "--corruption", "jpeg", *data,
        "--cache", shared_cache, "--out", tmp_path,
    )  # fmt: skip
    cells = json.loads((tmp_path / "record.json").read_text())["cells"]
    assert code == 5
    assert [c["status"] for c in cells] == ["ok", "failed", "ok"]
    assert "must stay in [0, 1]" in cells[1]["reason"]


@pytest.mark.parametrize(
    "model, message",
    [
        ("bad-OneLogit", "returned shape (2, 1) for 2 images"),
        ("bad-Probabilities", "returned probabilities"),
        ("bad-NoGradient", "zero gradient at its input"),
        ("bad-Large", "takes images from 512 x 512"),
        ("bad-NoWeights", "does not tell its weights"),
    ],
)
def test_a_model_that_breaks_its_contract_is_refused_before_training(
    dfbench: Cli, data: tuple[str, ...], tmp_path: Path, model: str, message: str
) -> None:
    code, _, err = dfbench("run", "--model", model, *data, "--cache", tmp_path, "--out", tmp_path / "out")
    assert code == 1
    assert message in err
    assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "dataset, message",
    [
        ("bad-NaNPixels", "the pixels contain NaN"),
        ("bad-FloatPixels", "must give uint8"),
        ("bad-OneClass", "has no real samples"),
        ("bad-Leaky", "8 videos are in both train and val (video0, video1, video2, ...)"),
    ],
)
def test_a_data_set_that_breaks_its_contract_is_refused_before_training(
    dfbench: Cli, tmp_path: Path, dataset: str, message: str
) -> None:
    code, _, err = dfbench("run", "--model", TINY, "--data", dataset, "--cache", tmp_path, "--out", tmp_path / "out")
    assert code == (3 if dataset == "bad-Leaky" else 1)
    assert message in err
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "hybird"], "did you mean 'hybrid'"),
        (["--attack", "pgd(epsilon=1)"], "did you mean 'eps'"),
        (["--attack", "pgd(eps=4)"], "from 0 to 1"),
        (["--attack", "pgd(eps=4/255"], "expected ',' or ')'"),
        (["--device", "tpu"], "unknown device"),
        (["--seeds", "0,one"], "'0,one' is not a list of whole numbers"),
        (["--seed", "-1"], "--seed"),
        (["--device", "cuda:99"], "--device cpu"),
        (["--modle", "hybrid"], "--model"),
    ],
)
def test_a_wrong_request_is_a_usage_error_before_any_work(
    dfbench: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, err = dfbench("run", *arguments, "--cache", tmp_path / "cache", "--out", tmp_path / "out")
    assert code == 2
    assert message in err
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_written_is_refused_before_any_work(
    dfbench: Cli, data: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = dfbench("run", "--model", TINY, *data, "--cache", tmp_path / "c", "--out", tmp_path / "file" / "out")
    assert code == 1
    assert "choose a folder you can write to" in err
    assert not (tmp_path / "c").exists()


def test_a_damaged_checkpoint_in_the_cache_is_a_clear_error(
    dfbench: Cli, data: tuple[str, ...], tmp_path: Path
) -> None:
    run = ("run", "--model", TINY, "--defense", BASELINE, *data, "--cache", tmp_path / "cache", "--out", tmp_path / "o")
    assert dfbench(*run)[0] == 0
    (checkpoint,) = (tmp_path / "cache").glob("checkpoints/*/model.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    code, _, err = dfbench(*run, "--attack", "fgsm")
    assert code != 0
    assert "truncated or not a safetensors file" in err + (tmp_path / "o" / "table.md").read_text()


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    dfbench: Cli, data: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err = dfbench("run", "--model", TINY, "--corruption", "h264", *data, "--cache", tmp_path / "c", "--out",
                           tmp_path / "o")  # fmt: skip
    assert code == 2
    assert "pip install 'dfbench-harness[h264]'" in err
    assert not (tmp_path / "c" / "checkpoints").exists()


def test_the_help_is_fast_because_it_imports_no_torch() -> None:
    import subprocess

    code = (
        "import sys\nfrom dfbench.cli import run_cli\n"
        "run_cli(['--help']); run_cli(['run', '--help']); run_cli(['data', '--help']); run_cli(['plugins', '--help'])\n"
        "heavy = {'torch', 'numpy', 'pandas', 'PIL', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "Examples:" in done.stdout
