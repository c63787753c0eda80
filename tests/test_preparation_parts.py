"""Sampling frames, following the main face, cropping it, and re-encoding whole clips."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import corpora
import numpy as np
import pytest

from dfbench.errors import DataError
from dfbench.faces import Face
from dfbench.preparation.crop import TEMPLATE, crop, similarity
from dfbench.preparation.track import main_face
from dfbench.preparation.video import Timeline, _runs, sample, spread

av = pytest.importorskip("av")


# --- frames ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames of 192 x 128 that all differ, a keyframe every 12, with B-frames that other frames refer to."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        options = {"crf": "20", "g": "12", "bf": "3", "x264-params": "b-pyramid=normal"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        for step in range(60):
            picture = np.roll(corpora.drawn(3, 192)[:128], step, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def whole(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("count", [1, 3, 7, 32, 60, 100])
def test_sampled_frames_are_those_of_the_whole_decoded_video(clip: Path, count: int) -> None:
    frames = whole(clip)
    sampled = list(sample(clip, count))
    assert [index for index, _ in sampled] == spread(60, count)
    assert all(np.array_equal(pixels, frames[index]) for index, pixels in sampled)


def test_frames_are_the_middles_of_equal_parts_of_the_whole_video() -> None:
    assert spread(100, 4) == [12, 37, 62, 87]


def test_a_short_video_gives_all_its_frames_once() -> None:
    assert spread(3, 32) == [0, 1, 2]


def test_a_keyframe_between_two_wanted_frames_is_jumped_to() -> None:
    timeline = Timeline(list(range(100)), [i % 20 == 0 for i in range(100)])
    assert _runs(timeline, [5, 15, 30, 95]) == [(0, [5, 15]), (20, [30]), (80, [95])]


@pytest.mark.parametrize(
    "content, reason",
    [(b"", "zero bytes"), (b"no video at all" * 100, "cannot be decoded")],
    ids=["empty", "text"],
)
def test_a_file_that_is_no_video_is_an_error_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        list(sample(path, 4))


def test_a_truncated_video_is_an_error(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.read_bytes()[:-2000])
    with pytest.raises(DataError, match="cannot be decoded"):
        list(sample(path, 4))


def test_a_video_whose_frames_are_damaged_is_an_error(clip: Path, tmp_path: Path) -> None:
    content = bytearray(clip.read_bytes())
    start = content.index(b"mdat") + 2000
    content[start : start + 6000] = bytes(6000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="cannot be decoded"):
        list(sample(path, 60))


# --- re-encoding ----------------------------------------------------------------------------------------------------


def test_h264_of_a_clip_gives_every_frame_in_order() -> None:
    from dfbench_corruptions.h264 import H264

    frames = [np.full((34, 50, 3), 4 * i, np.uint8) for i in range(60)]
    out = list(H264(10).clip(iter(frames), Fraction(25)))
    assert len(out) == 60
    assert all(
        abs(float(a.mean()) - float(b.mean())) < 3 and a.shape == b.shape for a, b in zip(frames, out, strict=True)
    )


def test_h264_of_a_clip_differs_from_h264_of_its_frames(clip: Path) -> None:
    from dfbench_corruptions.h264 import H264, decode, encode

    frames = whole(clip)[:12]
    stream = list(H264(40).clip(iter(frames), Fraction(25)))
    assert not np.array_equal(stream[5], decode(encode(frames[5], 40)))


def test_h264_of_a_clip_works_frame_by_frame() -> None:
    from dfbench_corruptions.h264 import H264

    asked = []
    frames = (asked.append(i) or np.full((32, 32, 3), i % 200, np.uint8) for i in itertools.count())
    next(H264(23).clip(frames, Fraction(25)))
    assert len(asked) < 200


def test_a_sampled_clip_is_encoded_whole_before_frames_are_taken(clip: Path) -> None:
    from dfbench_corruptions.h264 import H264

    encoded = list(H264(35).clip(iter(whole(clip)), Fraction(25)))
    sampled = list(sample(clip, 5, H264(35)))
    assert [index for index, _ in sampled] == spread(60, 5)
    assert all(np.array_equal(pixels, encoded[index]) for index, pixels in sampled)


def test_jpeg_of_a_clip_is_jpeg_of_the_wanted_frames(clip: Path) -> None:
    from dfbench_corruptions.jpeg import Jpeg

    frames, codec = whole(clip), Jpeg(30)
    for index, pixels in sample(clip, 5, codec):
        assert np.array_equal(pixels, codec._round_trip(frames[index]))


# --- the main face --------------------------------------------------------------------------------------------------


def face(x: float, y: float, size: float = 100) -> Face:
    box = (x - size / 2, y - size / 2, x + size / 2, y + size / 2)
    points = TEMPLATE / 112 * size + (box[0], box[1])
    return Face(box, tuple(map(tuple, points.tolist())), 1.0)


def test_the_main_face_is_followed_past_a_larger_one_that_shows_up_once() -> None:
    person = [face(200 + 10 * i, 150) for i in range(6)]
    stranger = face(600, 150, 180)
    frames = [[stranger, p] if i == 3 else [p] for i, p in enumerate(person)]
    assert main_face(frames) == person


def test_the_person_with_the_larger_face_over_the_clip_is_the_main_one() -> None:
    near, far = face(200, 150, 120), face(500, 150, 60)
    assert main_face([[near, far]] * 4) == [near] * 4


def test_two_faces_that_change_places_in_the_list_stay_two_people() -> None:
    a, b = face(200, 150, 100), face(500, 150, 99)
    assert main_face([[a, b], [b, a], [a, b]]) == [a, a, a]


def test_a_lone_face_is_the_same_person_wherever_it_moved() -> None:
    frames = [[face(100, 100)], [], [face(700, 300)]]
    assert main_face(frames) == [frames[0][0], None, frames[2][0]]


def test_another_face_far_away_beside_others_is_not_the_same_person() -> None:
    a, b, c = face(100, 100), face(700, 300, 80), face(400, 600, 90)
    assert main_face([[a], [a], [b, c]]) == [a, a, None]


def test_a_clip_without_faces_has_no_main_face() -> None:
    assert main_face([[], []]) == [None, None]


# --- crops ----------------------------------------------------------------------------------------------------------


def test_a_crop_shows_the_box_and_the_margin() -> None:
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[100:200, 150:250] = 255
    out = crop(frame, face(200, 150, 100), 130, 0.3, "none")
    assert out.shape == (130, 130, 3)
    assert out[20:110, 20:110].min() == 255
    assert out[:12].max() == 0
    assert out[:, -12:].max() == 0


@pytest.mark.parametrize("align", ["none", "landmarks"])
@pytest.mark.parametrize("x, y", [(10, 10), (390, 200), (200, 395)])
def test_a_crop_at_the_edge_of_the_frame_holds_no_black(align: str, x: int, y: int) -> None:
    frame = np.full((400, 400, 3), 200, np.uint8)
    assert crop(frame, face(x, y, 100), 64, 0.3, align).min() == 200


def test_a_face_larger_than_the_frame_gives_the_largest_square_of_it() -> None:
    assert crop(np.full((80, 60, 3), 9, np.uint8), face(30, 40, 90), 64, 0.3, "none").shape == (64, 64, 3)


@pytest.mark.parametrize("angle, size", [(0.0, 100), (0.4, 60), (-0.3, 300)])
def test_aligned_landmarks_lie_where_the_template_has_them(angle: float, size: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = ((TEMPLATE - 56) / 112 * size) @ turn.T + 300
    frame = np.zeros((600, 600, 3), np.uint8)
    y, x = np.mgrid[:600, :600]
    for px, py in points:
        frame[np.hypot(x - px, y - py) < size / 25] = 255
    turned = Face((250, 250, 350, 350), tuple(map(tuple, points.tolist())), 1.0)
    out = crop(frame, turned, 224, 0.3, "landmarks")[..., 0] > 100
    for px, py in 112 + (TEMPLATE - 56) * 2 / 1.3:
        rows, columns = np.nonzero(out & (np.hypot(*(np.indices(out.shape) - np.array([py, px])[:, None, None])) < 15))
        assert np.hypot(rows.mean() - py, columns.mean() - px) < 1.0


def test_the_similarity_recovers_turn_scale_and_shift() -> None:
    wanted = np.array([[1.2, -0.5, 7.0], [0.5, 1.2, -3.0]])
    target = TEMPLATE @ wanted[:, :2].T + wanted[:, 2]
    assert np.allclose(similarity(TEMPLATE, target), wanted)
