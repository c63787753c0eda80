from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from dfbench.augment import crop_box, rotated, standard
from dfbench.contracts import Sample, Split
from dfbench.errors import DataError
from dfbench.loader import Loader, check_pixels, stratified_order

CPU = torch.device("cpu")


class Numbered(Split):
    """Sample i is an image of brightness i with a dark left half; every third is fake."""

    samples: Sequence[Sample]

    def __init__(self, count: int = 30) -> None:
        self.samples = [Sample(f"s{i}", int(i % 3 == 0), f"v{i}") for i in range(count)]

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray[Any, Any]:
        image = np.full((4, 4, 3), index, dtype=np.uint8)
        image[:, :2] = 0
        return image


def ids(loader: Loader, epoch: int) -> list[str]:
    return [i for batch in loader.epoch(epoch) for i in batch.ids]


def test_evaluation_keeps_the_order_and_the_incomplete_last_batch() -> None:
    loader = Loader(Numbered(), 8, CPU)
    assert ids(loader, 0) == [f"s{i}" for i in range(30)]
    assert len(loader) == 4


def test_training_shuffles_anew_each_epoch_and_the_same_way_for_the_same_seed() -> None:
    loader = Loader(Numbered(), 10, CPU, train=True, seed=1)
    assert ids(loader, 0) != ids(loader, 1)
    assert ids(loader, 0) == ids(Loader(Numbered(), 10, CPU, train=True, seed=1), 0)
    assert ids(loader, 0) != ids(Loader(Numbered(), 10, CPU, train=True, seed=2), 0)
    assert sorted(ids(loader, 0)) == sorted(s.id for s in Numbered().samples)


def test_every_training_batch_holds_both_classes_in_proportion() -> None:
    for batch in Loader(Numbered(), 6, CPU, train=True).epoch(3):
        assert int(batch.y.sum()) in (1, 2, 3)
    labels = np.array([0] * 90 + [1] * 10)
    order = stratified_order(labels, np.random.default_rng(0))
    assert sorted(order) == list(range(100))
    assert all(labels[order[i : i + 20]].sum() in (1, 2, 3) for i in range(0, 100, 20))


def test_pixels_become_numbers_from_0_to_1() -> None:
    (batch,) = Loader(Numbered(), 30, CPU).epoch()
    assert batch.x.shape == (30, 3, 4, 4)
    assert batch.x.dtype == torch.float32
    assert torch.equal(batch.x[:, 0, 0, 3], torch.arange(30) / 255)


def test_augmentation_flips_about_half_and_another_half_each_epoch() -> None:
    loader = Loader(Numbered(240), 240, CPU, train=True, augment="flip")

    def flipped(epoch: int) -> dict[str, bool]:
        (batch,) = loader.epoch(epoch)
        return {i: bool(x[0, 0, 0] > 0) for i, x in zip(batch.ids, batch.x, strict=True)}

    first, second = flipped(0), flipped(1)
    assert 90 < sum(first.values()) < 150
    assert first != second
    (plain,) = Loader(Numbered(240), 240, CPU, train=True).epoch()
    assert not plain.x[:, 0, 0, 0].any()


class Faces(Split):
    """Smooth images of 40 x 32 pixels, each its own; every third is fake."""

    samples: Sequence[Sample]

    def __init__(self, count: int = 12) -> None:
        self.samples = [Sample(f"s{i}", int(i % 3 == 0), f"v{i}") for i in range(count)]

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray[Any, Any]:
        small = np.random.default_rng(index).integers(60, 200, (5, 4, 3), dtype=np.uint8)
        return np.kron(small, np.ones((8, 8, 1), dtype=np.uint8))


def augmented(batch_size: int, epoch: int, seed: int = 0) -> dict[str, torch.Tensor]:
    loader = Loader(Faces(), batch_size, CPU, train=True, seed=seed, augment="standard")
    return {i: x for batch in loader.epoch(epoch) for i, x in zip(batch.ids, batch.x, strict=True)}


def test_standard_augmentation_is_the_samples_own_whatever_the_batch() -> None:
    one, other = augmented(12, 3), augmented(4, 3)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[i], other[i]) for i in one)


def test_standard_augmentation_is_another_for_each_sample_epoch_and_seed() -> None:
    one = augmented(12, 3)
    for other in (augmented(12, 4), augmented(12, 3, seed=1)):
        assert not any(torch.equal(one[i], other[i]) for i in one)


def test_standard_augmentation_leaves_evaluation_alone() -> None:
    plain, same = (Loader(Faces(), 12, CPU, augment=kind) for kind in ("none", "standard"))
    assert torch.equal(next(plain.epoch()).x, next(same.epoch()).x)


def test_standard_augmentation_keeps_shape_and_type_and_leaves_no_black_corners() -> None:
    bright = np.full((40, 32, 3), 200, dtype=np.uint8)
    for seed in range(20):
        image = standard(bright, np.random.default_rng(seed))
        assert image.shape == bright.shape
        assert image.dtype == np.uint8
        assert image.min() > 150


@pytest.mark.parametrize("degrees", [-10.0, -3.0, 0.0, 7.0, 10.0])
def test_a_rotated_image_is_the_image_turned_about_its_centre(degrees: float) -> None:
    """A blob off the centre is found where trigonometry puts it, y downwards, counter-clockwise positive."""
    rows, columns = torch.meshgrid(torch.arange(61.0), torch.arange(51.0), indexing="ij")
    blob = torch.exp(-((rows - 30) ** 2 + (columns - 40) ** 2) / 8).expand(3, -1, -1)
    turned = rotated(blob, degrees)[0]
    assert turned.shape == (61, 51)
    found = [float((turned * axis).sum() / turned.sum()) for axis in (rows, columns)]
    angle = math.radians(degrees)
    assert found == pytest.approx([30 - 15 * math.sin(angle), 25 + 15 * math.cos(angle)], abs=0.2)


def test_a_crop_keeps_nine_tenths_of_the_area_and_lies_inside() -> None:
    boxes = [crop_box(200, 160, np.random.default_rng(seed)) for seed in range(200)]
    for top, left, height, width in boxes:
        assert 0 <= top <= top + height <= 200
        assert 0 <= left <= left + width <= 160
        assert height * width >= 0.89 * 200 * 160
        assert 0.74 <= width / height <= 1.34
    assert len(set(boxes)) > 100


@pytest.mark.parametrize(
    "pixels, message",
    [
        (np.full((4, 4, 3), np.nan, np.float32), "'bad': the pixels contain NaN"),
        (np.full((4, 4, 3), 0.5, np.float32), "type float32 .0.5 to 0.5.; the data set must give uint8"),
        (np.full((4, 4, 3), 300, np.int64), "300 to 300"),
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\); the data set must give RGB"),
        (np.zeros((4, 5, 3), np.uint8), "all must be of one size"),
        ([[0, 0, 0]], "gave list, not a numpy array"),
    ],
)
def test_pixels_outside_the_contract_are_a_data_error_that_names_the_sample(pixels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_pixels(pixels, "bad", (4, 4, 3))
