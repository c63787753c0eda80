"""The table of confusion counts."""

from __future__ import annotations

from statistics import mean, stdev

import pytest
from shown import cells, entry, first, row, tables

from dfbench.testing import sample_record

CLEAN = (("clean", "none", "none"),)


def test_the_counts_are_those_of_samples_and_the_rates_follow_from_them() -> None:
    record = sample_record(scenarios=CLEAN, defenses=["none"])
    for cell in record["cells"]:
        cell["n"] = 71361
        cell["metrics"] |= {"tp": 30000.0, "fn": 32361.0, "fp": 900.0, "tn": 8100.0, "accuracy": 38100 / 71361}
    shown = row(first("confusion", record), scenario="clean")
    assert [one.text for one in shown[2:9]] == ["30000", "32361", "900", "8100", "71361", "0.481", "0.100"]


def test_the_counts_of_every_row_add_up_to_n() -> None:
    for one in first("confusion", sample_record()).rows:
        assert sum(found.value or 0 for found in one[2:6]) == one[6].value == 160


def test_over_several_trainings_counts_are_means_not_sums() -> None:
    record = sample_record(seeds=(0, 1, 2), scenarios=CLEAN)
    tp = [cell["metrics"]["tp"] for cell in cells(record, data="here", defense="dual")]
    shown = entry(first("confusion", record), "TP ± SD", defense="dual")
    assert shown.text == f"{mean(tp):.1f} ± {stdev(tp):.1f}"
    rate = entry(first("confusion", record), "TPR ± SD", defense="dual")
    assert (rate.value, rate.sd) == pytest.approx((mean(tp) / 80, stdev(tp) / 80))
    assert entry(first("confusion", record), "n", defense="dual").text == "160"


def test_counts_that_lack_a_training_say_so() -> None:
    record = sample_record(seeds=(0, 1), scenarios=CLEAN, fail=[("clean", "dual", 1)])
    table = first("confusion", record)
    assert entry(table, "accuracy ± SD", defense="dual").sd is None
    assert table.notes[-1] == "Not every training was evaluated: dual in clean (seeds 0 only)."
    assert not any("difference" in note for note in table.notes)


def test_videos_have_a_table_of_their_own() -> None:
    frames, videos, *_ = tables("confusion", sample_record(videos=True))
    assert [frames.title, videos.title] == ["m on here: frames", "m on here: videos"]
    assert (frames.rows[0][6].text, videos.rows[0][6].text) == ("160", "20")


def test_a_split_without_reals_has_no_false_positive_rate() -> None:
    record = sample_record(scenarios=CLEAN, defenses=["none"])
    for cell in record["cells"]:
        cell["metrics"] |= {"fp": 0.0, "tn": 0.0}
    assert entry(first("confusion", record), "FPR", scenario="clean").text == "n/a"


def test_a_failed_cell_has_no_counts() -> None:
    shown = row(first("confusion", sample_record(fail=[("PGD", "dual")])), scenario="PGD", defense="dual")
    assert [one.text for one in shown[2:]] == ["failed", *[""] * 7]
