"""The leakage audit: what two splits share is found and named, and what they do not share raises nothing."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli, draw
from PIL import Image

from dfbench.audit import Finding, audit, audit_pair
from dfbench.contracts import Dataset, Sample, Split
from dfbench.errors import DataError
from dfbench.phash import CANDIDATE, DUPLICATE, LENGTH, detail_correlation, phash, vectors
from dfbench.progress import Silent
from dfbench.store import Store

SHARED = Path(__file__).parents[1].parent / "shared/data"
needs_lfw = pytest.mark.skipif(not (SHARED / "lfw").is_dir(), reason="the LFW faces are not here")
needs_ffpp = pytest.mark.skipif(not (SHARED / "ffpp").is_dir(), reason="the FaceForensics++ split files are not here")
BICUBIC = Image.Resampling.BICUBIC


def random_hash(name: str) -> str:
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    return "".join("0123456789abcdef"[digit] for digit in rng.integers(0, 16, LENGTH))


class Rows(Split):
    """Samples with their pixels; without them only hashes may be looked at."""

    def __init__(self, samples: Sequence[Sample], images: Sequence[np.ndarray] = ()) -> None:
        self.samples, self._images = samples, images
        self.reads = 0

    def pixels(self, index: int, *, epoch: int = 0, seed: int = 0) -> np.ndarray:
        self.reads += 1
        return self._images[index]


class Given(Dataset):
    def __init__(self, splits: Mapping[str, Rows], fingerprint: str = "0" * 64) -> None:
        self._splits, self._fingerprint = splits, fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def split(self, name: str) -> Split:
        if name not in self._splits:
            raise DataError(f"no {name} split")
        return self._splits[name]


def sample(name: str, *people: str, video: str = "") -> Sample:
    return Sample(name, len(people) > 1, video or name, people, phash=random_hash(name))


def pictures(split: str, images: Sequence[np.ndarray]) -> Rows:
    return Rows([Sample(f"{split}/{i}", i % 2, f"{split}/{i}") for i in range(len(images))], images)


def face(rng_seed: int, size: int = 112) -> np.ndarray:
    return draw(np.random.default_rng(rng_seed), fake=False, size=size)


def found(**splits: Rows) -> list[Finding]:
    return audit(Given(splits), "faces", None, Silent())


def kinds(findings: Sequence[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


# --- names ----------------------------------------------------------------------------------------------------------


def test_splits_that_share_nothing_give_no_finding():
    assert not found(train=Rows([sample("a", "p", "q")]), val=Rows([sample("b", "r")]), test=Rows([sample("c", "s")]))


def test_a_split_may_be_absent():
    assert not found(test=Rows([sample("a", "p")]))
    assert kinds(found(train=Rows([sample("a", "p")]), test=Rows([sample("b", "p")]))) == ["identity"]


def test_a_source_identity_that_is_a_target_elsewhere_is_found_and_named():
    (finding,) = found(train=Rows([sample("a", "ann", "bob")]), test=Rows([sample("b", "cleo"), sample("c", "bob")]))
    assert finding.message == (
        "faces: 1 identities are in both train and test (bob): split by people, sources and targets of fakes alike"
    )
    assert (finding.kind, finding.count, finding.names) == ("identity", 1, ("bob",))


def test_a_video_in_two_splits_is_found_and_named():
    train, val = Rows([sample("a/1", "p", video="a")]), Rows([sample("a/2", "q", video="a")])
    (finding,) = found(train=train, val=val)
    assert finding.message == "faces: 1 videos are in both train and val (a): keep all frames of a video in one split"


def test_an_id_that_occurs_twice_is_found_in_one_split_and_across_two():
    inside = found(train=Rows([sample("a", video="v"), sample("a", video="w")]))
    one, other = (Sample("a", 0, video, phash=random_hash(video)) for video in ("v", "w"))
    across = found(train=Rows([one]), test=Rows([other]))
    assert kinds(inside) == kinds(across) == ["id"]
    assert inside[0].message.startswith("faces: 1 ids stand for more than one sample (a)")


def test_many_shared_names_are_counted_and_the_first_three_named():
    people = [f"p{i:03d}" for i in range(150)]
    rows = [Rows([sample(f"{split}{p}", p) for p in people]) for split in ("a", "b")]
    (finding,) = found(train=rows[0], test=rows[1])
    assert "150 identities are in both train and test (p000, p001, p002, ...)" in finding.message
    assert finding.count == 150
    assert finding.names == tuple(people[:100])


# --- FaceForensics++'s splits ---------------------------------------------------------------------------------------


def ffpp() -> dict[str, list[tuple[str, str]]]:
    return {split: json.loads((SHARED / f"ffpp/{split}.json").read_text()) for split in ("train", "val", "test")}


def forgeries(pairs: Sequence[tuple[str, str]]) -> list[Sample]:
    """Both directions of each pair by two manipulations, and the two originals."""
    rows = []
    for a, b in pairs:
        rows += [sample(f"original/{name}", name) for name in (a, b)]
        rows += [sample(f"{kind}/{x}_{y}", x, y) for kind in ("Deepfakes", "FaceSwap") for x, y in ((a, b), (b, a))]
    return rows


@needs_ffpp
def test_the_official_pairs_of_faceforensics_pass():
    assert not found(**{split: Rows(forgeries(pairs)) for split, pairs in ffpp().items()})


@needs_ffpp
def test_a_random_split_on_targets_alone_fails_and_names_the_shared_people():
    everyone = [row for pairs in ffpp().values() for row in forgeries(pairs)]
    targets = sorted({row.identities[0] for row in everyone})
    order = dict(zip(np.random.default_rng(0).permutation(targets).tolist(), range(len(targets)), strict=True))
    split_of = {name: "train" if place < 720 else "val" if place < 860 else "test" for name, place in order.items()}
    parts = {s: Rows([row for row in everyone if split_of[row.identities[0]] == s]) for s in ("train", "val", "test")}
    findings = found(**parts)
    assert kinds(findings) == ["identity"] * 3
    in_both = next(finding for finding in findings if "train and test" in finding.message)
    expected = sorted(
        {p for row in parts["train"].samples for p in row.identities}
        & {p for row in parts["test"].samples for p in row.identities}
    )
    assert in_both.count == len(expected) > 150
    assert in_both.names == tuple(expected[:100])
    assert ", ".join(expected[:3]) in in_both.message


# --- near-duplicates ------------------------------------------------------------------------------------------------


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def view(image: Image.Image, x: float = 0, y: float = 0, size: int = 224) -> np.ndarray:
    """A square of the photograph, shifted by shares of its side, as by a detector that finds the face a bit off."""
    side = 0.78 * image.width
    left, top = (image.width - side) / 2 + x * side, (image.height - side) / 2 + y * side
    return np.asarray(image.resize((size, size), BICUBIC, box=(left, top, left + side, top + side)))


def brighter(pixels: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(pixels * factor, 0, 255).astype(np.uint8)


COPIES = {
    "smaller": lambda photo: view(photo, size=202),
    "larger": lambda photo: view(photo, size=246),
    "JPEG": lambda photo: np.asarray(jpeg(Image.fromarray(view(photo)), 50)),
    "darker": lambda photo: brighter(view(photo), 0.95),
    "brighter": lambda photo: brighter(view(photo), 1.05),
    "shifted right": lambda photo: view(photo, 0.03),
    "shifted up": lambda photo: view(photo, 0, -0.03),
    "shifted both ways": lambda photo: view(photo, 0.02, 0.02),
    "all at once": lambda photo: np.asarray(jpeg(Image.fromarray(brighter(view(photo, 0.02, -0.02), 1.05)), 50)),
}


def people(n: int) -> list[Image.Image]:
    files = sorted((SHARED / "lfw").glob("*.jpg"))
    return [Image.open(file).convert("RGB") for file in files[:: len(files) // n][:n]]


@needs_lfw
@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_a_face_are_found_among_many_people(copy):
    train, copied = people(300), people(300)[::15]
    (finding,) = found(
        train=pictures("train", [view(photo, size=128) for photo in train]),
        test=pictures("test", [COPIES[copy](photo) for photo in copied]),
    )
    assert finding.kind == "near-duplicate"
    assert finding.names == tuple(f"test/{i} = train/{15 * i}" for i in range(20))


@needs_lfw
def test_different_people_are_no_near_duplicates_though_their_faces_are_aligned():
    images = [view(photo, size=128) for photo in people(1000)]
    assert not found(train=pictures("train", images[::2]), test=pictures("test", images[1::2]))


@needs_lfw
def test_people_who_look_alike_to_the_hash_are_told_apart_by_their_pixels():
    alike = [
        view(Image.open(SHARED / f"lfw/{name}_0001.jpg").convert("RGB"), size=128)
        for name in ("Matt_Morris", "Tino_Martinez")
    ]
    one, other = vectors([phash(image) for image in alike])
    assert one @ other > CANDIDATE
    assert detail_correlation(*alike) < DUPLICATE
    assert not found(train=pictures("train", alike[:1]), test=pictures("test", alike[1:]))


def test_equal_images_are_found_even_where_there_is_nothing_to_see():
    flat = np.full((64, 64, 3), 90, np.uint8)
    images = [face(0), flat]
    (finding,) = found(train=pictures("train", images), test=pictures("test", [*images, face(1)]))
    assert finding.message == (
        "faces: 2 crops of test are near-duplicates of crops in train (test/0 = train/0, test/1 = train/1): "
        "remove them from one of the two"
    )


def test_a_copy_is_found_wherever_in_a_large_split_it_is(monkeypatch):
    monkeypatch.setattr("dfbench.audit._OTHERS", 3)
    monkeypatch.setattr("dfbench.audit._QUERIES", 2)
    images = [face(i) for i in range(16)]
    (finding,) = found(train=pictures("train", images[:11]), test=pictures("test", images[10:2:-1]))
    assert finding.names == tuple(f"test/{i} = train/{10 - i}" for i in range(8))


def test_drawn_images_that_differ_raise_nothing():
    images = [draw(np.random.default_rng(i), bool(i % 2)) for i in range(60)]
    assert not found(train=pictures("train", images[:30]), test=pictures("test", images[30:]))


def test_copies_inside_one_split_are_no_leak():
    assert not found(train=pictures("train", [face(0), face(0)]), test=pictures("test", [face(1)]))


def test_a_grey_copy_of_a_grey_image_is_found():
    grey = np.repeat(face(0)[..., :1], 3, axis=2)
    assert kinds(found(train=pictures("train", [grey]), test=pictures("test", [brighter(grey, 0.97)])))


def test_a_known_hash_saves_reading_the_pixels():
    rows = Rows([sample(f"{i}") for i in range(5)])
    assert not found(train=rows, test=Rows([sample(f"t{i}") for i in range(5)]))
    assert rows.reads == 0


@pytest.mark.parametrize("text", ["00ff", "z" * LENGTH, "é" * LENGTH])
def test_a_hash_of_another_kind_is_refused(text):
    with pytest.raises(DataError, match="no perceptual hash"):
        found(train=Rows([Sample("a", 0, "a", phash=text)]), test=Rows([sample("b")]))


# --- two data sets --------------------------------------------------------------------------------------------------


def pair(train: Rows, test: Rows, same_source: bool = False, store: Store | None = None) -> list[Finding]:
    a, b = Given({"train": train}, "a" * 64), Given({"test": test}, "b" * 64)
    return audit_pair(a, b, "test", Silent(), store, same_source=same_source)


def test_names_count_only_between_data_sets_of_one_source():
    train, test = Rows([sample("a", "000", video="v")]), Rows([sample("b", "000", video="v")])
    assert not pair(train, test)
    assert kinds(pair(train, test, same_source=True)) == ["video", "identity"]


def test_an_evaluated_crop_that_was_trained_on_is_found():
    (finding,) = pair(pictures("train", [face(0), face(1)]), pictures("test", [face(2), face(1, 112)]))
    assert finding.message.startswith("1 crops of the evaluated test are near-duplicates of crops in train (test/1 = ")


def test_an_evaluated_crop_that_was_validated_on_is_found():
    a = Given({"train": pictures("train", [face(0)]), "val": pictures("val", [face(1)])})
    b = Given({"test": pictures("test", [face(1)])}, "b" * 64)
    (finding,) = audit_pair(a, b, "test", Silent(), same_source=False)
    assert finding.names == ("test/0 = val/0",)


# --- the cache ------------------------------------------------------------------------------------------------------


def test_the_findings_are_kept_under_the_fingerprint_and_the_name_is_not(tmp_path):
    store = Store(tmp_path)
    images = [face(0), face(1)]
    first = Given({"train": pictures("train", images), "test": pictures("test", images)})
    again = Given({"train": pictures("train", [face(2), face(3)]), "test": pictures("test", [face(4), face(5)])})
    other = Given({"train": pictures("train", images[:1]), "test": pictures("test", images[1:])}, "1" * 64)
    before = audit(first, "one", store, Silent())
    after = audit(again, "two", store, Silent())
    assert [f.names for f in before] == [f.names for f in after] == [("test/0 = train/0", "test/1 = train/1")]
    assert after[0].message.startswith("two: 2 crops")
    assert not audit(other, "one", store, Silent())


# --- scale ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_faceforensics_in_full_takes_less_than_a_minute():
    rng = np.random.default_rng(0)

    def clips(split: str, n: int) -> Rows:
        rows = []
        for clip, own in enumerate(rng.integers(0, 16, (n, 1, LENGTH))):
            frames = np.clip(own + rng.integers(-2, 3, (32, LENGTH)), 0, 15)
            texts = ["".join(map("0123456789abcdef".__getitem__, frame)) for frame in frames]
            rows += [Sample(f"{split}/{clip}/{i}", 0, f"{split}/{clip}", phash=text) for i, text in enumerate(texts)]
        return Rows(rows)

    train, test = clips("train", 3600), clips("test", 700)
    started = time.monotonic()
    assert not found(train=train, test=test)
    assert time.monotonic() - started < 60


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_passes_clean_data(dfbench: Cli, faces: Path, tmp_path: Path):
    code, out, _ = dfbench("data", "audit", f'folder(path="{faces}", size=64)', "--cache", tmp_path)
    assert code == 0
    assert "the splits share no known video, no known person, and no picture" in out
    assert all(split in out for split in ("train", "val", "test"))


def test_the_command_names_what_leaks_and_ends_with_three(dfbench: Cli, faces: Path, tmp_path: Path):
    leaky = tmp_path / "leaky"
    shutil.copytree(faces, leaky)
    copied = next((leaky / "train/real").iterdir())
    shutil.copy(copied, leaky / "test/real/new.png")
    code, out, _ = dfbench("data", "audit", f'folder(path="{leaky}", size=64)', "--cache", tmp_path / "cache")
    assert code == 3
    assert f"test/real/new.png = train/real/{copied.name}" in " ".join(out.replace("│", " ").split())
    assert "near-duplicate" in out
