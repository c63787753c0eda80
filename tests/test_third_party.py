"""A package that knows nothing but the public API is built, installed, listed and used like a built-in."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dfbench.cli.plugins import command
from dfbench.registry import load_registry
from dfbench.testing import check_attack, check_model, check_spec

PACKAGE = Path(__file__).parent / "third_party" / "dfbench-shift"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package was installed from a wheel built of its source."""
    folder = tmp_path_factory.mktemp("third_party")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(PACKAGE)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")  # all that installing a pure wheel does
    return folder / "site"


def dfbench(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, where the package is installed too."""
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", "from dfbench.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "80"},
    )


def test_its_components_are_listed_with_its_distribution_and_version(site: Path) -> None:
    listed = json.loads(dfbench(site, "plugins", "--json").stdout)["components"]
    ours = {(c["kind"], c["name"], c["version"]) for c in listed if c["distribution"] == "dfbench-shift"}
    assert ours == {("model", "small-cnn", "1.2.0"), ("attack", "shift", "1.2.0")}


def test_listing_is_readable_at_80_columns(site: Path) -> None:
    lines = dfbench(site, "plugins").stdout.splitlines()
    assert max(len(line) for line in lines if not line.startswith("broken")) <= 80
    assert any("shift" in line and "the worst translation" in line for line in lines)
    assert any("pixels=1" in line for line in lines)


@pytest.fixture
def here(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package installed in this process too, which spares importing torch again."""
    monkeypatch.syspath_prepend(site)
    load_registry.cache_clear()
    yield
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("dfbench_shift")]:
        del sys.modules[name]


def test_its_attack_is_shown_with_parameters_paper_and_provenance(here: None) -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(command, ["show", "shift"]).output
    for part in ("Engstrom et al., ICML 2019", "dfbench-shift 1.2.0", "a whole number from 0 to 8", "edges repeated"):
        assert part in shown


def test_its_model_is_shown_with_its_parameter_counts(here: None) -> None:
    shown = CliRunner().invoke(command, ["show", "small-cnn(width=16)"]).output
    assert "23,938 parameters, 23,938 of them trainable" in shown


def test_its_components_pass_the_conformance_kit(here: None) -> None:
    plugin = importlib.import_module("dfbench_shift.plugin")
    (attack,), (model,) = plugin.dfbench_attacks(), plugin.dfbench_models()
    check_spec(attack)
    check_attack(attack, pixels=2)
    check_spec(model)
    check_model(model, size=32)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Generated images: the fakes carry a fine stripe pattern."""
    rng = np.random.default_rng(0)
    for name in ("real", "fake"):
        folder = tmp_path / "faces" / name
        folder.mkdir(parents=True)
        for number in range(40):
            pixels = rng.normal(128, 20, (32, 32, 3))
            pixels[:, ::2] += 40 * (name == "fake")
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "faces"


def is_installed() -> bool:
    try:
        return bool(importlib.metadata.version("dfbench-harness"))
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(not is_installed(), reason="the built-in components need the installed dfbench-harness")
def test_a_run_uses_its_model_and_attack(site: Path, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = dfbench(
        site,
        *("run", "--model", "small-cnn(width=4)", "--defense", "none(epochs=2)", "--attack", "shift(pixels=2)"),
        *("--data", f'folder(path="{faces}", size=32)', "--out", str(out), "--cache", str(tmp_path / "cache")),
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((out / "record.json").read_text())["cells"]
    assert {(cell["model"], cell["attack"]) for cell in cells} == {
        ("small-cnn(width=4)", "none"),
        ("small-cnn(width=4)", "shift(pixels=2)"),
    }
    assert all(0 <= cell["metrics"]["accuracy"] <= 1 for cell in cells)


def test_an_unknown_parameter_of_its_attack_is_a_usage_error(site: Path) -> None:
    done = dfbench(site, "run", "--model", "small-cnn", "--attack", "shift(pixel=2)", "--data", "mini")
    assert done.returncode == 2
    assert "did you mean 'pixels'" in done.stderr or not is_installed()
