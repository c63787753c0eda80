"""Evidence on learned attackers, from a real run: its logs, its attacked images, its cells."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY
from PIL import Image

from dfbench.cli import run_cli
from dfbench.explain import attackers
from dfbench.explain.attackers_curves import FITTED, TRAINED, curves
from dfbench.explain.attackers_figure import draw_spectra
from dfbench.explain.attackers_measure import Drawn, Look, compared, look, spectra
from dfbench.explain.attackers_survival import BEFORE, survival
from dfbench.explain.common import Request, arm_names
from dfbench.perturbation import low_band_ratio
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.rundir import RunFolder
from dfbench.store import Store

SHORT = "none(epochs=4, batch_size=16, lr=0.01)"
PGD, UNET = "pgd(eps=8/255, steps=3)", "unet(eps=8/255, epochs=1)"


@pytest.fixture(scope="module")
def request_(faces: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    out = tmp_path_factory.mktemp("run") / "out"
    options = ["--model", TINY, "--defense", SHORT, "--data", f'folder(path="{faces}", size=64)']
    options += ["--defense", f'dual(epochs=1, batch_size=16, steps=1, start="{SHORT}")']
    options += ["--attack", "none", "--attack", PGD, "--attack", UNET, "--attack", "pgd(eps=1/255, steps=2)"]
    options += ["--corruption", "none", "--corruption", "jpeg(quality=50)"]
    assert run_cli(["run", *options, "--cache", str(shared_cache), "--out", str(out)]) == 0
    run, store = RunFolder(out, load_registry(), torch.device("cpu")), Store(shared_cache)
    split = run.dataset(run.record["data"][0]["name"], store, Silent()).split("test")
    arms = sorted(run.arms, key=lambda arm: not arm.defense.startswith("none"))
    return Request(run, arms, [PGD, UNET], split, 4, out / "explain", 8, store, Silent())


def test_the_curves_are_those_of_the_logs(request_: Request) -> None:
    table = curves(request_)
    base, dual = request_.arms
    names = arm_names(request_.arms)
    assert set(table[table["kind"] == TRAINED]["arm"]) == {names[dual]}
    assert set(table[table["kind"] == FITTED]["arm"]) == set(names.values())
    ours = table[(table["kind"] == FITTED) & (table["arm"] == names[base])]
    log = request_.run.attacker_log(base, UNET)
    assert ours["success"].tolist() == [point["success"] for point in log]
    assert ours["step"].is_monotonic_increasing


def test_a_learned_attack_is_compared_with_others_of_its_eps(request_: Request) -> None:
    assert compared(request_) == {8 / 255: [PGD, UNET]}
    # Not asked for, the run's own attack of equal eps stands in; without a learned attack there is nothing to show.
    assert compared(replace(request_, attacks=[UNET])) == {8 / 255: [PGD, UNET]}
    assert compared(replace(request_, attacks=["pgd(eps=1/255, steps=2)", UNET])) == {8 / 255: [PGD, UNET]}
    assert compared(replace(request_, attacks=[PGD])) == {}


def test_perturbations_are_measured_on_the_images_that_the_run_attacked(request_: Request) -> None:
    found = look(request_, 8 / 255, [PGD, UNET])
    scores = pd.read_parquet(request_.run.path / "scores.parquet")
    names = {name: arm for arm, name in arm_names(request_.arms).items()}
    for (name, attack), drawn in found.drawn.items():
        ours = scores[(scores["defense"] == names[name].defense) & (scores["corruption"] == "none")]
        ours = ours[ours["attack"] == attack].set_index("id")
        for sample, score in drawn.scores.items():
            assert score == pytest.approx(ours.loc[sample, "score"], abs=1e-3)
            delta = drawn.examples[sample] - found.images[sample]
            assert float(delta.abs().max()) == pytest.approx(ours.loc[sample, "linf"], abs=1e-6)


def test_the_table_of_spectra_has_the_means_of_its_samples(request_: Request) -> None:
    found = look(request_, 8 / 255, [PGD, UNET])
    table = spectra([found]).set_index(["arm", "attack"])
    for key, drawn in found.drawn.items():
        ratios = [row["low_band_ratio"] for row in drawn.rows]
        assert table.loc[key, "n"] == len(ratios) == 8
        assert table.loc[key, "low_band_ratio"] == pytest.approx(sum(ratios) / 8)
        assert table.loc[key, "low_band_ratio_low"] <= table.loc[key, "low_band_ratio"]
        one = next(iter(drawn.examples))
        delta = (drawn.examples[one] - found.images[one])[None]
        assert any(float(low_band_ratio(delta)) == pytest.approx(ratio, abs=1e-5) for ratio in ratios)


def test_an_attack_that_moved_nothing_has_no_spectrum_and_leaves_the_scale_to_the_others(tmp_path: Path) -> None:
    row = {"tv": 0.0, "mean_abs": 0.0, "low_band_ratio": float("nan")}
    still = Drawn(torch.zeros(8, 8, dtype=torch.float64), [{"video": name, **row} for name in "abc"])
    moving = Drawn(torch.eye(8, dtype=torch.float64), [{"video": name, **row, "low_band_ratio": 0.5} for name in "abc"])
    found = Look(8 / 255, {("none", "pgd"): still, ("none", "unet"): moving}, [], {})
    table = spectra([found])
    assert table["n"].tolist() == [3, 3]
    assert table["n_low_band"].tolist() == [0, 3]
    assert np.isnan(table.loc[0, "low_band_ratio"])
    draw_spectra(tmp_path / "spectra.png", found, table)
    with Image.open(tmp_path / "spectra.png") as image:
        width, height = image.size
        maps = np.asarray(image.convert("RGB"))[: height * 3 // 4, : width * 2 // 3].reshape(-1, 3)
    yellow = (maps == (253, 231, 36)).all(1) | (maps == (253, 231, 37)).all(1)
    assert yellow.sum() > 1000  # the highest bins of the spectrum, at the end of the colour scale


def test_survival_is_read_from_the_cells(request_: Request) -> None:
    table = survival(request_)
    names = {name: arm for arm, name in arm_names(request_.arms).items()}
    cells = {
        (c["defense"], c["attack"], c["corruption_column"]): c["attack_success"] for c in request_.run.record["cells"]
    }
    assert set(table["attack"]) == {PGD, UNET, "pgd(eps=1/255, steps=2)"}
    for row in table.to_dict("records"):
        column = "none" if row["corruption"] == BEFORE else row["corruption"]
        told = cells[names[row["arm"]].defense, row["attack"], column]
        assert row["success"] == told["value"]
        assert row["n"] == told["n"]
        before = cells[names[row["arm"]].defense, row["attack"], "none"]["value"]
        if before:
            assert row["retained"] == pytest.approx(told["value"] / before)


def test_what_is_retained_is_the_success_after_a_corruption_over_that_before(request_: Request) -> None:
    run = copy(request_.run)
    values = {"none": 0.8, "jpeg(quality=50)": 0.2}
    run.record = {
        "cells": [
            {**cell, "attack_success": {"value": values[cell["corruption"]], "interval": None, "n": 10}}
            for cell in run.record["cells"]
            if cell["attack"] != "none"
        ]
    }
    table = survival(replace(request_, run=run))
    assert table["retained"].tolist() == pytest.approx([1 if c == BEFORE else 0.25 for c in table["corruption"]])


def test_every_part_is_written(request_: Request) -> None:
    names = {path.name for path in attackers.explain(request_)}
    assert names == {
        "attackers-training.png", "attackers-training.csv", "attackers-examples-8-255.png",
        "attackers-spectra-8-255.png", "attackers-spectra.csv", "attackers-survival.png", "attackers-survival.csv",
    }  # fmt: skip
    assert all((request_.out / name).stat().st_size > 0 for name in names)


def test_a_part_without_material_is_left_out_and_said_so(faces: Path, shared_cache: Path, tmp_path: Path) -> None:
    options = ["--model", TINY, "--defense", SHORT, "--data", f'folder(path="{faces}", size=64)']
    out = tmp_path / "out"
    assert run_cli(["run", *options, "--attack", PGD, "--cache", str(shared_cache), "--out", str(out)]) == 0
    run, store = RunFolder(out, load_registry(), torch.device("cpu")), Store(shared_cache)
    split = run.dataset(run.record["data"][0]["name"], store, Silent()).split("test")
    request = Request(run, list(run.arms), [PGD], split, 4, out / "explain", 8, store, Silent())
    assert attackers.explain(request) == []
    told = " ".join(request.notes)
    assert "no curves of attackers" in told
    assert "no perturbations of learned attackers" in told
    assert "nothing on what survives compression" in told
