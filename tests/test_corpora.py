"""Downloads in their official layouts: clips, people and splits as the authors give them, and every fault named."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from corpora import (
    CELEB_TEST,
    FFPP_MANIPULATIONS,
    FFPP_PAIRS,
    celebdf2_tree,
    dfd_tree,
    dfdc_tree,
    dffd_tree,
    ffpp_tree,
)

from dfbench.contracts import FAKE, REAL, SPLITS
from dfbench.corpus import Clip, Corpus, Survey
from dfbench.errors import DataError
from dfbench_data.celebdf2 import CelebDF2
from dfbench_data.dfd import DeepFakeDetection
from dfbench_data.dfdc import DFDC
from dfbench_data.dffd import DFFD
from dfbench_data.ffpp import FaceForensics
from dfbench_data.identity import hold_out

DATA = Path(__file__).parents[1].parent / "shared/data"
ALL: list[tuple[type[Corpus], Callable[[Path], Path]]] = [
    (FaceForensics, ffpp_tree),
    (DeepFakeDetection, dfd_tree),
    (CelebDF2, celebdf2_tree),
    (DFFD, dffd_tree),
    (DFDC, dfdc_tree),
]
VIDEOS = "manipulated_sequences/Deepfakes/c23/videos"

every_corpus = pytest.mark.parametrize(("corpus", "tree"), ALL, ids=[corpus.__name__ for corpus, _ in ALL])


def known(survey: Survey) -> dict[str, tuple[object, ...]]:
    """Everything about the clips but where they lie, by video."""
    return {c.video: (c.label, c.split, c.manipulation, c.source_identity, c.target_identity) for c in survey.clips}


def clip(survey: Survey, video: str) -> Clip:
    (found,) = [c for c in survey.clips if c.video == video]
    return found


def counts(survey: Survey) -> dict[str, tuple[int | None, int]]:
    return {group.name: (group.expected, group.found) for group in survey.groups}


def touch(*paths: Path) -> None:
    """Empty files: a survey opens no clip."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


# --- all of them ------------------------------------------------------------------------------------------------------


@every_corpus
def test_clips_are_sorted_and_distinct_with_portable_names(tmp_path, corpus, tree):
    videos = [c.video for c in corpus(tree(tmp_path / "a")).survey().clips]
    assert videos
    assert videos == sorted(set(videos))
    assert all(re.fullmatch(r"[\w./-]+", video, re.ASCII) for video in videos)


@every_corpus
def test_a_download_that_moved_has_the_same_clips(tmp_path, corpus, tree):
    before = known(corpus(tree(tmp_path / "a")).survey())
    (tmp_path / "a").rename(tmp_path / "b")
    assert known(corpus(tmp_path / "b").survey()) == before


@every_corpus
def test_hidden_files_are_passed_over(tmp_path, corpus, tree):
    root = tree(tmp_path)
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        touch(folder / "._000.mp4", folder / ".DS_Store", folder / "Thumbs.db")
    assert corpus(root).survey().extra == ()


@every_corpus
def test_real_and_fake_clips_are_told_apart(tmp_path, corpus, tree):
    for found in corpus(tree(tmp_path)).survey().clips:
        assert bool(found.manipulation) == (found.label == FAKE)
        assert found.label == REAL or found.target_identity != found.source_identity or not found.source_identity


@every_corpus
def test_a_folder_of_another_layout_is_refused(tmp_path, corpus, tree):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=f"{tmp_path} does not have the layout of"):
        corpus(tmp_path)


@every_corpus
def test_the_folder_above_the_download_is_pointed_down(tmp_path, corpus, tree):
    tree(tmp_path / "inner")
    with pytest.raises(DataError, match=f"did you mean {tmp_path / 'inner'}"):
        corpus(tmp_path)


@every_corpus
def test_a_root_that_is_no_folder_is_refused(tmp_path, corpus, tree):
    with pytest.raises(DataError, match="is not a folder"):
        corpus(tmp_path / "nowhere")


@pytest.mark.parametrize(("corpus", "tree"), ALL[2:], ids=[corpus.__name__ for corpus, _ in ALL[2:]])
def test_a_data_set_without_levels_refuses_one(tmp_path, corpus, tree):
    with pytest.raises(DataError, match="has no compression levels: leave 'c23' out"):
        corpus(tree(tmp_path), "c23")


# --- FaceForensics++ --------------------------------------------------------------------------------------------------


def test_both_directions_of_a_pair_are_fakes_of_its_split(tmp_path):
    found = known(FaceForensics(ffpp_tree(tmp_path)).survey())
    assert found["Deepfakes/002_003"] == (FAKE, "train", "Deepfakes", "003", "002")
    assert found["FaceSwap/007_006"] == (FAKE, "test", "FaceSwap", "006", "007")
    assert found["original/005"] == (REAL, "val", "", "", "005")


def test_equal_file_names_of_two_manipulations_both_survive(tmp_path):
    survey = FaceForensics(ffpp_tree(tmp_path)).survey()
    same = [c for c in survey.clips if c.path.name == "000_001.mp4"]
    assert [c.video for c in same] == ["Deepfakes/000_001", "FaceSwap/000_001"]
    assert same[0].path != same[1].path


@pytest.mark.parametrize("splits", [".", "splits"])
def test_the_flat_layout_has_the_same_clips_as_the_official_one(tmp_path, splits):
    official = FaceForensics(ffpp_tree(tmp_path / "a")).survey()
    flat = FaceForensics(ffpp_tree(tmp_path / "b", flat=True, splits=splits))
    assert known(flat.survey()) == known(official)
    assert flat.compression == "c23"


def test_flat_folders_may_lie_in_the_official_top_folders(tmp_path):
    root = ffpp_tree(tmp_path, flat=True)
    (root / "manipulated_sequences").mkdir()
    (root / "Deepfakes").rename(root / "manipulated_sequences/Deepfakes")
    (root / "original").rename(root / "original_sequences")
    assert len(FaceForensics(root).survey().clips) == 24


def test_case_of_folders_and_suffixes_does_not_matter(tmp_path):
    root = ffpp_tree(tmp_path)
    before = known(FaceForensics(root).survey())
    (root / VIDEOS / "000_001.mp4").rename(root / VIDEOS / "000_001.MP4")
    (root / "manipulated_sequences/Deepfakes").rename(root / "manipulated_sequences/deepfakes")
    (root / "original_sequences").rename(root / "Original_Sequences")
    assert known(FaceForensics(root).survey()) == before


def test_the_level_asked_for_is_read(tmp_path):
    ffpp_tree(tmp_path)
    ffpp_tree(tmp_path, manipulations=["FaceSwap"], compression="c40")
    survey = FaceForensics(tmp_path, "c40").survey()
    assert {c.manipulation for c in survey.clips} == {"", "FaceSwap"}
    assert all("c40" in c.path.parts for c in survey.clips)


def test_a_level_that_is_absent_is_refused_with_those_there(tmp_path):
    ffpp_tree(tmp_path, compression="c40")
    with pytest.raises(DataError, match=r"has no c23 videos of FaceForensics.*, only c40: give --compression c40"):
        FaceForensics(tmp_path)


def test_the_flat_layout_is_c23_only(tmp_path):
    with pytest.raises(DataError, match=r"has no raw videos of .*, only c23"):
        FaceForensics(ffpp_tree(tmp_path, flat=True), "raw")


def test_a_level_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match="no compression level 'c30': use raw, c23, c40"):
        FaceForensics(ffpp_tree(tmp_path), "c30")


def test_a_missing_split_file_is_an_error_that_says_where_to_get_it(tmp_path):
    root = ffpp_tree(tmp_path)
    (root / "val.json").unlink()
    survey = FaceForensics(root).survey()
    (error,) = survey.errors
    assert "val.json is missing" in error
    assert "dataset/splits of the FaceForensics repository" in error
    assert {c.split for c in survey.clips} == {"train", "test"}
    assert survey.extra == (), "without all split files nobody knows what is extra"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[["006", "007"]', "test.json cannot be read"),
        ("[]", r"test.json must list pairs of ids, but has \[\]"),
        ('{"a": 1}', "test.json must list pairs"),
        ('[["006", "007"], ["006"]]', r'but has \["006"\]'),
        ("[[6, 7]]", r"but has \[6, 7\]"),
        ('[["../006", "007"]]', "must list pairs"),
    ],
)
def test_a_malformed_split_file_is_an_error(tmp_path, content, message):
    root = ffpp_tree(tmp_path)
    (root / "test.json").write_text(content)
    (error,) = FaceForensics(root).survey().errors
    assert re.search(message, error)


def test_a_pair_whose_video_is_absent_is_missing(tmp_path):
    root = ffpp_tree(tmp_path, manipulations=FFPP_MANIPULATIONS)
    (root / VIDEOS / "003_002.mp4").unlink()
    survey = FaceForensics(root).survey()
    assert survey.missing == (f"{VIDEOS}/003_002.mp4",)
    assert counts(survey)["Deepfakes"] == (1000, 7)
    assert counts(survey)["Deepfakes train"] == (720, 3)


def test_a_manipulation_that_is_wholly_absent_is_one_line(tmp_path):
    survey = FaceForensics(ffpp_tree(tmp_path, manipulations=FFPP_MANIPULATIONS[1:])).survey()
    assert survey.missing == (f"{VIDEOS} (1000 videos)",)
    assert counts(survey)["Deepfakes"] == (1000, 0)


def test_face_shifter_may_be_absent(tmp_path):
    survey = FaceForensics(ffpp_tree(tmp_path, manipulations=FFPP_MANIPULATIONS)).survey()
    assert survey.missing == ()
    assert counts(survey)["FaceShifter"] == (None, 0)


def test_face_shifter_is_read_where_it_is(tmp_path):
    survey = FaceForensics(ffpp_tree(tmp_path, manipulations=["FaceShifter"])).survey()
    assert counts(survey)["FaceShifter"] == (1000, 8)


def test_files_in_no_pair_are_extra_and_not_used(tmp_path):
    root = ffpp_tree(tmp_path)
    touch(root / VIDEOS / "000_002.mp4", root / VIDEOS / "readme.txt")
    survey = FaceForensics(root).survey()
    assert survey.extra == (f"{VIDEOS}/000_002.mp4", f"{VIDEOS}/readme.txt")
    assert len(survey.clips) == 24


def test_an_identity_in_two_splits_is_given_as_it_is(tmp_path):
    survey = FaceForensics(ffpp_tree(tmp_path, {**FFPP_PAIRS, "test": [("006", "001")]})).survey()
    assert clip(survey, "Deepfakes/000_001").split == "train"
    assert clip(survey, "Deepfakes/006_001").split == "test"
    assert clip(survey, "original/001").split == "train"
    assert any("001 (train and test)" in note for note in survey.notes)


def test_split_files_of_another_size_are_noted(tmp_path):
    (note,) = FaceForensics(ffpp_tree(tmp_path)).survey().notes
    assert note.startswith("the split files list 4 train, 2 val, 2 test videos; the official ones list 720 train")


def test_the_official_release_is_complete(tmp_path):
    ids = [f"{number:03d}" for number in range(1000)]
    pairs = list(zip(ids[::2], ids[1::2], strict=True))
    for split, chosen in (("train", pairs[:360]), ("val", pairs[360:430]), ("test", pairs[430:])):
        (tmp_path / f"{split}.json").write_text(json.dumps(chosen))
    touch(*(tmp_path / f"original_sequences/youtube/c23/videos/{name}.mp4" for name in ids))
    for name in FFPP_MANIPULATIONS:
        folder = tmp_path / f"manipulated_sequences/{name}/c23/videos"
        touch(*(folder / f"{a}_{b}.mp4" for pair in pairs for a, b in (pair, pair[::-1])))
    survey = FaceForensics(tmp_path).survey()
    assert survey.missing == survey.extra == survey.errors == survey.notes == ()
    assert all(group.expected in (group.found, None) for group in survey.groups)
    assert Counter((c.split, c.label) for c in survey.clips) == {
        (split, label): count * (4 if label else 1)
        for split, count in (("train", 720), ("val", 140), ("test", 140))
        for label in (REAL, FAKE)
    }


@pytest.mark.skipif(not (DATA / "ffpp").is_dir(), reason="the genuine clips of FaceForensics++ are not here")
def test_the_genuine_clips_follow_the_official_pairs():
    survey = FaceForensics(DATA / "ffpp").survey()
    assert {c.video: c.split for c in survey.clips} == {
        "Deepfakes/519_515": "train",
        "FaceSwap/634_660": "test",
        "original/519": "train",
        "original/634": "test",
    }
    assert survey.errors == survey.notes == survey.extra == ()
    assert f"{VIDEOS}/515_519.mp4" in survey.missing
    assert len([m for m in survey.missing if m.startswith("original_sequences")]) == 998


# --- DeepFakeDetection ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_actors_and_their_fakes_are_all_tested_on(tmp_path, flat):
    survey = DeepFakeDetection(dfd_tree(tmp_path, flat=flat)).survey()
    found = known(survey)
    assert found["actors/01__walking_outside"] == (REAL, "test", "", "", "actor01")
    fake = found["DeepFakeDetection/01_02__walking_outside__A1B2C3D0"]
    assert fake == (FAKE, "test", "DeepFakeDetection", "actor02", "actor01")
    assert {split for _, split, *_ in found.values()} == {"test"}
    assert "no official split" in survey.notes[0]
    assert counts(survey) == {"actors": (363, 3), "DeepFakeDetection": (3068, 3)}


def test_a_video_without_an_actor_is_extra(tmp_path):
    root = dfd_tree(tmp_path, flat=True)
    touch(root / "actors/trailer.mp4")
    survey = DeepFakeDetection(root).survey()
    assert survey.extra == ("actors/trailer.mp4",)
    assert len(survey.clips) == 6


def test_both_data_sets_are_read_from_one_root(tmp_path):
    ffpp_tree(tmp_path)
    dfd_tree(tmp_path)
    assert len(FaceForensics(tmp_path).survey().clips) == 24
    assert len(DeepFakeDetection(tmp_path).survey().clips) == 6


# --- Celeb-DF v2 ------------------------------------------------------------------------------------------------------


def test_the_official_list_is_the_test_split(tmp_path):
    survey = CelebDF2(celebdf2_tree(tmp_path)).survey()
    assert {c.video for c in survey.clips if c.split == "test"} == set(CELEB_TEST)
    assert counts(survey)["test real"] == (178, 2)
    assert counts(survey)["test fake"] == (340, 1)


def test_one_means_real_in_the_official_list(tmp_path):
    survey = CelebDF2(celebdf2_tree(tmp_path)).survey()
    assert survey.errors == ()
    assert known(survey)["Celeb-real/id5_0000"] == (REAL, "test", "", "", "id5")
    assert known(survey)["Celeb-synthesis/id4_id5_0000"] == (FAKE, "test", "Celeb-synthesis", "id5", "id4")


def test_everybody_on_youtube_is_another_person(tmp_path):
    found = known(CelebDF2(celebdf2_tree(tmp_path)).survey())
    assert [found[f"YouTube-real/0000{n}"][4] for n in range(4)] == ["yt00000", "yt00001", "yt00002", "yt00003"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("Celeb-real/id0_0000.mp4", "expected 0 or 1 and the path of a video"),
        ("2 Celeb-real/id0_0000.mp4", "expected 0 or 1 and the path of a video"),
        ("1 Actors-real/id0_0000.mp4", "expected 0 or 1 and the path of a video"),
        ("1 Celeb-synthesis/id0_id1_0000.mp4", "the label contradicts the folder"),
        ("0 Celeb-real/id0_0000.mp4", "the label contradicts the folder"),
        ("1 Celeb-real/id5_0000.mp4", "listed twice"),
    ],
    ids=["no label", "unknown label", "unknown folder", "fake called real", "real called fake", "listed twice"],
)
def test_a_faulty_line_of_the_list_is_named(tmp_path, line, fault):
    root = celebdf2_tree(tmp_path)
    with (root / "List_of_testing_videos.txt").open("a") as stream:
        stream.write(f"\n{line}\n")
    (error,) = CelebDF2(root).survey().errors
    assert error.startswith(f"List_of_testing_videos.txt, line 5, '{line}': {fault}")


def test_a_missing_list_is_an_error(tmp_path):
    root = celebdf2_tree(tmp_path)
    (root / "List_of_testing_videos.txt").unlink()
    (error,) = CelebDF2(root).survey().errors
    assert error.startswith("List_of_testing_videos.txt is missing")


def test_a_listed_video_that_is_absent_is_missing(tmp_path):
    root = celebdf2_tree(tmp_path)
    (root / "YouTube-real/00003.mp4").unlink()
    assert CelebDF2(root).survey().missing == ("YouTube-real/00003.mp4",)


def test_a_folder_that_is_absent_is_one_line(tmp_path):
    root = celebdf2_tree(tmp_path)
    shutil.rmtree(root / "Celeb-real")
    assert CelebDF2(root).survey().missing == ("Celeb-real (590 videos)",)


def test_videos_of_another_name_are_extra(tmp_path):
    root = celebdf2_tree(tmp_path)
    touch(root / "Celeb-real/trailer.mp4", root / "Celeb-synthesis/id0_0001.mp4")
    assert CelebDF2(root).survey().extra == ("Celeb-real/trailer.mp4", "Celeb-synthesis/id0_0001.mp4")


def test_nobody_is_in_train_and_val(tmp_path):
    survey = CelebDF2(celebdf2_tree(tmp_path)).survey()
    people = {
        split: {p for c in survey.clips if c.split == split for p in (c.source_identity, c.target_identity) if p}
        for split in SPLITS
    }
    assert people["train"].isdisjoint(people["val"])
    for split in ("train", "val"):
        assert {c.label for c in survey.clips if c.split == split} == {REAL, FAKE}


def test_fakes_between_train_and_val_are_left_out_and_counted(tmp_path):
    ring = [(n, (n + 1) % 6) for n in range(6)]
    survey = CelebDF2(celebdf2_tree(tmp_path, ring, {"YouTube-real/00003": 1})).survey()
    assert len(survey.clips) == 12 + 6 + 4 - 2
    assert "2 fakes between one of them and a person of train were left out" in survey.notes[0]


def test_celebrities_of_the_test_list_who_are_trained_on_are_noted(tmp_path):
    _, note = CelebDF2(celebdf2_tree(tmp_path)).survey().notes
    assert note.startswith("2 of the 3 people in the official test list are in train or val too")
    assert "leaks" in note


def test_the_official_celeb_df_is_complete_with_a_tenth_held_out(tmp_path):
    """59 celebrities in six circles who get each other's faces, in the official numbers."""
    people = [f"id{n}" for n in range(59)]
    real = [f"{people[n % 59]}_{n // 59:04d}" for n in range(590)]
    pairs = [(a, b) for a in people for b in people if a != b and people.index(a) % 6 == people.index(b) % 6]
    fake = [f"{a}_{b}_{take:04d}" for take in range(20) for a, b in pairs][:5639]
    youtube = [f"{n:05d}" for n in range(300)]
    touch(*(tmp_path / f"Celeb-real/{name}.mp4" for name in real))
    touch(*(tmp_path / f"Celeb-synthesis/{name}.mp4" for name in fake))
    touch(*(tmp_path / f"YouTube-real/{name}.mp4" for name in youtube))
    lines = [f"1 Celeb-real/{n}.mp4" for n in real[:108]] + [f"1 YouTube-real/{n}.mp4" for n in youtube[:70]]
    lines += [f"0 Celeb-synthesis/{n}.mp4" for n in fake[:340]]
    (tmp_path / "List_of_testing_videos.txt").write_text("\n".join(lines))
    survey = CelebDF2(tmp_path).survey()
    assert survey.missing == survey.extra == survey.errors == ()
    assert all(group.expected in (group.found, None) for group in survey.groups)
    sizes = Counter(c.split for c in survey.clips)
    assert sizes["test"] == 518
    assert 0.08 < sizes["val"] / (sizes["val"] + sizes["train"]) < 0.15
    assert sum(sizes.values()) > 0.9 * 6529
    assert sum(c.split == "val" and c.video.startswith("YouTube") for c in survey.clips) == 23


def cast_of_circles(circles: int, size: int) -> list[tuple[str, ...]]:
    names = [[f"{circle}-{person}" for person in range(size)] for circle in range(circles)]
    return [(a, b) if a != b else (a,) for group in names for a in group for b in group]


def test_a_circle_that_is_large_enough_is_held_out_whole():
    cast = cast_of_circles(10, 4)
    held = hold_out(cast, 0.1, "salt")
    assert len(held) == 4
    assert all(held.issuperset(people) or held.isdisjoint(people) for people in cast)


def test_who_is_held_out_does_not_depend_on_the_order_of_the_clips():
    cast = cast_of_circles(5, 3)
    assert hold_out(cast, 0.1, "salt") == hold_out(cast[::-1], 0.1, "salt")


@pytest.mark.parametrize("salt", "abcdef")
def test_the_people_whose_loss_tears_fewest_fakes_are_held_out(salt):
    ring = [(str(n), str((n + 1) % 8)) for n in range(8)]
    assert hold_out([*ring, ("alone", "together")], 0.1, salt) == {"alone", "together"}


def test_people_are_held_out_until_there_is_a_fake_among_them():
    cast = [(str(n),) for n in range(4) for _ in range(9)] + [("0", "1"), ("2", "3")]
    assert hold_out(cast, 0.1, "salt") in ({"0", "1"}, {"2", "3"})


def test_people_who_meet_nobody_are_held_out_by_the_share_alone():
    assert len(hold_out([(f"yt{n}",) for n in range(300)], 0.1, "salt")) == 30


# --- DFFD -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("validation", ["validation", "val"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_keep_their_splits_under_either_name(tmp_path, validation, suffix):
    survey = DFFD(dffd_tree(tmp_path, validation=validation, suffix=suffix)).survey()
    found = known(survey)
    assert found["ffhq/validation/ffhq_00003"] == (REAL, "val", "", "", "")
    assert found["faceapp/test/faceapp_00006"] == (FAKE, "test", "faceapp", "", "")
    assert len(found) == 27
    assert clip(survey, "ffhq/train/ffhq_00000").path.suffix == suffix


def test_the_official_counts_are_of_ffhq_and_the_six_fake_sources(tmp_path):
    survey = DFFD(dffd_tree(tmp_path, ["ffhq", "celeba", "youtube", "stargan", "pggan_v1"])).survey()
    assert counts(survey) == {
        "train real": (10_000, 3),
        "train fake": (56_265, 6),
        "val real": (999, 3),
        "val fake": (5_997, 6),
        "test real": (9_000, 3),
        "test fake": (62_361, 6),
        **{f"{split} {source}": (None, 3) for source in ("youtube", "celeba") for split in SPLITS},
    }
    assert all(c.label == REAL for c in survey.clips if c.video.startswith(("celeba", "youtube")))


def test_unknown_folders_and_second_images_of_a_name_are_extra(tmp_path):
    root = dffd_tree(tmp_path, ["ffhq", "pggan_v2"])
    shutil.copytree(root / "ffhq", root / "midjourney")
    (root / "ffhq/masks").mkdir()
    touch(root / "ffhq/train/ffhq_00000.jpg", root / "ffhq/train/labels.txt", root / "ffhq/test/a face.png")
    assert DFFD(root).survey().extra == (
        "ffhq/masks/",
        "ffhq/test/a face.png",
        "ffhq/train/ffhq_00000.png",
        "ffhq/train/labels.txt",
        "midjourney/",
    )


def test_an_image_in_both_validation_folders_is_used_once(tmp_path):
    root = dffd_tree(tmp_path)
    shutil.copytree(root / "ffhq/validation", root / "ffhq/val")
    survey = DFFD(root).survey()
    assert len(survey.clips) == 27
    assert survey.extra == tuple(f"ffhq/validation/ffhq_0000{n}.png" for n in (3, 4, 5))


@pytest.mark.skipif(not (DATA / "dffd").is_dir(), reason="the DFFD sample images are not here")
def test_the_sample_of_dffd_keeps_its_official_splits():
    survey = DFFD(DATA / "dffd").survey()
    assert Counter((c.split, c.label) for c in survey.clips) == {
        (split, label): count for split, count in (("train", 60), ("val", 20), ("test", 40)) for label in (REAL, FAKE)
    }
    assert survey.missing == survey.extra == survey.errors == ()


# --- DFDC -------------------------------------------------------------------------------------------------------------


def parts(survey: Survey) -> dict[str, set[str]]:
    """Splits by the folder in the video's name."""
    found: dict[str, set[str]] = {}
    for c in survey.clips:
        found.setdefault(c.video.partition("/")[0], set()).add(c.split)
    return found


def test_labels_and_originals_come_from_the_metadata(tmp_path):
    found = known(DFDC(dfdc_tree(tmp_path)).survey())
    assert found["part_0/fake0b"] == (FAKE, "train", "dfdc", "", "real0b")
    assert found["part_0/real0b"] == (REAL, "train", "", "", "real0b")


def test_without_the_test_folder_the_last_fifth_of_the_parts_is_test(tmp_path):
    found = parts(DFDC(dfdc_tree(tmp_path, [*range(9), 10, 11], originals=1)).survey())
    assert {name for name, splits in found.items() if splits == {"test"}} == {"part_10", "part_11"}
    assert {name for name, splits in found.items() if splits == {"val"}} == {"part_8"}
    assert sum(splits == {"train"} for splits in found.values()) == 8


@pytest.mark.parametrize("folder", ["test", "test_videos"])
def test_the_official_test_folder_is_test(tmp_path, folder):
    survey = DFDC(dfdc_tree(tmp_path, range(2), test=folder)).survey()
    assert parts(survey) == {"part_0": {"train"}, "part_1": {"val"}, "test": {"test"}}
    assert known(survey)["test/testfake0"] == (FAKE, "test", "dfdc", "", "")
    assert counts(survey)["test fake"] == (2500, 2)
    assert survey.errors == survey.extra == ()


def test_test_videos_may_lie_one_folder_deeper_and_labels_at_the_top(tmp_path):
    root = dfdc_tree(tmp_path, test="test")
    (root / "test/videos").mkdir()
    for path in (root / "test").glob("*.mp4"):
        path.rename(root / "test/videos" / path.name)
    (root / "test/labels.csv").rename(root / "labels.csv")
    survey = DFDC(root).survey()
    assert counts(survey)["test real"] == (2500, 2)
    assert survey.errors == survey.extra == ()


def test_the_test_set_alone_can_be_read(tmp_path):
    survey = DFDC(dfdc_tree(tmp_path, [], test="test")).survey()
    assert parts(survey) == {"test": {"test"}}
    assert survey.errors == ()


def test_few_parts_are_split_by_families(tmp_path):
    survey = DFDC(dfdc_tree(tmp_path, [7], originals=8)).survey()
    splits = {c.target_identity: set[str]() for c in survey.clips}
    for c in survey.clips:
        splits[c.target_identity].add(c.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {c.split for c in survey.clips} == set(SPLITS)
    assert "too few parts" in survey.notes[0]


def test_equal_names_in_two_parts_are_two_videos(tmp_path):
    root = dfdc_tree(tmp_path, originals=1)
    shutil.copytree(root / "dfdc_train_part_0", root / "dfdc_train_part_9")
    videos = [c.video for c in DFDC(root).survey().clips]
    assert {"part_0/real0a", "part_9/real0a"} <= set(videos)


def test_videos_that_metadata_and_folder_disagree_on_are_missing_or_extra(tmp_path):
    root = dfdc_tree(tmp_path)
    (root / "dfdc_train_part_1/fake1a.mp4").rename(root / "dfdc_train_part_1/other.mp4")
    survey = DFDC(root).survey()
    assert "dfdc_train_part_1/fake1a.mp4" in survey.missing
    assert survey.extra == ("dfdc_train_part_1/other.mp4",)


def test_every_absent_part_is_one_line(tmp_path):
    survey = DFDC(dfdc_tree(tmp_path, originals=1)).survey()
    assert len(survey.missing) == 47
    assert "dfdc_train_part_49 (a part)" in survey.missing
    assert counts(survey) == {"train parts": (50, 3), "train videos": (119_154, 6)}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "is missing"),
        ('{"real1a.mp4"', "cannot be read"),
        ("[]", "does not list videos by name"),
        ({"real1a.mp4": {"label": "TRUE"}}, "'real1a.mp4' needs a label, REAL or FAKE"),
        ({"fake1a.mp4": {"label": "FAKE", "original": None}}, "'fake1a.mp4' needs a label, REAL or FAKE, and if fake"),
        ({"../real1a.mp4": {"label": "REAL"}}, "'../real1a.mp4' needs"),
        ({"real1a.mp4": "REAL"}, "'real1a.mp4' needs"),
    ],
)
def test_malformed_metadata_is_an_error_that_names_the_part(tmp_path, content, fault):
    root = dfdc_tree(tmp_path)
    path = root / "dfdc_train_part_1/metadata.json"
    path.unlink()
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    (error,) = DFDC(root).survey().errors
    assert error.startswith(f"dfdc_train_part_1/metadata.json: {fault}")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "is missing"),
        ("name,label\na.mp4,1\n", "needs the columns filename and label"),
        (
            "filename,label\ntestreal0.mp4,0\ntestreal1.mp4,real\n",
            "line 3: expected the name of a video, and the label",
        ),
        ("filename,label\ntestreal0.mp4\n", "line 2: expected"),
        ("filename,label\ntestreal0.mp4,0\ntestreal0.mp4,1\n", "line 3: testreal0.mp4 is listed twice"),
    ],
)
def test_malformed_test_labels_are_an_error(tmp_path, content, fault):
    root = dfdc_tree(tmp_path, test="test")
    path = root / "test/labels.csv"
    path.unlink()
    if content is not None:
        path.write_text(content)
    (error,) = DFDC(root).survey().errors
    assert error.startswith(f"test/labels.csv: {fault}")
