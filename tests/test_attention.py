"""Attention under attack: similarity of maps, the maps of a detector, and the floors they are read against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from detectors import SmallDetector, noise_images, small_detector
from torch import Tensor

from dfbench.attention import MEASURES, Attention, other_images, random_maps, require_cam_layer
from dfbench.contracts import Sample, Split
from dfbench.errors import UsageError
from dfbench.gradcam import grad_cam
from dfbench.progress import Silent
from dfbench.similarity import iinc, pearson, top_cell_iou

CPU = torch.device("cpu")


def some_maps(count: int = 50, side: int = 7) -> np.ndarray:
    return random_maps([f"map {i}" for i in range(count)], (side, side))


def grid(cells: Sequence[float], side: int = 4) -> np.ndarray:
    """One map (1, side, side) that begins with these cells; the others are 0."""
    found = np.zeros(side * side)
    found[: len(cells)] = cells
    return found.reshape(1, side, side)


EMPTY = grid([])


# --- similarity ---------------------------------------------------------------------------------------------------


def test_equal_maps_are_as_alike_as_can_be() -> None:
    maps = some_maps()
    np.testing.assert_allclose(pearson(maps, maps), 1, atol=1e-12)
    np.testing.assert_allclose(iinc(maps, maps), 0, atol=1e-12)
    np.testing.assert_array_equal(top_cell_iou(maps, maps), 1)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_the_order_of_two_maps_does_not_matter(measure: Any) -> None:
    a, b = some_maps(20), some_maps(40)[20:]
    np.testing.assert_allclose(measure(a, b), measure(b, a), atol=1e-12)


def test_pearson_is_that_of_numpy() -> None:
    a, b = some_maps(20), some_maps(40)[20:]
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(pearson(a, b), expected, atol=1e-9)


def test_a_constant_map_has_no_correlation() -> None:
    maps = np.concatenate([EMPTY, np.full((1, 4, 4), 0.7), grid([1, 0.5])])
    assert np.isnan(pearson(maps, maps[[2, 2, 2]])).tolist() == [True, True, False]


def test_iinc_is_the_hand_computed_one() -> None:
    a, b = grid([1, 0.5]), grid([0, 0.5, 1])
    # |a| = |b| = 1.5/16, I = [0, .5, 0] so |I| = 0.5/16, U = [1, .5, 1] so |U| = 2.5/16.
    assert iinc(a, b)[0] == pytest.approx((2 - 1 / 3 - 1 / 3) / (3 - 2.5 / 16))


def test_iinc_of_maps_without_a_common_cell_that_fill_the_grid_is_one() -> None:
    half = np.zeros((1, 4, 4))
    half[:, :2] = 1
    assert iinc(half, 1 - half)[0] == 1


def test_iinc_of_one_empty_map_is_one_over_three_minus_the_union() -> None:
    assert iinc(grid([1, 1]), EMPTY)[0] == iinc(EMPTY, grid([1, 1]))[0] == pytest.approx(1 / (3 - 2 / 16))


def test_an_empty_map_never_scores_better_than_an_identical_one() -> None:
    maps = some_maps()
    empty = np.zeros_like(maps)
    for other in (maps, empty):
        assert not (pearson(empty, other) > pearson(maps, maps)).any()
        assert not (iinc(empty, other) < iinc(maps, maps)).any()
        assert not (top_cell_iou(empty, other) > top_cell_iou(maps, maps)).any()
    assert (iinc(empty, maps) > 0.3).all()
    np.testing.assert_array_equal(top_cell_iou(empty, maps), 0)


def test_the_overlap_of_top_cells_is_the_hand_computed_one() -> None:
    a, b = grid([0.9, 0.8, 0.7, 0.6, 0.5]), grid([0.1, 0.9, 0.8, 0, 0.7])
    # The three strongest are cells 0, 1, 2 and cells 1, 2, 4.
    assert top_cell_iou(a, b, k=3)[0] == 2 / 4


def test_cells_that_are_zero_are_never_top_cells() -> None:
    assert top_cell_iou(grid([1, 0.5]), grid([0, 0, 1, 0.5]), k=10)[0] == 0
    assert top_cell_iou(grid([1, 0.5]), grid([1]), k=10)[0] == 1 / 2


def test_tied_cells_share_the_last_places_whatever_their_position() -> None:
    # Two places are left for three tied cells: two thirds of one for each of them.
    tied = grid([1, 0.5, 0.5, 0.5])
    found = [top_cell_iou(tied, grid(b), k=3)[0] for b in ([1, 0.9, 0.8], [1, 0, 0.9, 0.8], [1, 0.9, 0, 0.8])]
    assert found == pytest.approx([(1 + 2 / 3 + 2 / 3) / (1 + 1 + 1 + 2 / 3)] * 3)


@pytest.mark.parametrize("side, k", [(1, 10), (3, 10), (3, 9)])
def test_a_grid_of_no_more_cells_than_are_compared_has_no_top_cells(side: int, k: int) -> None:
    maps = some_maps(2, side)
    assert np.isnan(top_cell_iou(maps, maps, k)).all()


def test_maps_of_two_grids_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 7, 7\) and \(2, 3, 3\)"):
        pearson(some_maps(2), some_maps(2, 3))


# --- floors -------------------------------------------------------------------------------------------------------


def test_random_maps_are_no_more_alike_than_chance() -> None:
    a, b = some_maps(2000)[:1000], some_maps(2000)[1000:]
    assert pearson(a, b).mean() == pytest.approx(0, abs=0.02)
    assert top_cell_iou(a, b).mean() == pytest.approx(0.12, abs=0.01)  # of 10 of 49 cells 2.04 are common by chance


def test_a_random_map_depends_on_its_sample_alone() -> None:
    ids = [f"s{i}" for i in range(6)]
    maps = random_maps(ids, (7, 7))
    np.testing.assert_array_equal(random_maps(ids[::-1], (7, 7)), maps[::-1])
    np.testing.assert_array_equal(random_maps(ids[2:3], (7, 7)), maps[2:3])
    assert len(np.unique(maps.reshape(6, -1), axis=0)) == 6
    assert (maps.max((1, 2)) == 1).all()
    assert maps.min() == 0


@pytest.mark.parametrize("side", [1, 2, 3])
def test_no_random_map_is_empty_however_small_its_grid(side: int) -> None:
    assert (some_maps(3000, side).max((1, 2)) == 1).all()


def samples(videos: Sequence[int]) -> list[Sample]:
    return [Sample(f"{video}/{i}", i % 2, str(video)) for i, video in enumerate(videos)]


@pytest.mark.parametrize("videos", [list(range(40)), [i // 4 for i in range(40)], [0] * 20 + list(range(1, 21))])
def test_every_image_stands_in_for_one_of_another_video(videos: list[int]) -> None:
    other = other_images(samples(videos))
    assert sorted(other) == list(range(40))
    assert all(videos[i] != videos[j] for i, j in enumerate(other))


def test_which_image_stands_in_does_not_depend_on_the_order() -> None:
    one = samples([i // 4 for i in range(40)])
    two = [one[i] for i in np.random.default_rng(0).permutation(40)]
    pairs = [{found[i].id: found[j].id for i, j in enumerate(other_images(found))} for found in (one, two)]
    assert pairs[0] == pairs[1]


def test_a_video_of_more_than_half_of_all_images_cannot_always_be_left() -> None:
    videos = [0] * 7 + [1] * 3
    other = other_images(samples(videos))
    assert (other == -1).sum() == 4
    assert other_images(samples([0])).tolist() == [-1]


# --- the detector's attention -------------------------------------------------------------------------------------


class Noise(Split):
    """Images of noise, each of a video of its own."""

    def __init__(self, count: int = 12) -> None:
        self.samples = samples(range(count))
        self._images = (noise_images(count) * 255).byte().permute(0, 2, 3, 1).numpy()

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray:
        return self._images[index]

    @property
    def ids(self) -> list[str]:
        return [sample.id for sample in self.samples]

    @property
    def x(self) -> Tensor:
        """All images as a detector takes them."""
        return torch.from_numpy(np.stack([self.pixels(i) for i in range(len(self.samples))])).permute(0, 3, 1, 2) / 255


def attention(model: torch.nn.Module, split: Split, batch_size: int = 5) -> Attention:
    return Attention(model, split, batch_size=batch_size, device=CPU, progress=Silent(), title="attention")


@torch.inference_mode()
def logits(model: torch.nn.Module, x: Tensor) -> Tensor:
    return model(x)


def columns(model: torch.nn.Module, split: Noise, x: Tensor, batch_size: int = 5) -> dict[str, np.ndarray]:
    found = attention(model, split, batch_size)
    parts = [found.look(x[i : i + batch_size], split.ids[i : i + batch_size])[1] for i in range(0, len(x), batch_size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def changed(x: Tensor) -> Tensor:
    """The images after something strong: some of the predictions become others."""
    return 0.4 * x + 0.6 * noise_images(len(x), seed=1)


def test_clean_images_look_like_themselves() -> None:
    model, split = small_detector(), Noise()
    found = columns(model, split, split.x)
    np.testing.assert_allclose(found["cam_pearson"], 1, atol=1e-6)
    np.testing.assert_allclose(found["cam_iinc"], 0, atol=1e-5)
    assert not found["flipped"].any()


def test_both_maps_are_of_the_class_predicted_on_the_clean_image() -> None:
    model, split = small_detector(), Noise()
    x = changed(split.x)
    predicted = logits(model, split.x).argmax(1)
    clean, seen = (grad_cam(model, images, predicted).numpy() for images in (split.x, x))
    found = columns(model, split, x)
    np.testing.assert_allclose(found["cam_pearson"], pearson(clean, seen), atol=1e-4)
    np.testing.assert_allclose(found["cam_iinc"], iinc(clean, seen), atol=1e-4)
    flipped = (logits(model, x).argmax(1) != predicted).numpy()
    np.testing.assert_array_equal(found["flipped"], flipped)
    assert 0 < flipped.sum() < len(flipped)


def test_the_floors_compare_with_a_random_map_and_with_another_images_clean_one() -> None:
    model, split = small_detector(), Noise()
    x, ours = changed(split.x), attention(small_detector(), split)
    seen = grad_cam(model, x, torch.from_numpy(ours.predicted)).numpy()
    found = columns(model, split, x)
    shuffled = pearson(ours.maps[other_images(split.samples)], seen)
    np.testing.assert_allclose(found["cam_pearson_shuffled"], shuffled, atol=1e-4)
    np.testing.assert_allclose(found["cam_iinc_random"], iinc(random_maps(split.ids, (8, 8)), seen), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 12])
def test_batches_change_no_column(batch_size: int) -> None:
    model, split = small_detector(), Noise()
    x = changed(split.x)
    expected, found = columns(model, split, x), columns(model, split, x, batch_size)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-3, err_msg=name)


def test_the_order_of_images_changes_no_column() -> None:
    model, split = small_detector(), Noise()
    x, order = changed(split.x), np.random.default_rng(0).permutation(12)
    ours = attention(model, split)
    expected = ours.look(x, split.ids)[1]
    found = ours.look(x[order], [split.ids[i] for i in order])[1]
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values[order], atol=1e-4, err_msg=name)


def test_a_split_of_one_image_has_no_shuffled_floor() -> None:
    model, split = small_detector(), Noise(1)
    found = columns(model, split, split.x)
    assert all(np.isnan(found[f"{name}_shuffled"]).all() for name in MEASURES)
    assert not np.isnan(found["cam_pearson_random"]).any()


class BlindFeatures(torch.nn.Module):
    """Features that are 0 where the image is dark."""

    def __init__(self, features: torch.nn.Module) -> None:
        super().__init__()
        self.inner = features

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * (x.mean((1, 2, 3), keepdim=True) > -1.5)


def test_the_logits_of_a_look_are_the_detectors_own() -> None:
    model, split = small_detector(), Noise()
    found = attention(model, split).look(changed(split.x), split.ids)[0]
    torch.testing.assert_close(found, logits(model, changed(split.x)), atol=1e-6, rtol=1e-6)


def test_empty_maps_are_told() -> None:
    model, split = small_detector(), Noise()
    model.features = BlindFeatures(model.features)
    x = split.x.clone()
    x[3] = 0
    found = columns(model, split, x)
    assert found["cam_empty"].tolist() == [i == 3 for i in range(12)]
    assert not found["cam_empty_clean"].any()
    assert np.isnan(found["cam_pearson"]).tolist() == [i == 3 for i in range(12)]


def test_a_detector_without_a_cam_layer_is_refused_before_it_is_run() -> None:
    class Untouched(SmallDetector):
        cam_layer = ""

        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("it was run")

    model = small_detector()
    model.__class__ = Untouched
    model.cam_layer = ""
    for use in (lambda: attention(model, Noise()), lambda: require_cam_layer("noise", model.cam_layer)):
        with pytest.raises(UsageError, match="has no layer whose output is a map"):
            use()


def test_the_detector_is_left_as_it_was() -> None:
    model = small_detector()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    columns(model, Noise(), Noise().x)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
