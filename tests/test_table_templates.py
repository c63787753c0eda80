"""The built-in table templates, and the check that every template must pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shown import PIM_GRID, cells, entry, first, row, tables

from dfbench.contracts import Spec, TableSpec, TableTemplate
from dfbench.errors import UsageError
from dfbench.labels import short_labels, title
from dfbench.tables import Column, Entry, Table
from dfbench.testing import check_spec, check_table, sample_record
from dfbench.testing.records import SWEEP
from dfbench_tables.plugin import dfbench_tables

SPECS = {spec.name: spec for spec in dfbench_tables()}
PUBLISHED = Path(__file__).parents[1] / "results/published/gradient-regularization.toml"


def compare(record: dict[str, Any], metric: str, base: float, ours: float, interval: list[float] | None) -> None:
    """Set a metric of all cells of the defenses none and dual, and the interval of the difference."""
    for cell in record["cells"]:
        cell["metrics"][metric] = base if cell["defense"] == "none" else ours
        if cell["versus_baseline"]:
            cell["versus_baseline"]["difference"][metric] = {"value": ours - base, "interval": interval}


CLEAN = (("clean", "none", "none"),)


# --- results ------------------------------------------------------------------------------------------------------


def test_a_difference_is_bold_only_where_its_interval_excludes_0() -> None:
    record = sample_record(scenarios=CLEAN)
    shown = []
    for interval in ([0.1, 0.3], [-0.1, 0.3], [-0.3, -0.1]):
        compare(record, "auc", 0.5, 0.5 + sum(interval) / 2, interval)
        found = entry(first("results", record), "AUC - baseline [95%]", defense="dual")
        shown.append((found.text, found.bold))
    assert shown == [("+0.200 [+0.10, +0.30]", True), ("+0.100 [-0.10, +0.30]", False), ("-0.200 [-0.30, -0.10]", True)]


def test_an_undefined_metric_is_not_a_number_and_a_failed_cell_has_none() -> None:
    record = sample_record(fail=[("PGD", "dual")])
    for cell in cells(record, scenario="clean", defense="none"):
        cell["metrics"]["auc"], cell["intervals"]["auc"] = None, None
    table = first("results", record)
    assert entry(table, "AUC [95%]", attack="none", corruption="none", defense="none").text == "n/a"
    failed = row(table, attack="pgd(eps=8/255)", corruption="none", defense="dual")
    assert [shown.text for shown in failed[3:]] == ["failed", *[""] * 5]


def test_without_a_defended_arm_there_is_no_column_of_differences() -> None:
    table = first("results", sample_record(defenses=["none"]))
    assert table.columns[-1].title == "TPR@FPR1%"


def test_the_floor_is_that_of_the_better_constant_predictor() -> None:
    record = sample_record()
    for cell in record["cells"]:
        cell["metrics"] |= {"always_fake_accuracy": 0.25, "always_real_accuracy": 0.75}
    for template in ("results", "scenarios"):
        assert "scores accuracy 0.750 and" in first(template, record).captions[0]


@pytest.mark.parametrize(
    "template, label", [("results", "attack"), ("scenarios", "scenario"), ("survival", "attack")], ids=str
)
def test_a_transfer_is_labelled_in_every_table(template: str, label: str) -> None:
    record = sample_record(defenses=["none"])
    for cell in cells(record, scenario="PGD"):
        cell["note"] = "transfer"
    name = {"attack": "pgd(eps=8/255)", "scenario": "PGD"}[label]
    place = {c.label: i for i, c in enumerate(first(template, record).columns)}[label]
    assert f"{name} (transfer)" in [row[place].text for row in first(template, record).rows]


def test_each_evaluated_data_set_has_a_table_of_its_own_that_says_what_was_trained_on() -> None:
    here, there = tables("results", sample_record())
    assert (here.title, there.title) == ("m on here", "m on there")
    assert here.captions[0].startswith("here, test split, n = 160.")
    assert there.captions[0].startswith("Trained on here, evaluated on there, test split, n = 160.")


def test_each_training_set_has_tables_of_its_own() -> None:
    record = sample_record()
    record["cells"] += [{**cell, "train_data": "there"} for cell in record["cells"]]
    titles = [table.title for table in tables("results", record)]
    assert titles == [f"m trained on {a}, on {b}" for a in ("here", "there") for b in ("here", "there")]


def test_videos_have_a_table_after_the_frames_with_their_number() -> None:
    record = sample_record(videos=True)
    frames, videos, *_ = tables("results", record)
    assert (frames.title, videos.title) == ("m on here: frames", "m on here: 20 videos")
    assert "number of videos = 20. " in videos.captions[0]
    (cell,) = cells(record, data="here", scenario="clean", defense="dual")
    shown = entry(videos, "AUC [95%]", attack="none", corruption="none", defense="dual")
    assert shown.value == cell["video"]["metrics"]["auc"] != cell["metrics"]["auc"]


def test_every_table_says_that_the_splits_leak_but_not_what_leaks_elsewhere() -> None:
    record = sample_record(scenarios=SWEEP, defenses=PIM_GRID)
    inner, into = "LEAK: 3 videos are in both", "LEAK: here into there: 2 people are in both"
    record["warnings"] = [inner, into, "careful"]
    shown = set()
    for template in SPECS:
        for table in tables(f"published(file={PUBLISHED})" if template == "published" else template, record):
            if not table.title.endswith("differences in protocol"):
                assert inner in table.captions
                assert (into in table.captions) == (table.about["data"] == "there")
                shown.add(template)
    assert shown >= {"results", "scenarios", "manipulations", "survival", "nauc", "confusion", "grid", "published"}


def test_every_table_says_which_arms_were_trained_on_other_terms_than_the_baseline() -> None:
    record = sample_record(scenarios=SWEEP, defenses=PIM_GRID)
    told = "Trained unlike none: all others in epochs (12 against 5), start (none against unset)."
    shown = set()
    for template in SPECS:
        for table in tables(f"published(file={PUBLISHED})" if template == "published" else template, record):
            if not table.title.endswith("differences in protocol"):
                assert told in table.captions
                shown.add(template)
    assert shown >= {"results", "scenarios", "manipulations", "survival", "nauc", "confusion", "grid", "published"}


def test_arms_trained_on_other_terms_are_told_apart_by_their_terms() -> None:
    record = sample_record(defenses=["none", "dual", "pim"])
    (other,) = (entry for entry in record["training"] if entry["defense"] == "pim")
    other["differences"] = [{"what": "label_smoothing", "here": 0.0, "baseline": 0.05}]
    told = (
        "Trained unlike none: dual in epochs (12 against 5), start (none against unset); pim in label_smoothing (0.0 "
        "against 0.05)."
    )
    assert told in first("results", record).captions


def test_arms_trained_on_equal_terms_need_no_words() -> None:
    record = sample_record()
    for training in record["training"]:
        training["differences"] = []
    assert not any("Trained unlike" in text for text in first("results", record).captions)


def test_a_heading_says_which_f1_it_is() -> None:
    assert [title(metric) for metric in ("f1_macro", "f1_fake", "f1_real")] == [
        "macro-F1", "F1 of fake", "F1 of real",
    ]  # fmt: skip


def test_clips_that_were_re_encoded_are_told_from_corrupted_images() -> None:
    record = sample_record()
    record["eval_data"][0]["preparation"] = {"recompress": "h264_clip_crf40"}
    for template in ("results", "scenarios", "survival"):
        assert first(template, record).captions[0].startswith("here (clips re-encoded: h264_clip_crf40), test split")


def test_several_trainings_are_shown_by_mean_and_standard_deviation() -> None:
    record = sample_record(seeds=(0, 1, 2))
    values = [cell["metrics"]["auc"] for cell in cells(record, data="here", scenario="PGD", defense="dual")]
    mean = sum(values) / 3
    sd = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    results = entry(first("results", record), "AUC ± SD", attack="pgd(eps=8/255)", corruption="none", defense="dual")
    scenarios = entry(first("scenarios", record), "AUC ± SD: dual", scenario="PGD")
    assert results.text == scenarios.text == f"{mean:.3f} ± {sd:.3f}"
    assert any("seeds 0, 1, 2" in note and "n - 1" in note for note in first("scenarios", record).notes)


def test_a_mean_that_lacks_a_training_says_so_and_one_without_any_is_failed() -> None:
    record = sample_record(seeds=(0, 1), fail=[("U-Net", "dual")])
    next(one for one in record["over_seeds"] if (one["scenario"], one["defense"]) == ("PGD", "dual"))["seeds"] = [1]
    table = first("scenarios", record)
    assert table.notes[-1] == "Not every training was evaluated: dual in PGD (seeds 1 only)."
    assert entry(table, "AUC ± SD: dual", scenario="U-Net").text == "failed"


# --- manipulations ------------------------------------------------------------------------------------------------


def test_each_manipulation_has_its_row_with_its_own_numbers() -> None:
    record = sample_record(scenarios=CLEAN, defenses=["none"])
    part = next(cells(record, data="here"))["manipulations"]["swap"]
    auc, (low, high) = part["metrics"]["auc"], part["intervals"]["auc"]
    shown = row(first("manipulations", record), manipulation="swap")
    assert [one.text for one in shown[3:]] == [
        "swap", "120", f"{part['metrics']['balanced_accuracy']:.3f}", f"{auc:.3f} [{low:.2f}, {high:.2f}]",
    ]  # fmt: skip


def test_of_several_trainings_each_has_its_rows_by_manipulation() -> None:
    record = sample_record(seeds=(3, 5), scenarios=CLEAN, defenses=["none"])
    table = first("manipulations", record)
    assert entry(table, "n", seed="5", manipulation="blend").value == 120


def test_one_kind_of_fakes_has_no_table_by_manipulation() -> None:
    record = sample_record()
    for cell in record["cells"]:
        cell["manipulations"] = {}
    assert tables("manipulations", record) == []


# --- scenarios ----------------------------------------------------------------------------------------------------


def test_defenses_stand_side_by_side_under_each_metric_with_the_difference() -> None:
    table = first("scenarios(metrics='accuracy,auc')", sample_record())
    assert [column.heading for column in table.columns] == [
        "scenario", "accuracy: none", "accuracy: dual", "accuracy: difference [95%]",
        "AUC: none", "AUC: dual", "AUC: difference [95%]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "base, ours, interval, bold",
    [
        (0.6, 0.8, [0.1, 0.3], {"dual"}),
        (0.8, 0.6, [-0.3, -0.1], {"none"}),
        (0.6, 0.8, [-0.1, 0.5], set()),
        (0.8, 0.6, [-0.5, 0.1], set()),
        (0.7, 0.7, [0.0, 0.0], set()),
        (0.6, 0.8, None, set()),
    ],
)
def test_the_best_is_bold_only_where_the_paired_interval_excludes_0(
    base: float, ours: float, interval: list[float] | None, bold: set[str]
) -> None:
    record = sample_record(scenarios=CLEAN)
    compare(record, "auc", base, ours, interval)
    table = first("scenarios(metrics=auc)", record)
    shown = {name for name in ("none", "dual") if entry(table, f"AUC: {name}", scenario="clean").bold}
    assert shown == bold


def test_of_an_error_rate_the_lower_is_the_best() -> None:
    record = sample_record(scenarios=CLEAN)
    compare(record, "eer", 0.4, 0.1, [-0.4, -0.2])
    assert entry(first("scenarios(metrics=eer)", record), "eer: dual", scenario="clean").bold


def test_equal_best_defenses_are_bold_together() -> None:
    record = sample_record(scenarios=CLEAN, defenses=["none", "dual", "pgd-at"])
    compare(record, "auc", 0.5, 0.8, [0.2, 0.4])
    table = first("scenarios(metrics=auc)", record)
    assert [shown.bold for shown in row(table, scenario="clean")[1:]] == [False, True, True, False, False]
    assert [column.title for column in table.columns[4:]] == ["dual - none [95%]", "pgd-at - none [95%]"]


def test_the_baseline_is_bold_only_where_it_beats_every_other_defense() -> None:
    record = sample_record(scenarios=CLEAN, defenses=["none", "dual", "pgd-at"])
    compare(record, "auc", 0.8, 0.5, [-0.4, -0.2])
    assert entry(first("scenarios(metrics=auc)", record), "AUC: none", scenario="clean").bold
    for cell in cells(record, defense="pgd-at"):
        cell["versus_baseline"]["difference"]["auc"]["interval"] = [-0.4, 0.1]
    assert not entry(first("scenarios(metrics=auc)", record), "AUC: none", scenario="clean").bold


def test_a_failed_cell_says_so_and_its_counterpart_has_no_difference() -> None:
    table = first("scenarios(metrics=auc)", sample_record(fail=[("PGD", "none"), ("U-Net", "dual")]))
    assert [shown.text for shown in row(table, scenario="PGD")[1:]][::2] == ["failed", "n/a"]
    assert [shown.text for shown in row(table, scenario="U-Net")[2:]] == ["failed", ""]
    assert not any(shown.bold for name in ("PGD", "U-Net") for shown in row(table, scenario=name))


def test_videos_are_counted_where_there_are_any_unless_samples_are_asked_for() -> None:
    record = sample_record(videos=True)
    auto, samples = first("scenarios", record), first("scenarios(level=samples)", record)
    assert (auto.title, samples.title) == ("m on here: videos", "m on here: frames")
    assert "number of videos = 20." in auto.captions[0]
    with pytest.raises(UsageError, match="here is not made of videos"):
        first("scenarios(level=videos)", sample_record())


def test_an_unknown_metric_is_named_with_the_closest_known_one() -> None:
    with pytest.raises(UsageError, match="unknown metric 'auk': did you mean 'auc'"):
        first("scenarios(metrics=auk)", sample_record())


def test_a_metric_that_the_record_does_not_have_is_named() -> None:
    record = sample_record()
    for cell in record["cells"]:
        del cell["metrics"]["eer"]
    with pytest.raises(UsageError, match="the record has no metric 'eer'"):
        first("scenarios(metrics=eer)", record)


def test_the_table_of_scenarios_needs_a_metric() -> None:
    with pytest.raises(UsageError, match="needs a metric"):
        first("scenarios(metrics=' ,')", sample_record())


def test_a_metric_without_a_value_is_shown_as_such() -> None:
    assert entry(first("scenarios(metrics=ap)", sample_record()), "ap: none", scenario="clean").text == "n/a"


@pytest.mark.parametrize(
    "labels, short",
    [
        (["none(epochs=4)", "dual(tv=0.1, start='none(epochs=4)')"], ["none", "dual"]),
        (["none", "dual(epochs=2)", "dual(tv=0, epochs=2)"], ["none", "dual", "dual(tv=0)"]),
        (["dual(epochs=2)", "dual(epochs=2)+pim(r=0.1)"], ["dual", "dual+pim"]),
        (["dual+pim(r=0.1)", "dual+pim(r=0.2)"], ["dual+pim(r=0.1)", "dual+pim(r=0.2)"]),
    ],
)
def test_defenses_are_called_by_what_tells_them_apart(labels: list[str], short: list[str]) -> None:
    assert list(short_labels(labels).values()) == short


def test_where_few_parameters_vary_the_defaults_are_told_too() -> None:
    labels = ["none", "pim", "pim(r=1.0)", "pim(alpha=1.0, epochs=3)"]
    values = {label: [{"alpha": 0.5, "r": 0.05, "epochs": 5}] for label in labels}
    assert list(short_labels(labels[:3], values).values()) == ["none", "pim(r=0.05)", "pim(r=1.0)"]
    assert list(short_labels(labels, values).values()) == ["none", "pim", "pim(r=1.0)", "pim(alpha=1.0, epochs=3)"]


def test_a_shortened_defense_is_told_in_full_in_the_notes_and_to_programs() -> None:
    record = sample_record(defenses=["none(epochs=4)", "dual(tv=0.1)"])
    table = first("scenarios(metrics=auc)", record)
    assert [column.title for column in table.columns[1:3]] == ["none", "dual"]
    assert [column.facts["defense"] for column in table.columns[1:3]] == ["none(epochs=4)", "dual(tv=0.1)"]
    told = "In full: none is none(epochs=4); dual is dual(tv=0.1)."
    assert told in table.notes
    survival = first("survival", record)
    assert told in survival.notes
    assert row(survival, attack="pgd(eps=8/255)", defense="dual")[2].name == "dual(tv=0.1)"


# --- survival -----------------------------------------------------------------------------------------------------


def succeed(record: dict[str, Any], scenario: str, value: float | None) -> None:
    for cell in cells(record, scenario=scenario):
        interval = None if value is None else [value - 0.1, value + 0.1]
        cell["attack_success"] = {"value": value, "interval": interval, "n": 90}


def test_survival_tells_the_success_before_and_after_and_the_share_retained() -> None:
    record = sample_record()
    succeed(record, "PGD", 0.8)
    succeed(record, "PGD + JPEG", 0.2)
    shown = row(first("survival", record), attack="pgd(eps=8/255)", defense="dual")
    assert [one.text for one in shown[3:]] == ["0.800 [0.70, 0.90]", "0.200 [0.10, 0.30]", "0.25"]
    assert shown[3].n == 90


@pytest.mark.parametrize("before, after", [(0.0, 0.2), (None, 0.2), (0.5, None)])
def test_no_share_is_retained_where_there_was_no_success_to_retain(before: float | None, after: float | None) -> None:
    record = sample_record()
    succeed(record, "PGD", before)
    succeed(record, "PGD + JPEG", after)
    assert row(first("survival", record), attack="pgd(eps=8/255)", defense="dual")[-1].text == "n/a"


def test_attacks_of_equal_eps_are_beside_each_other_the_weaker_first() -> None:
    attacks = ("pgd(eps=8/255)", "unet(eps=8/255)", "pgd(eps=1/255)", "unet(eps=1/255)", "shift(pixels=2)")
    record = sample_record(defenses=["none"], scenarios=[(attack, attack, "none") for attack in attacks])
    table = first("survival", record)
    assert [[row[1].text for row in section] for section in table.sections] == [
        ["pgd(eps=1/255)", "unet(eps=1/255)"], ["pgd(eps=8/255)", "unet(eps=8/255)"], ["shift(pixels=2)"],
    ]  # fmt: skip
    assert [section[0][0].text for section in table.sections] == ["1/255", "8/255", ""]


def test_a_failed_cell_is_in_the_column_of_its_corruption() -> None:
    record = sample_record(fail=[("PGD + JPEG", "none")])
    for cell in record["cells"]:
        if cell["status"] == "ok" and cell["corruption"] != "none":
            cell["corruption_column"] = "jpeg_libjpeg_q50"
    table = first("survival", record)
    assert [column.group for column in table.columns[3:]] == ["no corruption", *["jpeg_libjpeg_q50"] * 2]
    assert entry(table, "jpeg_libjpeg_q50: success [95%]", attack="pgd(eps=8/255)", defense="none").text == "failed"


def test_a_corruption_that_an_attack_was_not_run_with_is_empty() -> None:
    record = sample_record()
    record["cells"] = [cell for cell in record["cells"] if cell["scenario"] != "U-Net + JPEG"]
    shown = row(first("survival", record), attack="unet(eps=8/255)", defense="none")
    assert [one.text for one in shown[4:]] == ["", ""]


def test_over_several_trainings_survival_shows_the_mean_success() -> None:
    record = sample_record(seeds=(0, 1))
    values = [c["attack_success"]["value"] for c in cells(record, data="here", scenario="PGD", defense="dual")]
    shown = row(first("survival", record), attack="pgd(eps=8/255)", defense="dual")
    assert shown[3].value == pytest.approx(sum(values) / 2)
    assert "±" in shown[3].text


def test_without_an_attack_there_is_no_survival() -> None:
    assert tables("survival", sample_record(scenarios=CLEAN)) == []


# --- the conformance kit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_built_in_template_conforms(spec: Spec) -> None:
    check_spec(spec)
    check_table(spec, **({"file": str(PUBLISHED)} if spec.name == "published" else {}))


class Sound(TableTemplate):
    """A table with one number."""

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        return [Table("cells", (Column("n"),), (((Entry(str(len(record["cells"]))),),),))]


class NotAList(Sound):
    """Gives a table, not a list of them."""

    def __call__(self, record: Mapping[str, Any]) -> Any:
        return super().__call__(record)[0]


class Writes(Sound):
    """Sorts the record's cells where they are."""

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        record["cells"].reverse()
        return super().__call__(record)


class Fickle(Sound):
    """Counts its calls."""

    calls = 0

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        self.calls += 1
        return [Table(f"call {self.calls}", (), ())]


class Hasty(Sound):
    """Expects every cell to have an AUC."""

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        return [Table(str(min(cell["metrics"]["auc"] for cell in record["cells"])), (), ())]


class Ragged(Sound):
    """A row with an entry too many."""

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        return [Table("cells", (Column("n"),), (((Entry("1"), Entry("2")),),))]


class Untitled(Sound):
    """A table without a title."""

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        return [Table("", (), ())]


class Silent(Sound):
    """No table of anything."""

    def __call__(self, record: Mapping[str, Any]) -> list[Table]:
        return []


def spec_of(target: type) -> TableSpec:
    return TableSpec(target.__name__.lower(), f"{__name__}:{target.__name__}", "for tests")


def test_a_sound_template_passes_the_kit() -> None:
    check_table(spec_of(Sound))


@pytest.mark.parametrize(
    "target, message",
    [
        (NotAList, "must be a list of Table"),
        (Writes, "changes the record"),
        (Fickle, "other tables the second time"),
        (Hasty, "fails on a record of .* KeyError: 'auc'"),
        (Ragged, "a row of 2 entries"),
        (Untitled, "without a title"),
        (Silent, "no table of any record"),
    ],
)
def test_a_template_that_breaks_its_contract_is_found(target: type, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_table(spec_of(target))
