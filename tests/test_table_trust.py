"""What tables show of trust: verdicts, the worst case, directions, and which differences are marked."""

from __future__ import annotations

from typing import Any

import pytest
from shown import PIM_GRID, cells, entry, first, row, tables

from dfbench.errors import UsageError
from dfbench.tables import Table
from dfbench.testing import sample_record
from dfbench.testing.records import SWEEP, WORST_CASE

SUSPECT = [("PGD", "dual")]
STRONG = "strong(eps=8/255)"


def headings(table: Table) -> list[str]:
    return [column.heading for column in table.columns]


def named(found: list[Table], title: str) -> Table:
    return next(table for table in found if table.title == title)


# --- which differences are marked ---------------------------------------------------------------------------------


def give(record: dict[str, Any], ps: list[float | None], metric: str = "auc", test: str = "DeLong") -> None:
    """Give the differences of the defended cells of each scenario these p, whatever their intervals."""
    names = list(dict.fromkeys(cell["scenario"] for cell in record["cells"]))
    for cell in record["cells"]:
        if cell["versus_baseline"]:
            found = {"value": 0.2, "interval": [0.1, 0.3], "p": ps[names.index(cell["scenario"])], "test": test}
            cell["versus_baseline"]["difference"][metric] = found


def gains(table: Table) -> list[bool]:
    place = headings(table).index("AUC - baseline [95%]")
    return [row[place].bold for row in table.rows if row[place].value is not None]


def test_differences_are_bold_where_their_p_is_small_after_the_correction_over_the_table() -> None:
    record = sample_record(scenarios=SWEEP[:3])
    give(record, [0.03, 0.01, 0.04])
    assert gains(first("results", record)) == [False, True, False]


def test_a_difference_without_p_beside_others_that_have_one_is_not_bold() -> None:
    record = sample_record(scenarios=SWEEP[:3])
    give(record, [None, 0.001, 0.4])
    assert gains(first("results", record)) == [False, True, False]


def test_in_a_record_without_p_the_interval_decides_and_the_note_says_so() -> None:
    record = sample_record(scenarios=SWEEP[:3])
    give(record, [None, None, None])
    table = first("results", record)
    assert gains(table) == [True, True, True]
    assert any(note.endswith("differences are paired, and bold where the interval excludes 0.") for note in table.notes)


def test_the_note_tells_the_test_and_the_number_of_differences_it_corrects_for() -> None:
    record = sample_record(scenarios=SWEEP[:3])
    give(record, [0.5, 0.01, 0.03])
    told = "bold where p < 0.05 (DeLong) after Holm's correction over the 3 differences in this table."
    assert any(note.endswith(told) for note in first("results", record).notes)


def test_each_metric_of_the_table_of_scenarios_is_corrected_for_by_itself() -> None:
    record = sample_record(scenarios=SWEEP[:3])
    for cell in record["cells"]:
        cell["metrics"] |= {"auc": 0.5 if cell["defense"] == "none" else 0.7, "accuracy": 0.5}
    give(record, [0.6, 0.016, 0.7])
    give(record, [0.9, 0.8, 0.7], metric="accuracy")
    table = first("scenarios(metrics='accuracy,auc')", record)
    assert entry(table, "AUC: dual", scenario="FGSM eps=0.001").bold
    assert "(DeLong) after Holm's correction over the differences of each metric in this table" in " ".join(table.notes)


def test_the_baseline_is_bold_only_where_the_differences_of_all_others_are_significant() -> None:
    record = sample_record(scenarios=SWEEP[:2], defenses=["none", "dual", "pgd-at"])
    for cell in record["cells"]:
        cell["metrics"]["auc"] = 0.8 if cell["defense"] == "none" else 0.5
    give(record, [0.001, 0.001])
    assert entry(first("scenarios(metrics=auc)", record), "AUC: none", scenario="clean").bold
    next(cells(record, defense="pgd-at"))["versus_baseline"]["difference"]["auc"]["p"] = 0.3
    assert not entry(first("scenarios(metrics=auc)", record), "AUC: none", scenario="clean").bold


@pytest.mark.parametrize("p, bold", [(0.012, True), (0.013, False)])
def test_the_best_of_a_grid_is_bold_where_its_p_stands_among_all_arms_of_the_grid(p: float, bold: bool) -> None:
    record = sample_record(scenarios=SWEEP[:1], defenses=PIM_GRID)
    for cell in record["cells"]:
        cell["metrics"]["auc"] = 0.9 if cell["defense"] == PIM_GRID[1] else 0.5
        if cell["versus_baseline"]:
            best = cell["defense"] == PIM_GRID[1]
            found = {"value": 0.4, "interval": [0.1, 0.5], "p": p if best else 0.9, "test": "DeLong"}
            cell["versus_baseline"]["difference"]["auc"] = found
    table = first("grid", record)
    assert any(shown.bold for shown in table.rows[0]) == bold
    assert "over the 4 differences in this table" in " ".join(table.notes)


# --- verdicts -----------------------------------------------------------------------------------------------------


def test_attacked_cells_have_a_verdict_and_the_others_none() -> None:
    table = first("results", sample_record(scenarios=WORST_CASE[:2], suspect=SUSPECT))
    assert [shown[-1].text for shown in table.rows] == ["", "", "reliable", "SUSPECT"]


def test_without_checks_there_is_no_column_of_verdicts() -> None:
    for template in ("results", "scenarios", "worst-case", "directions"):
        assert "verdict" not in headings(first(template, sample_record(scenarios=WORST_CASE)))


@pytest.mark.parametrize(
    "suspect, told",
    [([], "reliable"), (SUSPECT, "SUSPECT: dual"), ([*SUSPECT, ("PGD", "none")], "SUSPECT")],
)
def test_a_scenario_names_the_defenses_whose_cells_are_suspect(suspect: list[tuple[str, str]], told: str) -> None:
    table = first("scenarios", sample_record(scenarios=WORST_CASE[:2], suspect=suspect))
    assert [entry(table, "verdict", scenario=name).text for name in ("clean", "PGD")] == ["", told]


@pytest.mark.parametrize("template", ["results", "scenarios", "manipulations", "survival", "confusion", "directions"])
def test_every_table_says_why_cells_are_suspect_once_for_those_of_the_same_reason(template: str) -> None:
    record = sample_record(suspect=[("PGD", "none"), ("PGD", "dual"), ("U-Net", "dual")])
    told = "SUSPECT: PGD with none, dual; U-Net with dual: the gradient vanishes on 93% of the samples."
    assert told in first(template, record).captions


def test_suspect_cells_of_other_reasons_have_a_line_each() -> None:
    record = sample_record(scenarios=WORST_CASE, suspect=[("PGD", "none"), ("strong", "none")])
    for cell in cells(record, scenario="strong", defense="none"):
        cell["verdict"]["reasons"] = ["Square is stronger.", "more steps help."]
    lines = [text for text in first("results", record).captions if text.startswith("SUSPECT")]
    assert lines == [
        "SUSPECT: PGD with none: the gradient vanishes on 93% of the samples.",
        "SUSPECT: strong with none: Square is stronger; more steps help.",
    ]


def test_over_several_trainings_one_suspect_cell_makes_the_mean_suspect_and_names_its_seed() -> None:
    record = sample_record(seeds=(3, 5), scenarios=WORST_CASE[:2], suspect=SUSPECT)
    for cell in cells(record, scenario="PGD", defense="dual", seed=3):
        cell["verdict"] = {**cell["verdict"], "verdict": "reliable", "reasons": []}
    table = first("results", record)
    assert entry(table, "verdict", attack="pgd(eps=8/255)", defense="dual").text == "SUSPECT"
    assert any(text.startswith("SUSPECT: PGD with dual (seed 5): ") for text in table.captions)


# --- the worst case -----------------------------------------------------------------------------------------------


def test_a_worst_case_stands_in_a_column_of_its_own_and_nowhere_else() -> None:
    record = sample_record(scenarios=WORST_CASE)
    table = first("results", record)
    strong = row(table, attack=STRONG, defense="dual")
    filled = [column.heading for column, shown in zip(table.columns, strong, strict=True) if shown.text][3:]
    assert filled == ["worst-case acc. [95%]"]
    assert entry(table, "worst-case acc. [95%]", attack="pgd(eps=8/255)", defense="dual").text == ""


@pytest.mark.parametrize("template", ["results", "scenarios", "manipulations", "directions"])
def test_without_a_worst_case_there_is_no_column_for_it(template: str) -> None:
    assert not [name for name in headings(first(template, sample_record())) if "worst" in name]


def test_scenarios_show_the_worst_case_of_the_defenses_side_by_side_with_its_difference() -> None:
    record = sample_record(scenarios=WORST_CASE)
    table = first("scenarios(metrics=accuracy)", record)
    assert headings(table)[4:] == [f"worst-case acc.: {name}" for name in ("none", "dual", "difference [95%]")]
    shown = {name: [one.text for one in row(table, scenario=name)] for name in ("PGD", "strong")}
    assert shown["PGD"][4:] == shown["strong"][1:4] == ["", "", ""]
    assert all(shown["strong"][4:])
    (cell,) = cells(record, scenario="strong", defense="dual", data="here")
    assert entry(table, "worst-case acc.: dual", scenario="strong").value == cell["metrics"]["worst_case_accuracy"]


def test_tables_by_video_say_that_the_worst_case_is_not_among_them() -> None:
    record = sample_record(scenarios=WORST_CASE, videos=True)
    frames, videos, *_ = tables("results", record)
    told = "Not here: strong. The worst case is of frames, it has no mean over a video."
    assert STRONG in [shown[0].text for shown in frames.rows]
    assert STRONG not in [shown[0].text for shown in videos.rows]
    assert (told in frames.captions, told in videos.captions) == (False, True)


def test_the_floor_of_constant_answers_is_that_of_a_cell_that_has_one() -> None:
    record = sample_record(scenarios=WORST_CASE[::-1])
    assert "scores accuracy 0.500 and" in first("results", record).captions[0]
    assert first("results", sample_record(scenarios=WORST_CASE[2:])).captions[0] == "here, test split, n = 160."


def test_a_worst_case_has_no_confusion_counts_and_no_curve() -> None:
    assert [shown[0].text for shown in first("confusion", sample_record(scenarios=WORST_CASE)).rows] == [
        "clean", "clean", "PGD", "PGD",
    ]  # fmt: skip
    record = sample_record(scenarios=SWEEP)
    for curve in record["curves"]:
        curve |= {name: {} for name in ("metrics", "intervals", "nauc", "nauc_seed")}
    assert tables("nauc", record) == []


def test_a_fixed_attack_stands_beside_the_worst_case_of_the_same_eps_and_corruption_alone() -> None:
    scenarios = [*WORST_CASE, ("weak", "pgd(eps=1/255)", "none"), ("JPEG", "pgd(eps=8/255)", "jpeg(quality=50)")]
    (section,) = first("worst-case", sample_record(scenarios=scenarios, defenses=["none"])).sections
    assert [[shown.text for shown in one[:4]] for one in section] == [
        ["8/255", "none", "none", attack] for attack in ("none", "pgd(eps=8/255)", STRONG)
    ]


def test_what_an_accuracy_is_above_the_worst_case_of_its_defense_is_told() -> None:
    record = sample_record(scenarios=WORST_CASE)
    for cell in cells(record, defense="dual"):
        if cell["scenario"] == "strong":
            cell["metrics"]["worst_case_accuracy"] = 0.25
        else:
            cell["metrics"]["accuracy"] = 0.75
    table = first("worst-case", record)
    place = {"eps": "8/255", "defense": "dual"}
    assert entry(table, "above worst case", attack="pgd(eps=8/255)", **place).text == "+0.500"
    assert entry(table, "above worst case", attack="none", **place).text == ""
    assert entry(table, "accuracy [95%]", attack=STRONG, **place).text == ""
    assert entry(table, "worst-case acc. [95%]", attack=STRONG, **place).value == 0.25


def test_the_eps_of_an_attack_whose_label_does_not_tell_it_is_that_of_the_configuration() -> None:
    record = sample_record(scenarios=[("PGD", "pgd", "none"), ("strong", STRONG, "none")], defenses=["none"])
    record["config"]["scenarios"][0]["attack"]["params"] = {"eps": 8 / 255}
    assert [shown[3].text for shown in first("worst-case", record).rows] == ["pgd", STRONG]


def test_it_is_told_which_member_turned_how_many_samples() -> None:
    record = sample_record(scenarios=WORST_CASE)
    for cell in cells(record, scenario="strong", defense="none"):
        cell["broken_by"] = {"clean": 20, "fab": 40, "": 100}
    table = named(tables("worst-case", record), "m on here: what turned the samples wrong")
    assert headings(table)[2:] == ["wrong unattacked", "fab", "apgd-ce", "square", "withstood", "n"]
    assert [shown.text for shown in row(table, defense="none")[2:]] == ["20", "40", "0", "0", "100", "160"]
    assert [shown.text for shown in row(table, defense="dual")[2:]] == ["12", "0", "60", "5", "83", "160"]


def test_over_several_trainings_the_counts_are_means() -> None:
    record = sample_record(scenarios=WORST_CASE, seeds=(0, 1), defenses=["none"])
    for cell in cells(record, scenario="strong", seed=1):
        cell["broken_by"] = {"clean": 13, "": 147}
    table = named(tables("worst-case", record), "m on here: what turned the samples wrong")
    assert [shown.text for shown in row(table, defense="none")[2:]] == ["12.5", "30.0", "2.5", "115.0", "160"]


def test_without_counts_there_is_no_table_of_what_turned_the_samples() -> None:
    record = sample_record(scenarios=WORST_CASE)
    for cell in record["cells"]:
        cell.pop("broken_by", None)
    assert [table.title for table in tables("worst-case", record)] == ["m on here", "m on there"]


def test_a_metric_that_only_the_worst_case_has_is_missed_in_a_record_without_one() -> None:
    with pytest.raises(UsageError, match="the record has no metric 'worst_case_accuracy'"):
        first("scenarios(metrics=worst_case_accuracy)", sample_record())


def test_a_record_of_the_worst_case_alone_is_asked_for_no_metric_that_it_cannot_have() -> None:
    table = first("scenarios", sample_record(scenarios=WORST_CASE[2:]))
    assert all(shown.text for shown in row(table, scenario="strong")[-3:])


def test_a_grid_shows_the_worst_case_in_the_scenarios_that_have_it() -> None:
    record = sample_record(scenarios=WORST_CASE, defenses=PIM_GRID)
    titles = [table.title for table in tables("grid(metric=worst_case_accuracy)", record)]
    assert titles == [f"m on {data}: pim, strong" for data in ("here", "there")]
    assert not [table for table in tables("grid", record) if "strong" in table.title]


# --- directions ---------------------------------------------------------------------------------------------------


def test_directions_show_each_metric_under_its_heading() -> None:
    record = sample_record(scenarios=WORST_CASE)
    table = first("directions", record)
    for scenario in ("clean", "PGD", "strong"):
        (cell,) = cells(record, scenario=scenario, defense="dual", data="here")
        for column in table.columns[2:]:
            shown = entry(table, column.heading, scenario=scenario, defense="dual")
            assert shown.value == cell["metrics"].get(column.facts["metric"])


def test_the_calibration_error_has_no_interval() -> None:
    table = first("directions", sample_record())
    assert "[" not in entry(table, "ECE", scenario="PGD", defense="dual").text
    assert "[" in entry(table, "frozen at EER: accuracy [95%]", scenario="PGD", defense="dual").text


def test_without_frozen_thresholds_there_are_no_columns_of_them_and_the_reason_is_told() -> None:
    record = sample_record()
    for cell in record["cells"]:
        cell["metrics"] = {name: found for name, found in cell["metrics"].items() if "frozen" not in name}
    for one in record["training"]:
        one |= {"thresholds": None, "thresholds_reason": "no validation split"}
    table = first("directions", record)
    assert not [name for name in headings(table) if "frozen" in name]
    told = "Frozen thresholds: none none (no validation split); dual none (no validation split)."
    assert told in table.notes


def test_the_thresholds_of_each_level_are_told() -> None:
    frames, videos, *_ = tables("directions", sample_record(videos=True, defenses=["none"]))
    assert "Frozen thresholds: none 0.480 (EER), 0.930 (FPR 1%)." in frames.notes
    assert "Frozen thresholds: none 0.510 (EER), 0.900 (FPR 1%)." in videos.notes


def test_a_record_that_was_made_before_directions_has_no_table_of_them() -> None:
    record = sample_record()
    for cell in record["cells"]:
        cell["metrics"].pop("accuracy_fake")
    assert tables("directions", record) == []
