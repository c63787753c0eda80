"""Published numbers: the shipped files, and the table that puts a run beside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from shown import cells, entry, first, row, tables

from dfbench.errors import UsageError
from dfbench.nauc import nauc_seed
from dfbench.registry import load_registry
from dfbench.tables import Table, named_tables
from dfbench.testing import sample_record
from dfbench.testing.records import SWEEP
from dfbench_tables.published_file import read_published
from dfbench_tables.published_number import Number

FOLDER = Path(__file__).parents[1] / "results/published"
REGULARIZATION = FOLDER / "gradient-regularization.toml"
DUAL = FOLDER / "dual-attacker.toml"
TEMPLATE = f"published(file={REGULARIZATION})"

NUMBERS = read_published(REGULARIZATION).numbers
REALS, FAKES = 9000, 62361
"""Of the test set that the numbers are of."""


def record(**changed: Any) -> dict[str, Any]:
    return sample_record(**{"scenarios": SWEEP, "defenses": ["none", "pim"], **changed})


def attacked_f1() -> list[tuple[Number, float]]:
    """Each F1 under attack with the accuracy of the same images."""
    accuracy = {(n.arm, n.attack, n.eps): n.value for n in NUMBERS if n.metric == "accuracy" and not n.area}
    f1 = [n for n in NUMBERS if n.metric == "f1_fake" and not n.area]
    return [(number, accuracy[number.arm, number.attack, number.eps]) for number in f1]


# --- the shipped numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", [n for n in NUMBERS if n.area], ids=lambda n: f"{n.attack}-{n.arm}-{n.metric}")
def test_a_published_area_follows_from_the_published_points(area: Number) -> None:
    points = {n.eps[0]: n.value for n in NUMBERS if not n.area and n.eps and _same(n, area)}
    assert tuple(sorted(points)) == area.eps
    assert round(nauc_seed(area.eps, [points[eps] for eps in area.eps]), 4) == area.value


def _same(one: Number, other: Number) -> bool:
    return (one.arm, one.attack, one.steps, one.metric) == (other.arm, other.attack, other.steps, other.metric)


def test_all_twelve_areas_are_shipped() -> None:
    assert len([number for number in NUMBERS if number.area]) == 12


def test_no_f1_under_attack_can_be_the_macro_f1_that_it_is_called() -> None:
    for number, accuracy in attacked_f1():
        assert number.called == "macro-F1"
        assert not accuracy / (1 + accuracy) <= number.value <= accuracy


def test_every_f1_under_attack_is_possible_as_f1_of_fake_and_eight_are_not_as_f1_of_real() -> None:
    def possible(f1: float, accuracy: float, ours: int, others: int) -> bool:
        right = f1 / (1 - f1) * (1 - accuracy) * (REALS + FAKES) / 2  # from F1 = 2 TP / (2 TP + errors)
        return right <= ours and 0 <= accuracy * (REALS + FAKES) - right <= others

    assert all(possible(number.value, accuracy, FAKES, REALS) for number, accuracy in attacked_f1())
    assert sum(not possible(number.value, accuracy, REALS, FAKES) for number, accuracy in attacked_f1()) == 8


def test_the_clean_f1_can_be_macro_f1() -> None:
    for arm in ("baseline", "defended"):
        clean = {n.metric: n.value for n in NUMBERS if n.arm == arm and not n.eps}
        assert clean["accuracy"] / (1 + clean["accuracy"]) <= clean["f1_macro"] <= clean["accuracy"]


def test_the_number_of_samples_is_that_of_images_not_of_batches() -> None:
    published = read_published(REGULARIZATION)
    assert published.protocol["n"] == REALS + FAKES
    assert math.ceil(published.protocol["n"] / published.protocol["recipe"]["batch_size"]) == 17841


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_file_reads_and_names_source_protocol_and_problems(path: Path) -> None:
    published = read_published(path)
    assert published.source
    assert published.protocol["data"]
    assert len(published.problems) > 5
    assert {number.arm for number in published.numbers} == {"baseline", "defended"} == set(published.arms)
    assert path.name in (FOLDER / "README.md").read_text()


# --- beside a run -------------------------------------------------------------------------------------------------


def numbers(found: dict[str, Any], template: str = TEMPLATE) -> Table:
    return first(template, found)


def test_reported_and_measured_numbers_stand_side_by_side_and_are_marked() -> None:
    found = record()
    table = numbers(found)
    assert [column.heading for column in table.columns] == [
        "scenario", "metric", "in this run", "baseline: reported", "baseline: measured: none", "defended: reported",
        "defended: measured: pim",
    ]  # fmt: skip
    (cell,) = cells(found, data="here", defense="pim", scenario="FGSM eps=0.005")
    shown = row(table, published="fgsm, eps 0.005", metric="accuracy")
    assert shown[2].text == "fgsm(eps=0.005)"
    assert (shown[3].value, shown[5].value) == (0.24776838889589553, 0.3089222404394557)
    assert shown[6].value == cell["metrics"]["accuracy"]


def test_a_scenario_that_the_run_lacks_stays_empty() -> None:
    shown = row(numbers(record()), published="pgd, eps 0.0005, 5 steps", metric="accuracy")
    assert [one.text for one in shown[2:]] == ["", "0.1076", "", "0.1231", ""]


def test_an_eps_that_is_almost_the_published_one_matches_and_another_does_not() -> None:
    scenarios = (("clean", "none", "none"), ("a", "fgsm(eps=0.0010001)", "none"), ("b", "fgsm(eps=0.0049)", "none"))
    table = numbers(record(scenarios=scenarios))
    assert row(table, published="fgsm, eps 0.001", metric="accuracy")[2].text == "fgsm(eps=0.0010001)"
    assert row(table, published="fgsm, eps 0.005", metric="accuracy")[2].text == ""


def test_several_attacks_of_the_run_that_match_have_a_row_each() -> None:
    scenarios = [(f"{n} steps", f"pgd(eps=0.001, steps={n})", "none") for n in (5, 20)]
    table = numbers(record(scenarios=[("clean", "none", "none"), *scenarios]))
    shown = [one for one in table.rows if (one[0].text, one[1].text) == ("pgd, eps 0.001, 5 steps", "accuracy")]
    assert [one[2].text for one in shown] == ["pgd(eps=0.001, steps=5)", "pgd(eps=0.001, steps=20)"]


def test_areas_are_compared_on_equal_grids_alone() -> None:
    whole, part = numbers(record()), numbers(record(scenarios=SWEEP[:-1]))
    labels = {"published": "fgsm, eps 0.001, 0.005, 0.01, 0.015", "metric": "accuracy, nAUC of the attacked points"}
    area = next(c for c in record()["curves"] if (c["defense"], c["data"]) == ("none", "here"))["nauc_seed"]["accuracy"]
    assert entry(whole, "baseline: measured: none", **labels).value == area["value"]
    assert entry(part, "baseline: measured: none", **labels).text == ""
    assert entry(part, "baseline: reported", **labels).text == "0.1902"


def test_an_f1_says_which_one_it_is_and_what_it_was_called() -> None:
    found = record()
    for cell in found["cells"]:
        cell["metrics"]["f1_fake"] = 0.25
    table = numbers(found)
    shown = row(table, published="fgsm, eps 0.001", metric="F1 of fake (called macro-F1)")
    assert (shown[3].text, shown[4].text) == ("0.6251", "0.250")
    assert row(table, published="clean", metric="macro-F1")[3].text == "0.9786"


def test_every_defended_arm_has_a_column_under_the_defended_ones() -> None:
    table = numbers(record(defenses=["none", "dual", "dual+pim"]))
    assert [c.title for c in table.columns if c.group == "defended"] == [
        "reported",
        "measured: dual",
        "measured: dual+pim",
    ]


def test_a_failed_cell_is_marked_beside_what_was_reported() -> None:
    table = numbers(record(fail=[("FGSM eps=0.005", "pim")]))
    assert entry(table, "defended: measured: pim", published="fgsm, eps 0.005", metric="accuracy").text == "failed"


def test_an_area_of_which_some_scenarios_are_not_asked_for_stays_empty() -> None:
    asked = [{"name": "t", "template": TEMPLATE, "scenarios": ["clean", "FGSM eps=0.001"]}]
    ((_, (table, *_)),) = named_tables(load_registry(), record(), asked)
    labels = {"published": "fgsm, eps 0.001, 0.005, 0.01, 0.015", "metric": "accuracy, nAUC of the attacked points"}
    assert entry(table, "baseline: measured: none", **labels).text == ""


def test_areas_stand_beside_each_other_over_the_trainings_that_both_arms_have() -> None:
    found = record(seeds=(0, 1), fail=[("FGSM eps=0.005", "pim", 1)])
    table = numbers(found)
    labels = {"published": "fgsm, eps 0.001, 0.005, 0.01, 0.015", "metric": "accuracy, nAUC of the attacked points"}
    here = [c for c in found["curves"] if (c["defense"], c["data"], c["seed"]) == ("none", "here", 0)]
    shown = entry(table, "baseline: measured: none", **labels)
    assert (shown.value, shown.low, shown.sd) == (here[0]["nauc_seed"]["accuracy"]["value"], None, None)
    told = " ".join(table.notes)
    assert "fgsm: no curve of pim (seed 1)" in told
    assert "fgsm: accuracy over seed 0 alone" in told
    assert "Not every training was evaluated: pim in FGSM eps=0.005 (seeds 0 only)." in told


def test_the_known_problems_are_beneath_the_numbers() -> None:
    notes = " ".join(numbers(record()).notes)
    for problem in read_published(REGULARIZATION).problems.values():
        assert problem in notes


def test_the_differences_in_protocol_are_listed_and_what_is_equal_is_not() -> None:
    table = tables(TEMPLATE, record())[1]
    shown = {one[0].text: (one[1].text, one[2].text) for one in table.rows}
    assert shown["samples"] == ("71361", "160")
    assert shown["epochs"] == ("10", "5 (none); 12 (pim)")
    assert shown["optimizer"] == ("adam", "adamw")
    assert shown["weights"] == ("ImageNet", "lite0")
    assert shown["evaluated data"] == ("dffd", "here")
    assert shown["fgsm"][1] == "fgsm(eps=0.001), fgsm(eps=0.005), fgsm(eps=0.01), fgsm(eps=0.015)"
    assert shown["pgd"][1] == "not in this run"
    assert "split" not in shown


def test_a_corruption_matches_by_what_is_published_of_it() -> None:
    found = sample_record(scenarios=[("J50", "none", "jpeg(quality=50)"), ("J90", "none", "jpeg(quality=90)")])
    table = numbers(found, f"published(file={DUAL})")
    (cell,) = cells(found, data="here", scenario="J50", defense="none")
    shown = row(table, published="jpeg(quality=50)", metric="accuracy")
    assert shown[4].value == cell["metrics"]["accuracy"]
    assert row(table, published="mpeg4_frame", metric="accuracy")[4].text == ""


def test_a_run_on_a_published_data_set_stands_beside_that_one_and_others_beside_each() -> None:
    found = sample_record()
    for part in ("cells",):
        for one in found[part]:
            one["data"] = {"there": "ffpp"}.get(one["data"], one["data"])
    titles = [table.title for table in tables(f"published(file={DUAL})", found)][::2]
    assert titles == ["m on here beside celebdf2", "m on here beside ffpp", "m on ffpp beside ffpp"]


# --- files that are none ------------------------------------------------------------------------------------------

HEAD = """title = "t"
[source]
[arms]
[protocol]
[problems]
[numbers]
"""
ROW = "{ arm = 'baseline', metric = 'auc', value = 0.5 }"


@pytest.mark.parametrize(
    "text, message",
    [
        ("title = ", "is no TOML"),
        ("title = 't'", "lacks 'source'"),
        (HEAD + "rows = []", "it has no numbers"),
        (HEAD + "rows = 3", "its rows are no list, but 3"),
        (HEAD + "rows = [1, 2]", "row 1: 1 is no table"),
        (HEAD + "rows = [{ arm = 'baseline', value = 0.5 }]", "row 1: it lacks 'metric'"),
        (HEAD + f"rows = [{ROW}, {{ arm = 'defended', metric = 'auk', value = 0.5 }}]", "row 2: unknown metric 'auk'"),
        (
            HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 0.5, corruption = 'jpeg(' }]",
            r"row 1: .*jpeg\(",
        ),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'accuracy', value = 50.0 }]", "row 1: .*50.0 of accuracy"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'cam_pearson', value = -1.1 }]", "within -1 and 1"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'tp', value = -1 }]", "within 0 and inf"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, eps = true }]", "row 1: the eps True"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, eps = [0.1, '0.2'] }]", "row 1: the eps '0.2'"),
        (
            HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, eps = [0.2, 0.1], area = 'nauc' }]",
            "row 1: the eps 0.2, 0.1 must increase",
        ),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, steps = true }]", "row 1: steps = True"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, attack = 3 }]", "row 1: attack = 3 is no text"),
        (HEAD + f"rows = [{ROW}, {ROW}]", "row 2: it gives the same number again as row 1"),
        (
            HEAD + "rows = [{ arm = 'reg', metric = 'auc', value = 0.5 }]",
            "the arm 'reg' is neither baseline nor defended",
        ),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = '0.5' }]", "the value '0.5' is no number"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = nan }]", "the value nan is no number"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, epsilon = 2 }]", "epsilon"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, eps = [0.1, 0.2] }]", "belong to an area"),
        (HEAD + "rows = [{ arm = 'baseline', metric = 'auc', value = 1, eps = 0.1, area = 'nauc' }]", "two eps"),
    ],
)
def test_a_file_that_holds_no_published_numbers_is_named_with_the_cause(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "numbers.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        tables(f'published(file="{path}")', record())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no published numbers at .*missing\.toml"):
        tables(f'published(file="{tmp_path / "missing.toml"}")', record())
