"""Every built-in component passes the conformance kit that third-party authors run on theirs."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
from PIL import Image

from dfbench.contracts import Spec
from dfbench.errors import MissingDependency
from dfbench.hookspecs import SPEC_OF_HOOK
from dfbench.testing import (
    check_attack,
    check_corruption,
    check_dataset,
    check_defense,
    check_detector,
    check_metric,
    check_model,
    check_spec,
)

FAMILIES = ("models", "defenses", "attacks", "corruptions", "data", "detectors", "metrics")
TORCHATTACKS = ("torchattacks/DIFGSM", "torchattacks/TIFGSM")
SLOW_MODELS = ("hybrid-seed",)
MODELS = {"timm": {"name": "resnet18"}}
ATTACKS = {
    "unet": {"epochs": 1},
    "pgd": {"steps": 3},
    "mifgsm": {"steps": 3},
    "apgd": {"steps": 5},
    "fab": {"steps": 5},
    "square": {"queries": 20},
    "strong": {"steps": 5, "queries": 20},
    **{name: {"steps": 2} for name in TORCHATTACKS},
}
"""Parameters that are required, or make a check short."""


def built_in(*kinds: str) -> list[pytest.ParameterSet]:
    """The built-in specs of some kinds; of the many attacks of torchattacks, two."""
    modules = [importlib.import_module(f"dfbench_{family}.plugin") for family in FAMILIES]
    specs = [s for m in modules for hook in SPEC_OF_HOOK if hasattr(m, hook) for s in getattr(m, hook)()]
    return [
        pytest.param(s, id=f"{s.kind}-{s.name}", marks=[pytest.mark.slow] if s.name in SLOW_MODELS else [])
        for s in specs
        if s.kind in kinds and (not s.name.startswith("torchattacks/") or s.name in TORCHATTACKS)
    ]


def check(function: Callable[..., None], *args: Any, **params: Any) -> None:
    """Run a check; skip where an optional package is missing."""
    try:
        function(*args, **params)
    except MissingDependency as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("spec", built_in("model", "defense", "attack", "corruption", "dataset", "detector", "metric"))
def test_the_spec_says_what_the_target_takes(spec: Spec) -> None:
    check(check_spec, spec)


@pytest.mark.parametrize("spec", built_in("attack"))
def test_the_attack_conforms(spec: Spec) -> None:
    check(check_attack, spec, **ATTACKS.get(spec.name, {}))


@pytest.mark.parametrize("spec", built_in("corruption"))
def test_the_corruption_conforms(spec: Spec) -> None:
    check(check_corruption, spec)


@pytest.mark.parametrize("spec", built_in("metric"))
def test_the_metric_conforms(spec: Spec) -> None:
    check(check_metric, spec)


@pytest.mark.parametrize("spec", built_in("model"))
def test_the_model_conforms(spec: Spec) -> None:
    check(check_model, spec, weights="none", **MODELS.get(spec.name, {}))


@pytest.mark.parametrize("spec", built_in("defense"))
def test_the_defense_conforms(spec: Spec) -> None:
    check(check_defense, spec)


@pytest.mark.parametrize("spec", built_in("detector"))
def test_the_detector_conforms(spec: Spec) -> None:
    check(check_detector, spec, np.stack(corpora.photographs(3)))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A small data set of generated images: real/ and fake/ with 24 each, and their manifest."""
    rng = np.random.default_rng(0)
    rows = ["path,label"]
    for label, name in enumerate(("real", "fake")):
        folder = tmp_path / "faces" / name
        folder.mkdir(parents=True)
        for number in range(24):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            rows.append(f"{name}/{number}.png,{label}")
    (tmp_path / "faces" / "manifest.csv").write_text("\n".join(rows))
    return tmp_path / "faces"


def dataset(name: str) -> Spec:
    (spec,) = [param.values[0] for param in built_in("dataset") if param.values[0].name == name]
    return spec


def test_the_folder_data_set_conforms(faces: Path, tmp_path: Path) -> None:
    check(check_dataset, dataset("folder"), tmp_path / "cache", path=str(faces), size=32)


def test_the_manifest_data_set_conforms(faces: Path, tmp_path: Path) -> None:
    check(check_dataset, dataset("manifest"), tmp_path / "cache", path=str(faces / "manifest.csv"), size=32)


@pytest.mark.slow
def test_the_mini_data_set_conforms(tmp_path: Path) -> None:
    check(check_dataset, dataset("mini"), tmp_path / "cache", size=96, train_size=40)
