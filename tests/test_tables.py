from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dfbench.record import load_record
from dfbench.tables import BRIEF, Columns, header, markdown, tables

RESULTS = Path(__file__).parents[1] / "results"


def cell(**changes: Any) -> dict[str, Any]:
    made = {
        "model": "m", "defense": "dual", "attack": "pgd(eps=8/255)", "corruption": "none", "corruption_column": "none",
        "data": "mini", "split": "test", "n": 160, "status": "ok", "reason": "", "note": "",
        "metrics": {"accuracy": 0.5, "balanced_accuracy": 0.5, "f1_macro": 1 / 3, "auc": None,
                    "always_fake_accuracy": 0.25, "always_real_accuracy": 0.75},
        "intervals": {"accuracy": [0.4, 0.6]},
        "versus_baseline": None,
    }  # fmt: skip
    return {**made, **changes}


def record(*cells: dict[str, Any], **more: Any) -> dict[str, Any]:
    intervals = {"level": 0.95, "method": "x", "replicates": 9}
    return {"cells": list(cells), "intervals": intervals, "warnings": ["careful"], **more}


def rows(made: dict[str, Any], *columns: Columns) -> list[list[str]]:
    (table,) = tables(made)
    return table.rows(*columns)


def versus(low: float, high: float) -> dict[str, Any]:
    return {"defense": "none", "difference": {"auc": {"value": (low + high) / 2, "interval": [low, high]}}}


def part(n: int, auc: float) -> dict[str, Any]:
    metrics = {"auc": auc, "balanced_accuracy": 0.6, "always_fake_accuracy": 0.8, "always_real_accuracy": 0.2}
    return {"n": n, "metrics": metrics, "undefined": {}, "intervals": {"auc": [auc - 0.1, auc + 0.1]}}


def test_a_difference_is_bold_only_where_its_interval_excludes_0() -> None:
    better, unclear, worse = (
        cell(versus_baseline=versus(*bounds)) for bounds in ((0.1, 0.3), (-0.1, 0.3), (-0.3, -0.1))
    )
    shown = [row[-1] for row in rows(record(better, unclear, worse))]
    assert shown == ["**+0.200 [+0.10, +0.30]**", "+0.100 [-0.10, +0.30]", "**-0.200 [-0.30, -0.10]**"]


def test_an_undefined_metric_is_not_a_number_and_a_failed_cell_has_none() -> None:
    row, failed = rows(record(cell(), cell(status="failed", metrics={}, intervals={})))
    assert row[6] == "n/a"
    assert failed[3:] == ["failed", *[""] * 5]
    assert len(failed) == len(header())


def test_the_floor_is_that_of_the_better_constant_predictor() -> None:
    assert "accuracy 0.750" in markdown(record(cell()))


def test_a_transfer_is_labelled_in_the_table_and_warnings_follow_it() -> None:
    text = markdown(record(cell(note="transfer")))
    assert "pgd(eps=8/255) (transfer)" in text
    assert text.rstrip().endswith("- careful")


def test_the_brief_table_has_as_many_cells_as_columns() -> None:
    assert {len(row) for row in rows(record(cell(), cell(status="failed")), BRIEF)} == {len(header(BRIEF))}


def test_each_evaluated_data_set_has_a_table_of_its_own_that_says_what_was_trained_on() -> None:
    here, there = tables(record(cell(data="a"), cell(data="b"), data={"name": "a"}))
    assert (here.title, there.title) == ("m on a", "m on b")
    assert here.captions[0].startswith("a, test split, n = 160.")
    assert there.captions[0].startswith("Trained on a, evaluated on b, test split, n = 160.")


def test_videos_have_a_table_after_the_frames_with_their_number_and_floor() -> None:
    frames, videos = tables(record(cell(video={**part(10, 0.9), "versus_baseline": versus(0.1, 0.3)}), cell()))
    assert (frames.title, videos.title) == ("m: frames", "m: 10 videos")
    assert "number of videos = 10. " in videos.captions[0]
    assert "accuracy 0.800" in videos.captions[0]
    assert videos.rows()[0][6:] == ["0.900 [0.80, 1.00]", "n/a", "**+0.200 [+0.10, +0.30]**"]
    assert frames.rows()[0][6] == "n/a"


def test_every_table_says_right_under_its_floor_that_the_splits_leak() -> None:
    made = record(cell(video=part(10, 0.9) | {"versus_baseline": None}, manipulations={"swap": part(7, 0.8)}))
    made["warnings"] = ["LEAK: 3 videos are in both", "careful"]
    assert [table.captions[1:] for table in tables(made)] == [["LEAK: 3 videos are in both"]] * 2
    assert markdown(made).count("\nLEAK: 3 videos are in both\n") == 3


def test_clips_that_were_re_encoded_are_told_from_corrupted_images() -> None:
    made = record(cell(data="ffpp"), data={"name": "ffpp", "preparation": {"recompress": "h264_clip_crf40"}})
    (table,) = tables(made)
    assert table.captions[0].startswith("ffpp (clips re-encoded: h264_clip_crf40), test split")


def test_each_manipulation_has_its_row_with_its_own_numbers() -> None:
    made = record(cell(manipulations={"swap": part(70, 0.8), "sbi": part(71, 0.7)}))
    section = markdown(made).split("## By manipulation")[1]
    lines = [[text.strip() for text in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    assert lines[0][3:] == ["manipulation", "n", "balanced acc.", "AUC [95%]"]
    assert [line[3:] for line in lines[2:]] == [
        ["swap", "70", "0.600", "0.800 [0.70, 0.90]"],
        ["sbi", "71", "0.600", "0.700 [0.60, 0.80]"],
    ]


@pytest.mark.parametrize("name", ["mini-demo", "mini-full", "mini-ablation"])
def test_a_record_of_before_data_sets_were_told_apart_gives_the_table_that_lies_beside_it(name: str) -> None:
    assert markdown(load_record(RESULTS / name)) == (RESULTS / name / "table.md").read_text(encoding="utf-8")
