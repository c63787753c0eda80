"""Attention as evidence: the attacks of the run, one class for all conditions, shares that are computed by hand."""

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

from dfbench.cli import run_cli
from dfbench.contracts import Sample
from dfbench.explain import attention
from dfbench.explain.attention_measure import CLEAN, Attention, Look, look
from dfbench.explain.attention_share import coverage, mean_maps, outside, summary
from dfbench.explain.common import Request, attacker
from dfbench.explain.figure import reading_of
from dfbench.gradcam import grad_cam
from dfbench.names import file_name
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.rundir import RunFolder, TrainedArm
from dfbench.store import Store

PGD = "pgd(eps=16/255, steps=3)"
ARM = TrainedArm("tiny", "none", "faces", 0)


# --- on a real run over portraits ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Portraits as real, with stripes as fake; one real test image shows no face."""
    pytest.importorskip("facenet_pytorch")
    from dfbench.errors import MissingDependency
    from dfbench_data.photos import photographs

    try:
        found = iter(photographs().values())
    except MissingDependency as error:
        pytest.skip(str(error))
    root = tmp_path_factory.mktemp("portraits")
    stripes = 30 * np.sign(np.sin(np.arange(96) * 1.3))[None, :, None]
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        for name in ("real", "fake"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = Image.open(io.BytesIO(next(found))).convert("RGB").resize((96, 96))
                pixels = np.asarray(image, dtype=float) + (stripes if name == "fake" else 0)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                    folder / f"{split}-{name}-{chr(97 + number)}x.png"
                )
    blank = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(blank).save(root / "test" / "real" / "blank.png")
    return root


@pytest.fixture(scope="module")
def request_(portraits: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    out, cache = tmp_path_factory.mktemp("run") / "out", tmp_path_factory.mktemp("cache")
    data = f'folder(path="{portraits}", size=96)'
    arguments = ["--model", TINY, "--defense", "pgd-at(epochs=1, batch_size=8, steps=1)", "--attack", PGD]
    baseline = ["--defense", "none(epochs=3, batch_size=8, lr=0.01)"]
    assert run_cli(["run", *arguments, *baseline, "--data", data, "--cache", str(cache), "--out", str(out)]) == 0
    run, store = RunFolder(out, load_registry(), torch.device("cpu")), Store(cache)
    split = run.dataset(run.record["data"][0]["name"], store, Silent()).split("test")
    arms = sorted(run.arms, key=lambda arm: not arm.defense.startswith("none"))
    (label,) = {cell["attack"] for cell in run.record["cells"]} - {CLEAN}
    return Request(run, arms, [label], split, 10, out / "explain", 4, store, Silent())


@pytest.fixture(scope="module")
def looked(request_: Request) -> Attention:
    return look(request_)


@pytest.fixture(scope="module")
def written(request_: Request) -> list[Path]:
    return attention.explain(request_)


def test_every_figure_and_table_is_written(written: list[Path], request_: Request) -> None:
    names = {path.name for path in written}
    (name,) = (arm.defense for arm in request_.arms[1:])
    figures = {"attention-mean.png", "attention-outside.png", f"attention--{file_name(name)}.png"}
    assert names == {*figures, "attention.csv", "attention-maps.csv"}
    assert all(path.parent == request_.out and path.is_file() for path in written)


def test_every_figure_tells_how_to_read_it(written: list[Path]) -> None:
    assert all(len(reading_of(path)) > 80 for path in written if path.suffix == ".png")


def test_scores_are_those_of_the_runs_own_cells(request_: Request, looked: Attention) -> None:
    scores = pd.read_parquet(request_.run.path / "scores.parquet")
    for (arm, condition), ours in looked.looks.items():
        cell = scores[(scores["defense"] == arm.defense) & (scores["attack"] == condition)].set_index("id")
        expected = cell.loc[[sample.id for sample in looked.samples], "score"]
        np.testing.assert_allclose(ours.scores, expected, atol=2e-3)


def test_all_maps_are_of_the_class_predicted_on_the_clean_image(request_: Request, looked: Attention) -> None:
    arm, (label,) = request_.arms[0], request_.attacks
    model = request_.run.model(arm)
    predicted = torch.from_numpy(looked.looks[arm, CLEAN].scores >= 0.5).long()
    flipped = (looked.looks[arm, label].scores >= 0.5) != predicted.bool().numpy()
    assert flipped.any()  # else the attack changes no class, and nothing is tested
    maps, start = [], 0
    for batch, _ in request_.batches():
        x = attacker(request_, arm, label, model)(batch)
        maps.append(grad_cam(model, x, predicted[start : start + len(x)]))
        start += len(x)
    np.testing.assert_allclose(looked.looks[arm, label].maps, torch.cat(maps).numpy(), atol=1e-5)


def test_the_batch_size_changes_no_map(request_: Request, looked: Attention) -> None:
    one = look(replace(request_, arms=request_.arms[:1], attacks=[], batch_size=3))
    key = (request_.arms[0], CLEAN)
    np.testing.assert_allclose(one.looks[key].maps, looked.looks[key].maps, atol=1e-4)


def test_boxes_are_those_of_the_face_detector_on_the_clean_images(request_: Request, looked: Attention) -> None:
    detector = request_.run.registry.component("detector", "mtcnn").build()
    for image, box in zip(looked.images, looked.boxes, strict=True):
        faces = detector(image[None])[0]
        assert (box is None) == (not faces)
        if box is not None:
            assert box == faces[0].box


def test_an_image_without_a_face_is_counted_and_left_out(looked: Attention) -> None:
    blank = next(i for i, sample in enumerate(looked.samples) if "blank" in sample.id)
    assert looked.boxes[blank] is None
    table = summary(looked)
    real = table[table["class"] == "real"]
    assert (real["n"] == 5).all()
    assert (real["no_face"] >= 1).all()
    assert (real["outside_n"] <= 5 - real["no_face"]).all()
    assert (real["outside"].notna() == (real["outside_n"] > 0)).all()


def test_the_notes_tell_how_many_images_have_no_face(request_: Request, written: list[Path]) -> None:
    assert any("mtcnn found no face in 1 of 9 images" in note for note in request_.notes)


# --- by hand ------------------------------------------------------------------------------------------------------


def by_hand(
    maps: list[list[list[float]]],
    boxes: list[tuple[float, float, float, float] | None],
    **others: list[list[list[float]]],
) -> Attention:
    """Samples of class real, each a video of its own, on images of 4 x 4 pixels; ``others`` are attacked maps."""
    samples = [Sample(f"s{n}", 0, f"v{n}") for n in range(len(maps))]
    looks = {
        (ARM, name): Look(np.array(values, np.float32), np.full(len(maps), 0.25))
        for name, values in {CLEAN: maps, **others}.items()
    }
    return Attention(samples, np.zeros((len(maps), 4, 4, 3), np.uint8), boxes, {ARM: "none"}, looks)


LEFT_HALF = (0.0, 0.0, 2.0, 4.0)
LEFT, RIGHT, EVEN, EMPTY = [[1, 0], [1, 0]], [[0, 1], [0, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]


def test_coverage_counts_cells_that_are_partly_covered() -> None:
    # Cells of 2 x 2 pixels; the box covers one pixel of each in the upper left, all of none.
    expected = [[0.25, 0.5], [0.0, 0.0]]
    np.testing.assert_allclose(coverage((1.0, 1.0, 4.0, 2.0), (4, 4), (2, 2)), expected)


def test_coverage_sums_to_the_area_of_the_box() -> None:
    covered = coverage((10.0, 20.0, 61.5, 90.25), (100, 80), (7, 5))
    assert covered.mean() == pytest.approx(51.5 * 70.25 / 8000)


def test_a_box_that_reaches_beyond_the_image_covers_its_cells_once() -> None:
    assert coverage((-3.0, -1.0, 9.0, 2.0), (4, 4), (2, 2)).tolist() == [[1, 1], [0, 0]]


def test_the_share_outside_is_that_of_the_maps_mass() -> None:
    shares = outside(np.array([LEFT, RIGHT, EVEN, [[3, 1], [0, 0]]]), [LEFT_HALF] * 4, (4, 4))
    np.testing.assert_allclose(shares, [0, 1, 0.5, 0.25])


def test_a_uniform_map_has_the_share_of_the_area() -> None:
    row = summary(by_hand([EVEN, EVEN], [(0.0, 0.0, 1.0, 4.0), (1.0, 1.0, 3.0, 4.0)])).iloc[0]
    assert row["outside"] == pytest.approx(row["area"])
    assert row["area"] == pytest.approx((12 / 16 + 10 / 16) / 2)


@pytest.mark.filterwarnings("error")
def test_empty_maps_and_images_without_a_face_have_no_share() -> None:
    row = summary(by_hand([LEFT, EMPTY, RIGHT], [LEFT_HALF, (0.0, 0.0, 1.0, 4.0), None])).iloc[0]
    assert (row["n"], row["zero_map"], row["no_face"], row["outside_n"]) == (3, 1, 1, 1)
    assert (row["outside"], row["area"]) == (0, 0.5)


def test_without_any_face_the_share_is_empty_and_the_figure_left_out() -> None:
    row = summary(by_hand([LEFT, RIGHT], [None, None])).iloc[0]
    assert row["outside_n"] == 0
    assert np.isnan([row["outside"], row["low"], row["high"], row["area"]]).all()


def test_the_change_is_paired_with_the_clean_image() -> None:
    table = summary(by_hand([LEFT, RIGHT, EMPTY], [LEFT_HALF] * 3, fgsm=[EVEN, RIGHT, RIGHT]))
    clean, attacked_ = table.iloc[0], table.iloc[1]
    assert (clean["outside"], attacked_["outside"]) == (0.5, pytest.approx(2.5 / 3))
    assert attacked_["change"] == 0.25  # of the two images that have a map in both conditions
    assert np.isnan(clean["change"])


def test_frames_of_one_video_are_no_independent_samples() -> None:
    seen = by_hand([LEFT, RIGHT, LEFT, RIGHT], [LEFT_HALF] * 4)
    together = replace(seen, samples=[replace(sample, video="v") for sample in seen.samples])
    assert summary(seen).iloc[0]["low"] < 0.5 < summary(seen).iloc[0]["high"]
    assert np.isnan(summary(together).iloc[0]["low"])


def test_correct_means_the_class_at_threshold_one_half() -> None:
    seen = by_hand([LEFT, LEFT], [LEFT_HALF] * 2)
    scores = np.array([0.5, 0.4])  # fake, real
    row = summary(replace(seen, looks={(ARM, CLEAN): Look(seen.looks[ARM, CLEAN].maps, scores)})).iloc[0]
    assert (row["correct"], row["score"]) == (0.5, pytest.approx(0.45))


def test_mean_maps_are_over_the_images_of_a_class() -> None:
    table = mean_maps(by_hand([LEFT, RIGHT, RIGHT, EMPTY], [None] * 4))
    assert table["n"].eq(4).all()
    np.testing.assert_allclose(table.pivot(index="row", columns="column", values="mean"), [[0.25, 0.5], [0.25, 0.5]])
