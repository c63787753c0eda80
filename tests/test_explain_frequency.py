"""Frequency sensitivity: a detector whose frequency is known is found to depend on it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY
from PIL import Image
from torch import Tensor, nn

from dfbench.cli import run_cli
from dfbench.explain import frequency
from dfbench.explain.common import Request
from dfbench.explain.frequency import radial, summary
from dfbench.explain.frequency_measure import Response, measure
from dfbench.fourier import basis, lattice, radius
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.rundir import RunFolder
from dfbench.store import Store

SIZE = 64
PLANTED = (0, 20)


class Listens(nn.Module):
    """Answers fake as soon as there is energy at one frequency."""

    def __init__(self) -> None:
        super().__init__()
        images = basis([PLANTED], SIZE, SIZE)
        self.register_buffer("probe", torch.cat([images, images.flip(-1)]))

    def forward(self, x: Tensor) -> Tensor:
        # The flipped image is another phase of the same frequency: together they see whatever phase is there.
        energy = torch.einsum("bchw,phw->bcp", x - x.mean((2, 3), keepdim=True), self.probe).square().sum((1, 2))
        return torch.stack([torch.full_like(energy, 0.3), energy], 1)


@pytest.fixture(scope="module")
def request_(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    out, cache = tmp_path_factory.mktemp("run") / "out", tmp_path_factory.mktemp("cache")
    data = f'folder(path="{faces}", size={SIZE})'
    arms = ["--defense", "none(epochs=4, batch_size=16, lr=0.01)", "--defense", "none(epochs=1, batch_size=16)"]
    assert run_cli(["run", "--model", TINY, *arms, "--data", data, "--cache", str(cache), "--out", str(out)]) == 0
    run, store = RunFolder(out, load_registry(), torch.device("cpu")), Store(cache)
    split = run.dataset(run.record["data"][0]["name"], store, Silent()).split("test")
    return Request(run, list(run.arms), [], split, 4, out / "explain", 4, store, Silent())


def respond(request: Request, model: nn.Module, side: int = 17) -> Response:
    return measure(request, model, lattice(SIZE, SIZE, side), limit=4, rms=8 / 255, seed=0, advance=lambda *given: None)


def on_real(response: Response) -> Response:
    """Only the real samples: a detector that listens for energy is wrong about them alone."""
    real = response.labels == 0
    part = {"videos": response.videos[real], "labels": response.labels[real], "clean": response.clean[real]}
    return replace(response, **part, margins=response.margins[:, real])


def test_a_detector_is_sensitive_to_the_frequency_it_listens_to_and_to_no_other(request_: Request) -> None:
    response = on_real(respond(request_, Listens()))
    raised = {d for d, excess in zip(response.directions, response.excess.mean(1), strict=True) if excess > 0}
    assert raised == {PLANTED}


def test_the_mean_radius_of_the_excess_error_is_that_of_the_planted_frequency(request_: Request) -> None:
    (row,) = summary({"planted": on_real(respond(request_, Listens()))}, 8 / 255).to_dict("records")
    assert row["mean_radius"] == pytest.approx(radius(PLANTED, SIZE, SIZE))
    assert row["radius_if_flat"] == pytest.approx(0.38, abs=0.03)


def test_the_radial_mean_peaks_in_the_annulus_of_the_planted_frequency(request_: Request) -> None:
    table = radial({"planted": on_real(respond(request_, Listens()))}, 1 / 16)
    peak = table.loc[table["excess_error"].idxmax()]
    assert abs(peak["radius"] - radius(PLANTED, SIZE, SIZE)) < 1 / 32
    assert (table.loc[table["radius"] != peak["radius"], "excess_error"] <= 0).all()


def test_the_batch_size_does_not_change_the_response(request_: Request) -> None:
    model = request_.run.model(request_.arms[0])
    one, other = (respond(replace(request_, batch_size=size), model, 5) for size in (1, 32))
    order = np.argsort(one.videos), np.argsort(other.videos)
    assert np.allclose(one.margins[:, order[0]], other.margins[:, order[1]], atol=1e-4)


def test_a_tie_counts_as_fake_as_it_does_in_the_scores() -> None:
    response = Response([(0, 1)], (8, 8), np.array(["a", "b"]), np.array([0, 1]), np.ones(2), np.zeros((1, 2)))
    assert response.wrong(response.margins).tolist() == [[True, False]]
    assert response.excess.tolist() == [[1.0, 0.0]]


@pytest.fixture(scope="module")
def written(request_: Request) -> dict[str, Path]:
    found = frequency.explain(request_, side=5, evaluations=400)
    return {path.name: path for path in found}


def test_the_tables_name_every_arm_direction_and_unit(written: dict[str, Path], request_: Request) -> None:
    table = pd.read_csv(written["frequency.csv"])
    assert list(table.columns) == ["arm", "fy", "fx", "radius", "n", "error", "clean_error", "margin_change"]
    assert len(table) == 2 * len(lattice(SIZE, SIZE, 5))
    assert table["radius"].to_numpy() == pytest.approx(np.hypot(table["fy"], table["fx"]), abs=1e-5)
    assert set(table["n"]) == {8}
    assert table["fy"].abs().max() == table["fx"].max() == 0.5
    first, second = pd.read_csv(written["frequency-summary.csv"]).to_dict("records")
    assert first["rms_255"] == pytest.approx(16)
    assert first["l2_per_channel"] == pytest.approx(16 / 255 * SIZE, rel=1e-4)
    assert {first["arm"], second["arm"]} == set(table["arm"])


def test_the_clean_error_is_that_of_the_run_on_these_samples(written: dict[str, Path], request_: Request) -> None:
    ids = {sample.id for _, samples in request_.batches() for sample in samples}
    scores = pd.read_parquet(request_.run.path / "scores.parquet")
    table = pd.read_csv(written["frequency-summary.csv"])
    for arm, told in zip(request_.arms, table["clean_error"], strict=True):
        ours = scores[(scores["defense"] == arm.defense) & scores["id"].isin(ids)]
        assert told == pytest.approx(((ours["score"] >= 0.5) != ours["label"]).mean())


def test_the_figure_is_a_picture_that_says_how_to_read_it(written: dict[str, Path]) -> None:
    with Image.open(io.BytesIO(written["frequency.png"].read_bytes())) as image:
        assert image.width > 800
        assert "frequency" in image.info["Description"]


def test_a_noise_too_weak_to_raise_the_error_is_named(request_: Request, tmp_path: Path) -> None:
    request = replace(request_, out=tmp_path, notes=[])
    frequency.explain(request, rms=0.01 / 255, side=3, evaluations=40)
    (note,) = request.notes
    assert "noise of RMS 0.01/255 on 8 images raises the error of no detector" in note
    assert (tmp_path / "frequency.png").is_file()
