"""``dfbench data prepare``: from a download to crops and a manifest; resumed, damaged, moved, in several processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import corpora
import numpy as np
import pandas as pd
import pytest
from conftest import TINY, Cli

from dfbench.registry import load_registry

pytest.importorskip("av")
pytest.importorskip("facenet_pytorch")

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SMALL = ("--size", 64, "--frames", 3, "--workers", 1)
PAIRS = {"train": [("000", "001")], "val": [("002", "003")], "test": [("004", "005")]}
CLIPS = 6 + 2 * 6


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FaceForensics++ with a pair in each split, two manipulations whose files have equal names."""
    return corpora.ffpp_tree(tmp_path_factory.mktemp("download"), PAIRS, faces=True)


@pytest.fixture(scope="module")
def finished(download: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dfbench.cli import run_cli

    out = tmp_path_factory.mktemp("prepared") / "ffpp"
    assert run_cli(["data", "prepare", "ffpp", "--root", str(download), "--out", str(out), *map(str, SMALL)]) == 0
    return out


def manifest(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "manifest.parquet")


def about(out: Path) -> dict:
    return json.loads((out / "prepared.json").read_text())


def stamps(out: Path) -> dict[str, int]:
    return {str(file.relative_to(out)): file.stat().st_mtime_ns for file in out.glob("shards/**/[!.]*.npy")}


def test_every_clip_gives_its_frames_and_equal_names_of_two_manipulations_stay_apart(finished: Path) -> None:
    rows = manifest(finished)
    assert len(rows) == CLIPS * 3
    assert rows["id"].is_unique
    assert set(rows["video"]) >= {"Deepfakes/000_001", "FaceSwap/000_001", "original/000"}


def test_the_manifest_tells_who_is_in_each_crop_and_its_split(finished: Path) -> None:
    rows = manifest(finished).set_index("video")
    assert rows.loc["Deepfakes/005_004", "target_identity"].unique() == ["005"]
    assert rows.loc["Deepfakes/005_004", "source_identity"].unique() == ["004"]
    assert dict(rows["split"].groupby(level=0).first().items())["original/001"] == "train"
    assert rows.loc["Deepfakes/005_004", "split"].unique() == ["test"]


def test_a_crop_holds_the_face_at_its_checksum(finished: Path) -> None:
    import hashlib

    row = manifest(finished).iloc[0]
    crop = np.load(finished / row["shard"])[row["row"]]
    assert crop.shape == (64, 64, 3)
    assert hashlib.sha256(crop.tobytes()).hexdigest() == row["sha256"]
    assert 40 < row["box"][2] - row["box"][0] < corpora.SIDE
    assert row["score"] > 0.9


def test_the_summary_counts_clips_frames_and_crops(dfbench: Cli, finished: Path, download: Path) -> None:
    code, out, _ = dfbench("data", "prepare", "ffpp", "--root", download, "--out", finished, *SMALL)
    assert code == 0
    assert "nothing new; 18 clips were done before" in out
    (total,) = [line.split() for line in out.splitlines() if line.strip().startswith("all")]
    assert total == ["all", "18", "0", "54", "0", "54"]


def test_preparing_again_keeps_every_shard(dfbench: Cli, finished: Path, download: Path) -> None:
    before = stamps(finished)
    assert dfbench("data", "prepare", "ffpp", "--root", download, "--out", finished, *SMALL)[0] == 0
    assert stamps(finished) == before


def test_a_video_that_changed_is_prepared_anew_and_only_that_one(
    dfbench: Cli, finished: Path, download: Path, tmp_path: Path
) -> None:
    root, out = tmp_path / "download", tmp_path / "out"
    shutil.copytree(download, root)
    shutil.copytree(finished, out)
    dfbench("data", "prepare", "ffpp", "--root", root, "--out", out, *SMALL)
    before = stamps(out)
    video = root / "original_sequences/youtube/c23/videos/000.mp4"
    corpora.encode(video, corpora.moving(corpora.photographs(9)[8], 8))
    assert dfbench("data", "prepare", "ffpp", "--root", root, "--out", out, *SMALL)[0] == 0
    assert {name for name, stamp in stamps(out).items() if before[name] != stamp} == {"shards/original/000.npy"}
    assert about(out)["fingerprint"] != about(finished)["fingerprint"]


def test_a_killed_preparation_goes_on_to_the_same_result(finished: Path, download: Path, tmp_path: Path) -> None:
    out = tmp_path / "ffpp"
    command = [sys.executable, "-c", "from dfbench.cli import main; main()", "data", "prepare", "ffpp"]
    command += ["--root", str(download), "--out", str(out), *map(str, SMALL)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 100
    while len(stamps(out)) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished_jobs = [file.with_suffix(".npy") for file in out.glob("shards/**/[!.]*.json")]
    assert 0 < len(finished_jobs) < CLIPS
    assert not (out / "prepared.json").exists()
    before = {file: file.stat().st_mtime_ns for file in finished_jobs}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert {file: file.stat().st_mtime_ns for file in finished_jobs} == before
    assert about(out)["fingerprint"] == about(finished)["fingerprint"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see processes")
def test_a_killed_preparation_leaves_no_worker_behind(download: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from dfbench.cli import main; main()", "data", "prepare", "ffpp"]
    command += ["--root", str(download), "--out", str(tmp_path / "out"), "--frames", "8", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 100
    while not stamps(tmp_path / "out") and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [Path(f"/proc/{pid}/stat") for pid in children.read_text().split()]
    assert len(workers) >= 2
    process.kill()
    process.wait()

    def running(stat: Path) -> bool:
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"

    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(running, workers))


def test_several_processes_give_the_same_crops(dfbench: Cli, finished: Path, download: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = dfbench("data", "prepare", "ffpp", "--root", download, "--out", out, *SMALL[:-1], 2)
    assert code == 0, err
    assert about(out)["fingerprint"] == about(finished)["fingerprint"]


def test_a_moved_set_keeps_its_fingerprint(dfbench: Cli, finished: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(finished, moved)
    _, here, _ = dfbench("data", "prepare", f"ffpp(path={finished})")
    _, there, _ = dfbench("data", "prepare", f"ffpp(path={moved})")
    mark = about(finished)["fingerprint"][:16]
    assert f"fingerprint {mark}" in here
    assert f"fingerprint {mark}" in there


# --- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty(download: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """The download with a video of zero bytes, one without a face, and one that is no video; prepared."""
    from dfbench.cli import run_cli

    root = tmp_path_factory.mktemp("faulty") / "download"
    shutil.copytree(download, root)
    fakes = root / "manipulated_sequences" / "Deepfakes" / "c23" / "videos"
    (fakes / "000_001.mp4").write_bytes(b"")
    (fakes / "001_000.mp4").write_text("not a video")
    corpora.encode(fakes / "002_003.mp4", [corpora.drawn()] * 5)
    (fakes / "003_002.mp4").unlink()
    out = root.parent / "out"
    assert run_cli(["data", "prepare", "ffpp", "--root", str(root), "--out", str(out), *map(str, SMALL)]) == 0
    return root, out, ""


@pytest.mark.parametrize(
    "video, reason",
    [
        ("Deepfakes/000_001", "zero bytes"),
        ("Deepfakes/001_000", "cannot be decoded"),
        ("Deepfakes/002_003", "no face in any of 3 frames"),
    ],
)
def test_a_clip_that_cannot_be_used_is_recorded_with_its_reason(faulty, video: str, reason: str) -> None:
    (found,) = [failure["reason"] for failure in about(faulty[1])["failed"] if failure["video"] == video]
    assert reason in found


def test_a_clip_that_cannot_be_used_does_not_stop_the_rest(faulty) -> None:
    assert len(manifest(faulty[1])) == (CLIPS - 4) * 3


def test_the_notes_tell_of_clips_that_gave_no_crop(faulty) -> None:
    assert any("3 of 17 clips gave no crop" in note for note in about(faulty[1])["notes"])


def test_a_mended_clip_is_prepared_when_the_command_is_run_again(dfbench: Cli, faulty, download: Path) -> None:
    root, out, _ = faulty
    name = "manipulated_sequences/Deepfakes/c23/videos/000_001.mp4"
    shutil.copy(download / name, root / name)
    assert dfbench("data", "prepare", "ffpp", "--root", root, "--out", out, *SMALL)[0] == 0
    assert "Deepfakes/000_001" in set(manifest(out)["video"])


def test_missing_split_files_stop_before_any_work(dfbench: Cli, download: Path, tmp_path: Path) -> None:
    root = tmp_path / "download"
    shutil.copytree(download, root)
    (root / "test.json").unlink()
    code, _, err = dfbench("data", "prepare", "ffpp", "--root", root, "--out", tmp_path / "out", *SMALL)
    assert code == 1
    assert "test.json" in err
    assert not (tmp_path / "out").exists()


def test_other_settings_do_not_mix_with_finished_crops(dfbench: Cli, finished: Path, download: Path) -> None:
    code, _, err = dfbench("data", "prepare", "ffpp", "--root", download, "--out", finished, *SMALL, "--margin", 0.5)
    assert code == 2
    assert "margin 0.3, now 0.5" in err


def test_a_folder_with_other_things_in_it_is_not_written_to(dfbench: Cli, download: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    code, _, err = dfbench("data", "prepare", "ffpp", "--root", download, "--out", tmp_path, *SMALL)
    assert code == 2
    assert "not empty" in err


def test_a_data_set_without_a_download_refuses_a_root(dfbench: Cli, tmp_path: Path) -> None:
    code, _, err = dfbench("data", "prepare", "mini", "--root", tmp_path)
    assert code == 2
    assert "not made from a download" in err


def test_options_about_a_download_need_one(dfbench: Cli) -> None:
    code, _, err = dfbench("data", "prepare", "ffpp", "--frames", 8)
    assert code == 2
    assert "--root" in err


def test_a_damaged_crop_gives_no_numbers(dfbench: Cli, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "damaged"
    shutil.copytree(finished, out)
    shutil.copy(out / "shards/FaceSwap/004_005.npy", out / "shards/original/004.npy")
    arguments = ("--model", TINY, "--defense", "none(epochs=1)", "--data", f"ffpp(path={out})", "--cache", tmp_path)
    code, _, err = dfbench("run", *arguments, "--out", tmp_path / "run")
    assert code != 0
    assert "the pixels of original/004/" in err + (tmp_path / "run" / "table.md").read_text()
    scored = [json.loads(file.read_text())["split"] for file in (tmp_path / "cells").glob("*/key.json")]
    assert "test" not in scored  # thresholds are frozen on validation all the same


def test_a_shard_that_was_cut_short_is_made_anew(dfbench: Cli, finished: Path, download: Path, tmp_path: Path) -> None:
    out = tmp_path / "short"
    shutil.copytree(finished, out)
    shard = out / "shards/original/004.npy"
    os.truncate(shard, 1000)
    assert dfbench("data", "prepare", "ffpp", "--root", download, "--out", out, *SMALL)[0] == 0
    assert shard.read_bytes() == (finished / "shards/original/004.npy").read_bytes()


def test_a_test_only_data_set_conforms(tmp_path: Path) -> None:
    from dfbench.cli import run_cli
    from dfbench.testing import check_dataset

    root = corpora.dfd_tree(tmp_path / "download", faces=True, frames=3)
    arguments = ["data", "prepare", "dfd", "--root", str(root), "--out", str(tmp_path / "dfd"), *map(str, SMALL)]
    assert run_cli(arguments) == 0
    component = load_registry().component("dataset", f"dfd(path='{tmp_path / 'dfd'}')")
    check_dataset(component, tmp_path / "cache")


# --- other corpora, other ways ----------------------------------------------------------------------------------------


def test_a_recompressed_set_says_so_and_has_other_pixels(
    dfbench: Cli, finished: Path, download: Path, tmp_path: Path
) -> None:
    out = tmp_path / "crf40"
    code, _, err = dfbench(
        "data", "prepare", "ffpp", "--root", download, "--out", out, *SMALL, "--recompress", "h264(crf=40)"
    )
    assert code == 0, err
    assert about(out)["preparation"]["recompress"] == "h264_clip_crf40"
    assert not set(manifest(out)["sha256"]) & set(manifest(finished)["sha256"])


def test_images_take_the_same_path_and_keep_their_names(dfbench: Cli, tmp_path: Path) -> None:
    root = corpora.dffd_tree(tmp_path / "DFFD", ("ffhq", "stylegan_ffhq"), 2, faces=True)
    (root / "ffhq" / "train" / "ffhq_00000.png").write_bytes(b"")
    code, _, err = dfbench("data", "prepare", "dffd", "--root", root, "--out", tmp_path / "out", *SMALL)
    assert code == 0, err
    assert len(manifest(tmp_path / "out")) == 11
    assert "ffhq/test/ffhq_00004" in set(manifest(tmp_path / "out")["id"])
    assert about(tmp_path / "out")["failed"] == [{"video": "ffhq/train/ffhq_00000", "reason": "zero bytes"}]


def test_images_are_not_recompressed_as_clips(dfbench: Cli, tmp_path: Path) -> None:
    root = corpora.dffd_tree(tmp_path / "DFFD", ("ffhq", "stylegan_ffhq"), 2)
    code, _, err = dfbench("data", "prepare", "dffd", "--root", root, "--out", tmp_path / "out", "--recompress", "jpeg")
    assert code == 2
    assert "--corruption" in err


def test_a_prepared_set_is_trained_and_evaluated_on_frames_and_videos(
    dfbench: Cli, finished: Path, tmp_path: Path
) -> None:
    code, _, err = dfbench(
        "run", "--model", TINY, "--defense", "none(epochs=1)", "--data", f"ffpp(path={finished})",
        "--out", tmp_path / "run", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert code == 0, err
    (cell,) = json.loads((tmp_path / "run" / "record.json").read_text())["cells"]
    assert cell["n"] == 18
    assert cell["video"]["n"] == 6
    assert set(cell["manipulations"]) == {"Deepfakes", "FaceSwap"}


@pytest.mark.skipif(not (SHARED / "ffpp").is_dir(), reason="the genuine FaceForensics++ clips are not here")
def test_genuine_clips_show_their_face_in_95_of_100_frames(dfbench: Cli, tmp_path: Path) -> None:
    out = tmp_path / "ffpp"
    code, _, err = dfbench("data", "prepare", "ffpp", "--root", SHARED / "ffpp", "--out", out, "--frames", 8)
    assert code == 0, err
    rows = manifest(out)
    assert len(rows) >= 0.95 * 32
    assert dict(rows.groupby("video")["split"].first()) == {
        "original/519": "train", "Deepfakes/519_515": "train", "original/634": "test", "FaceSwap/634_660": "test",
    }  # fmt: skip


@pytest.mark.slow
def test_memory_stays_flat_over_ten_minutes_of_1080p(tmp_path: Path) -> None:
    """The clip is five seconds of a face, repeated without encoding it anew."""
    import av

    picture = corpora.drawn(1, 1920)[:1080].copy()
    picture[200:700, 700:1200] = corpora.photographs(1, 500)[0]
    short = corpora.encode(tmp_path / "short.mp4", [np.roll(picture, step, 1) for step in range(125)])
    root = corpora.ffpp_tree(tmp_path / "download", PAIRS, (), faces=True)
    clip = root / "original_sequences/youtube/c23/videos/000.mp4"
    with av.open(str(clip), "w") as container:
        stream = None
        for repeat in range(120):
            with av.open(str(short)) as source:
                stream = stream or container.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        shift = round(repeat * 5 / packet.time_base)
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        container.mux(packet)
    code = (
        "import resource, sys; from dfbench.cli import run_cli; code = run_cli(sys.argv[1:]);"
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    arguments = ["data", "prepare", "ffpp", "--root", root, "--out", tmp_path / "out", "--frames", 300, "--workers", 1]
    ran = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True)
    assert manifest(tmp_path / "out")["video"].eq("original/000").sum() == 300
    assert int(ran.stdout.split("peak")[1]) < 2 * 1024**2
