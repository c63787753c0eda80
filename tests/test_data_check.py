"""``dfbench data check`` and ``list``: a download's faults are found before hours are spent, and told plainly."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from conftest import Cli
from corpora import celebdf2_tree, dfdc_tree, dffd_tree, drawn, encode, ffpp_tree, moving
from installed import install
from PIL import Image

from dfbench.corpus import Clip
from dfbench.progress import Silent
from dfbench.registry import load_registry
from dfbench.survey import unreadable

PLUGIN = """
from dfbench import hookimpl
from dfbench.contracts import DatasetSpec

@hookimpl
def dfbench_datasets():
    yield DatasetSpec(
        "theirs", "dfbench_theirs.parts:Theirs", "somebody else's", corpus="dfbench_theirs.parts:Download",
        expects="real/ and fake/ with two clips each",
    )
"""
PARTS = """
from dfbench.corpus import Clip, Corpus, Group, Survey

class Download(Corpus):
    def __init__(self, root, compression=""):
        self.root, self.compression = root, compression

    def survey(self):
        clips, groups = [], []
        for label, name in enumerate(("real", "fake")):
            paths = sorted((self.root / name).iterdir())
            clips += [Clip(path, f"{name}/{path.stem}", label, "test") for path in paths]
            groups.append(Group(name, 2, len(paths)))
        extra = tuple(path.name for path in self.root.iterdir() if path.is_file())
        return Survey(tuple(clips), tuple(groups), extra=extra, notes=("it is what it is",))
"""


@pytest.fixture
def theirs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A third party's data set ``theirs``, and a complete download of it: two real and two fake clips."""
    folder = tmp_path_factory.mktemp("site")
    sources = {"dfbench_theirs/__init__.py": "", "dfbench_theirs/plugin.py": PLUGIN, "dfbench_theirs/parts.py": PARTS}
    install(folder, "dfbench-theirs", sources, {"theirs": "dfbench_theirs.plugin"})
    monkeypatch.syspath_prepend(folder)
    load_registry.cache_clear()
    for name in ("real", "fake"):
        for number in range(2):
            encode(tmp_path / name / f"{number}.mp4", moving(drawn(), 2))
    yield tmp_path
    load_registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("dfbench_theirs")]:
        del sys.modules[name]


def reasons(*paths: Path) -> list[str]:
    """What is wrong with each file; empty where nothing is."""
    clips = [Clip(path, path.name, 0, "test") for path in paths]
    found = dict(unreadable(clips, Silent()))
    return [found.get(clip, "") for clip in clips]


# --- opening clips ----------------------------------------------------------------------------------------------------


def test_a_sound_video_and_a_sound_image_are_readable(tmp_path):
    Image.fromarray(drawn()).save(tmp_path / "a.png")
    assert reasons(encode(tmp_path / "a.mp4", moving(drawn())), tmp_path / "a.png") == ["", ""]


def test_zero_bytes_are_called_so(tmp_path):
    for name in ("a.mp4", "a.png"):
        (tmp_path / name).write_bytes(b"")
    assert reasons(tmp_path / "a.mp4", tmp_path / "a.png") == ["zero bytes", "zero bytes"]


def test_a_truncated_video_is_unreadable(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(drawn()))
    path.write_bytes(path.read_bytes()[:1000])
    assert reasons(path) == ["cannot be decoded: Invalid data found when processing input"]


def test_a_video_of_which_only_the_header_arrived_is_unreadable(tmp_path):
    av = pytest.importorskip("av")
    whole, path = encode(tmp_path / "a.mp4", moving(drawn())), tmp_path / "b.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    path.write_bytes(path.read_bytes().partition(b"mdat")[0])
    assert reasons(path) == ["no frames"]


def test_a_video_whose_frames_are_spoilt_is_unreadable(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(drawn()))
    content = path.read_bytes()
    start, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    path.write_bytes(content[:start] + b"\xff" * (end - start) + content[end:])
    assert reasons(path)[0].startswith(("cannot be decoded", "no frame"))


def test_sound_without_pictures_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert reasons(tmp_path / "a.mp4") == ["no video stream"]


def test_broken_images_are_told_with_the_reason(tmp_path):
    (tmp_path / "text.png").write_text("this is text")
    Image.fromarray(drawn()).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    text, cut = reasons(tmp_path / "text.png", tmp_path / "cut.png")
    assert text == "not an image"
    assert cut.startswith("cannot be decoded: image file is truncated")


def test_a_clip_that_vanished_is_unreadable(tmp_path):
    assert reasons(tmp_path / "gone.mp4") == ["No such file or directory"]


def test_many_clips_keep_their_order(tmp_path):
    sound = encode(tmp_path / "a.mp4", moving(drawn(), 2))
    (tmp_path / "b.mp4").write_bytes(b"")
    clips = [Clip(tmp_path / "b.mp4" if n % 7 == 0 else sound, f"{n:03d}", 0, "test") for n in range(100)]
    assert [clip.video for clip, _ in unreadable(clips, Silent())] == [f"{n:03d}" for n in range(0, 100, 7)]


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_complete_download_of_a_third_party_passes(dfbench: Cli, theirs: Path):
    code, out, _ = dfbench("data", "check", "theirs", "--root", theirs)
    assert code == 0
    assert out.splitlines()[-1] == "theirs: complete: usable clips 4"
    assert "note: it is what it is" in out


def test_extra_files_alone_do_not_fail(dfbench: Cli, theirs: Path):
    (theirs / "readme.txt").write_text("hello")
    code, out, _ = dfbench("data", "check", "theirs", "--root", theirs)
    assert code == 0
    assert "extra (1), not used:\n  readme.txt\n" in out


def test_an_unreadable_clip_fails_with_its_path_and_reason(dfbench: Cli, theirs: Path):
    (theirs / "fake/1.mp4").write_bytes(b"")
    code, out, _ = dfbench("data", "check", "theirs", "--root", theirs)
    assert code == 4
    assert "unreadable (1):\n  fake/1.mp4: zero bytes\n" in out
    assert out.splitlines()[-1] == "theirs: incomplete: unreadable 1; usable clips 3"


def test_fast_opens_no_clip_and_says_so(dfbench: Cli, theirs: Path):
    (theirs / "fake/1.mp4").write_bytes(b"")
    code, out, _ = dfbench("data", "check", "theirs", "--root", theirs, "--fast")
    assert code == 0
    assert out.splitlines()[-1] == "theirs: complete: usable clips 4 (not opened)"


def test_fewer_clips_than_the_official_count_fail(dfbench: Cli, theirs: Path):
    (theirs / "fake/1.mp4").unlink()
    code, out, _ = dfbench("data", "check", "theirs", "--root", theirs)
    assert code == 4
    assert out.splitlines()[-1] == "theirs: incomplete: groups below the official count 1; usable clips 3"


def test_groups_are_shown_with_the_official_counts(dfbench: Cli, tmp_path: Path):
    code, out, _ = dfbench("data", "check", "ffpp", "--root", ffpp_tree(tmp_path))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line]
    assert code == 4
    assert ["original test", "140", "2"] in rows
    assert ["Face2Face", "1,000", "0"] in rows
    assert ["FaceShifter", "-", "0"] in rows


def test_ten_of_many_paths_are_shown_and_all_are_written(dfbench: Cli, tmp_path: Path):
    root, report = dfdc_tree(tmp_path / "dfdc", originals=1), tmp_path / "report.csv"
    _, out, _ = dfbench("data", "check", "dfdc", "--root", root, "--out", report)
    assert "missing (47):" in out
    assert out.count("(a part)") == 10
    assert f"  and 37 more: see {report}" in out
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert len([row for row in rows if row["kind"] == "missing"]) == 47
    assert {row["kind"] for row in rows} == {"missing", "note"}


def test_without_a_report_the_rest_is_pointed_to(dfbench: Cli, tmp_path: Path):
    _, out, _ = dfbench("data", "check", "dfdc", "--root", dfdc_tree(tmp_path, originals=1))
    assert "  and 37 more: write all with --out report.csv" in out


def test_a_wrong_index_makes_the_data_unusable(dfbench: Cli, tmp_path: Path):
    root = celebdf2_tree(tmp_path)
    (root / "List_of_testing_videos.txt").write_text("Celeb-real/id0_0000.mp4\n")
    code, out, _ = dfbench("data", "check", "celebdf2", "--root", root)
    assert code == 4
    assert "error: List_of_testing_videos.txt, line 1, 'Celeb-real/id0_0000.mp4'" in out
    assert out.splitlines()[-1] == "celebdf2: unusable until the errors above are mended"


def test_the_compression_is_passed_on(dfbench: Cli, tmp_path: Path):
    code, _, err = dfbench("data", "check", "ffpp", "--root", ffpp_tree(tmp_path), "--compression", "c40")
    assert code == 1
    assert "has no c40 videos of FaceForensics++, only c23: give --compression c23" in err


@pytest.mark.parametrize("name", ["mini", "folder", "manifest"])
def test_a_data_set_without_a_download_is_a_usage_error_that_names_those_with_one(dfbench: Cli, tmp_path, name):
    code, _, err = dfbench("data", "check", name, "--root", tmp_path)
    assert code == 2
    assert f"{name!r} is not made from a download; these are: celebdf2, dfd, dfdc, dffd, ffpp" in err


def test_a_misspelt_name_brings_the_nearest(dfbench: Cli, tmp_path: Path):
    code, _, err = dfbench("data", "check", "ffp", "--root", tmp_path)
    assert code == 2
    assert "did you mean 'ffpp'" in err


def test_images_need_no_video_library_and_videos_say_how_to_get_it(dfbench: Cli, tmp_path, monkeypatch):
    images, videos = dffd_tree(tmp_path / "a"), ffpp_tree(tmp_path / "b")
    monkeypatch.setattr("dfbench.preparation.video.find_spec", lambda name: None if name == "av" else find_spec(name))
    assert dfbench("data", "check", "dffd", "--root", images)[0] == 4
    code, _, err = dfbench("data", "check", "ffpp", "--root", videos)
    assert code == 2
    assert "pip install 'dfbench-harness[h264]'" in err


# --- the list ---------------------------------------------------------------------------------------------------------


def test_every_data_set_is_listed_with_what_it_expects(dfbench: Cli):
    _, out, _ = dfbench("data", "list")
    listed = {block.split()[0]: block for block in out.split("\n\n") if block.strip()}
    assert {"celebdf2", "dfd", "dfdc", "dffd", "ffpp", "folder", "manifest", "mini"} <= set(listed)
    for name in ("celebdf2", "dfd", "dfdc", "dffd", "ffpp"):
        assert "  expects:\n" in listed[name]
        assert f"dfbench data prepare {name} --root DOWNLOAD --out data/{name}" in listed[name]
        assert "path (text or none; default none)" in listed[name]
    assert "path (text; required): the folder" in listed["folder"]


def test_the_list_fits_80_columns(dfbench: Cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, dfbench("data", "list")[1].splitlines())) <= 80


def test_a_third_partys_data_set_is_listed_with_what_it_expects(dfbench: Cli, theirs: Path):
    assert (
        "theirs      somebody else's\n  expects:\n    real/ and fake/ with two clips each\n"
        in dfbench("data", "list")[1]
    )
