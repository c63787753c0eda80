"""Curves over eps and heat maps of ablations, from the record of a run alone."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Cli
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from PIL import Image
from shown import PIM_GRID, tables

from dfbench.explain import ablation, curves
from dfbench.explain.figure import reading_of
from dfbench.testing import sample_record
from dfbench.testing.records import SWEEP


def record(**changed: Any) -> dict[str, Any]:
    """Of one data set, so that there are few figures."""
    found = sample_record(**{"scenarios": SWEEP, "defenses": ["none", "pim"], **changed})
    for part in ("cells", "over_seeds", "curves"):
        found[part] = [one for one in found[part] if one["data"] == "here"]
    return found


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written in the test, as it was when it was written."""
    figures: list[Figure] = []
    save = Figure.savefig

    def kept(self: Figure, *arguments: Any, **keywords: Any) -> None:
        figures.append(self)
        save(self, *arguments, **keywords)

    monkeypatch.setattr(Figure, "savefig", kept)
    return figures


# --- curves -------------------------------------------------------------------------------------------------------


def test_each_attack_that_was_swept_has_a_figure_and_all_share_the_tables(tmp_path: Path) -> None:
    pgd = [(f"PGD {k}", f"pgd(eps={k}/255)", "none") for k in (1, 2)]
    written = curves.explain(record(scenarios=[*SWEEP, *pgd]), tmp_path, [])
    assert [path.name for path in written] == [
        "curves--fgsm.png", "curves--pgd.png", "curves.csv", "curves-areas.csv",
    ]  # fmt: skip
    for path in written[:2]:
        with Image.open(path) as image:
            assert image.width > 1280
        assert "95% intervals" in reading_of(path)


def test_the_tables_hold_every_number_of_the_curves(tmp_path: Path) -> None:
    found = record()
    curves.explain(found, tmp_path, [])
    points, areas = (pd.read_csv(tmp_path / name) for name in ("curves.csv", "curves-areas.csv"))
    ours = points[(points["defense"] == "pim") & (points["metric"] == "accuracy")]
    curve = next(one for one in found["curves"] if one["defense"] == "pim")
    assert ours["eps"].tolist() == curve["eps"]
    assert ours["value"].to_numpy() == pytest.approx(curve["metrics"]["accuracy"], abs=1e-5)
    (area,) = areas[(areas["defense"] == "pim") & (areas["metric"] == "auc")].to_dict("records")
    assert area["nauc"] == pytest.approx(curve["nauc"]["auc"]["value"], abs=1e-5)
    assert area["nauc_difference"] == pytest.approx(curve["versus_baseline"]["nauc"]["auc"]["value"], abs=1e-5)
    assert area["grid"] == "0 0.001 0.005 0.01 0.015"


def test_the_lines_are_the_curves_and_the_bands_their_intervals(tmp_path: Path, drawn: list[Figure]) -> None:
    found = record()
    curves.explain(found, tmp_path, [])
    axes = drawn[0].axes[0]
    for line, curve in zip(axes.lines, found["curves"], strict=False):
        assert line.get_xdata().tolist() == curve["eps"]
        assert line.get_ydata().tolist() == curve["metrics"]["accuracy"]
    bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
    low, high = np.array(found["curves"][0]["intervals"]["accuracy"]).T
    seen = bands[0].get_paths()[0].vertices[:, 1]
    assert set(np.round([*low, *high], 9)) <= set(np.round(seen, 9))


def test_the_points_without_attack_stand_at_eps_0_beside_a_logarithmic_axis(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    curves.explain(record(), tmp_path, [])
    axes = drawn[0].axes[0]
    assert axes.get_xscale() == "symlog"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.001", "0.005", "0.01", "0.015"]
    assert axes.get_xlabel() == "eps (L-inf bound in [0, 1] pixels; logarithmic from 0.001 on)"


def test_lines_have_short_names_and_the_caption_tells_them_in_full(tmp_path: Path, drawn: list[Figure]) -> None:
    (path, *_) = curves.explain(record(defenses=["none(epochs=4)", "pim(r=0.1)"]), tmp_path, [])
    names = drawn[0].axes[0].get_legend_handles_labels()[1]
    assert [name.split(":")[0] for name in names[:2]] == ["none", "pim"]
    assert reading_of(path).endswith("In full: none is none(epochs=4); pim is pim(r=0.1).")


def test_a_grid_within_a_decade_has_a_linear_axis(tmp_path: Path, drawn: list[Figure]) -> None:
    curves.explain(record(scenarios=SWEEP[:4]), tmp_path, [])
    assert drawn[0].axes[0].get_xscale() == "linear"


def test_every_line_is_named_with_its_area_and_the_floors_with_their_height(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    found = record()
    for cell in found["cells"]:
        cell["metrics"] |= {"always_fake_accuracy": 0.874, "always_real_accuracy": 0.126}
    curves.explain(found, tmp_path, [])
    left, right = drawn[0].axes[:2]
    area = found["curves"][0]["nauc"]["accuracy"]
    names = left.get_legend_handles_labels()[1]
    assert names[0] == f"none: nAUC {area['value']:.3f} [{area['interval'][0]:.2f}, {area['interval'][1]:.2f}]"
    assert names[-2:] == ["always fake: 0.874", "always real: 0.126"]
    assert right.get_legend_handles_labels()[1][-2:] == ["always fake: 0.466", "always real: 0.112"]


@pytest.mark.parametrize("answer", [0, 1])
def test_the_floor_of_macro_f1_is_that_of_a_constant_answer(answer: int) -> None:
    from sklearn.metrics import accuracy_score, f1_score

    labels = np.array([0] * 126 + [1] * 874)
    constant = np.full(1000, answer)
    found = record()
    name = ("real", "fake")[answer]
    for cell in found["cells"]:
        cell["metrics"][f"always_{name}_accuracy"] = accuracy_score(labels, constant)
    floor = curves.floors(found, found["curves"][0])["f1_macro"][name]
    assert floor == pytest.approx(f1_score(labels, constant, average="macro", zero_division=0))


def test_over_several_trainings_the_mean_is_drawn_over_single_ones(tmp_path: Path, drawn: list[Figure]) -> None:
    found = record(seeds=(0, 1), defenses=["none"])
    (path, *_) = curves.explain(found, tmp_path, [])
    mean, *single = drawn[0].axes[0].lines[:3]
    values = [curve["metrics"]["accuracy"] for curve in found["curves"]]
    assert mean.get_ydata() == pytest.approx(np.mean(values, axis=0))
    assert [line.get_ydata().tolist() for line in single] == values
    assert "thin ones single trainings" in reading_of(path)


def test_trainings_are_averaged_over_the_seeds_that_all_defenses_have(tmp_path: Path, drawn: list[Figure]) -> None:
    notes: list[str] = []
    found = record(seeds=(0, 1, 2), fail=[("FGSM eps=0.01", "pim", 1)])
    (path, *_) = curves.explain(found, tmp_path, notes)
    base = [curve["metrics"]["accuracy"] for curve in found["curves"] if curve["defense"] == "none"]
    assert drawn[0].axes[0].lines[0].get_ydata() == pytest.approx(np.mean([base[0], base[2]], axis=0))
    assert len(drawn[0].axes[0].lines) == 2 * (1 + 2) + 1
    assert notes[0] == "curves: fgsm: no curve of pim (seed 1), of which a point failed."
    for told in notes:
        assert told.removeprefix("curves: ") in reading_of(path)


def test_a_single_training_that_is_left_says_so_in_the_legend(tmp_path: Path, drawn: list[Figure]) -> None:
    found = record(seeds=(0, 1), fail=[("FGSM eps=0.01", "pim", 0)])
    (path, *_) = curves.explain(found, tmp_path, [])
    names = drawn[0].axes[0].get_legend_handles_labels()[1]
    assert all(name.endswith(" (seed 1 alone)") for name in names[:2])
    assert not drawn[0].axes[0].collections
    assert "over seed 1 alone, which all defenses with a curve share, a single training" in reading_of(path)


def test_a_defense_without_a_curve_is_named(tmp_path: Path) -> None:
    notes: list[str] = []
    (path, *_) = curves.explain(record(fail=[("FGSM eps=0.01", "pim")]), tmp_path, notes)
    assert notes == ["curves: fgsm: no curve of pim, of which a point failed."]
    assert "no curve of pim" in reading_of(path)


def test_an_attack_of_which_every_curve_failed_is_named_and_not_called_missing(tmp_path: Path) -> None:
    notes: list[str] = []
    fail = [("FGSM eps=0.01", "none"), ("FGSM eps=0.01", "pim")]
    assert curves.explain(record(fail=fail), tmp_path, notes) == []
    names = ", ".join(name for name, *_ in SWEEP[1:])
    assert notes == [f"curves: none of any defense over {names}, where cells failed"]


def without(curve: dict[str, Any], metric: str) -> None:
    """The curve of a run in which a metric has no value at some eps."""
    for part in ("metrics", "intervals", "nauc", "nauc_seed"):
        del curve[part][metric]


def test_a_defense_without_a_metric_has_no_line_in_its_panel_and_is_named(tmp_path: Path, drawn: list[Figure]) -> None:
    notes: list[str] = []
    found = record()
    without(found["curves"][1], "f1_macro")
    curves.explain(found, tmp_path, notes)
    left, right = drawn[0].axes[:2]
    assert [len(axes.lines) for axes in (left, right)] == [3, 2]
    assert notes == ["curves: fgsm: no macro-F1 of pim: it has no value at some eps."]


def test_a_metric_that_no_defense_has_gets_no_panel(tmp_path: Path, drawn: list[Figure]) -> None:
    notes: list[str] = []
    found = record()
    for curve in found["curves"]:
        without(curve, "f1_macro")
    curves.explain(found, tmp_path, notes)
    assert [axes.get_ylabel() for axes in drawn[0].axes if axes.get_ylabel()] == ["accuracy"]
    assert notes == ["curves: fgsm: no macro-F1 of none, pim: it has no value at some eps."]


def test_without_any_of_the_metrics_there_is_a_note_and_no_figure(tmp_path: Path) -> None:
    notes: list[str] = []
    found = record()
    for curve in found["curves"]:
        without(curve, "f1_macro")
        without(curve, "accuracy")
    assert [path.name for path in curves.explain(found, tmp_path, notes)] == ["curves.csv", "curves-areas.csv"]
    assert notes[-1] == "curves: no figure of fgsm: no defense has accuracy or macro-F1 at every eps"


@pytest.mark.parametrize(
    "attack, label",
    [
        ("mifgsm", "eps (L-inf bound in [0, 1] pixels)"),
        ("torchattacks/PGDL2", "eps"),
        ("torchattacks/FGSM", "eps"),
    ],
)
def test_the_axis_names_the_norm_only_where_it_is_known(
    tmp_path: Path, drawn: list[Figure], attack: str, label: str
) -> None:
    rows = [(f"A{eps}", f"{attack}(eps={eps})", "none") for eps in (0.5, 1.0)]
    curves.explain(record(scenarios=[SWEEP[0], *rows]), tmp_path, [])
    assert drawn[0].axes[0].get_xlabel() == label


def test_more_detectors_than_colours_are_in_the_table_and_a_note_says_so(tmp_path: Path, drawn: list[Figure]) -> None:
    notes: list[str] = []
    labels = ["none", *(f"pim(r={r})" for r in range(1, 9))]
    curves.explain(record(defenses=labels), tmp_path, notes)
    assert notes == ["curves: the figures show the first 7 defenses only, curves.csv all of them"]
    assert len(drawn[0].axes[0].lines) == 7 + 1  # both floors are one here
    assert set(pd.read_csv(tmp_path / "curves.csv")["defense"]) == set(labels)


def test_without_a_sweep_a_note_says_how_to_ask_for_one(tmp_path: Path) -> None:
    notes: list[str] = []
    assert curves.explain(sample_record(), tmp_path, notes) == []
    assert "--attack" in notes[0]


# --- ablations ----------------------------------------------------------------------------------------------------


def test_a_grid_has_a_heat_map_for_each_metric_and_a_table(tmp_path: Path) -> None:
    found = record(scenarios=SWEEP[:1], defenses=PIM_GRID)
    written = ablation.explain(found, tmp_path, [])
    assert [path.name for path in written] == ["ablation--pim-accuracy.png", "ablation--pim-auc.png", "ablation.csv"]
    table = pd.read_csv(tmp_path / "ablation.csv")
    assert len(table) == 4 * 2
    (row,) = table[(table["alpha"] == 1.0) & (table["r"] == 0.05) & (table["metric"] == "auc")].to_dict("records")
    (cell,) = (one for one in found["cells"] if one["defense"] == "pim(alpha=1.0, r=0.05)")
    assert row["value"] == pytest.approx(cell["metrics"]["auc"], abs=1e-5)
    gain = cell["versus_baseline"]["difference"]["auc"]
    assert (row["difference"], row["difference_low"]) == pytest.approx((gain["value"], gain["interval"][0]), abs=1e-5)


def test_the_heat_map_holds_every_value_and_names_the_best_with_its_interval(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    found = record(scenarios=SWEEP[:1], defenses=PIM_GRID)
    for cell in found["cells"]:
        best = cell["defense"] == "pim(alpha=0.5, r=0.1)"
        cell["metrics"]["auc"] = 0.9 if best else 0.5
        if cell["versus_baseline"]:
            gain = {"value": 0.4, "interval": [0.3, 0.45]} if best else {"value": 0.0, "interval": None}
            cell["versus_baseline"]["difference"]["auc"] = gain
    ablation.explain(found, tmp_path, [])
    axes = drawn[1].axes[0]
    assert axes.get_title().splitlines() == [
        "clean", "best alpha 0.5, r 0.1: 0.900", "+0.400 [+0.30, +0.45] from the baseline",
    ]  # fmt: skip
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("r", "alpha")
    assert sorted(text.get_text() for text in axes.texts) == ["0.500\n+0.000"] * 3 + ["0.900\n+0.400"]
    (frame,) = axes.lines
    assert (frame.get_xdata()[:-1].mean(), frame.get_ydata()[:-1].mean()) == pytest.approx(
        (1, 0)
    )  # r = 0.1, alpha = 0.5


def test_each_scenario_has_a_panel_and_no_panel_is_empty(tmp_path: Path, drawn: list[Figure]) -> None:
    ablation.explain(record(scenarios=SWEEP[:4], defenses=PIM_GRID), tmp_path, [])
    assert len(drawn[0].axes) == 2 * 4  # with their colour bars


def test_a_pair_of_values_without_an_arm_is_left_white(tmp_path: Path, drawn: list[Figure]) -> None:
    ablation.explain(record(scenarios=SWEEP[:1], defenses=[*PIM_GRID, "pim(alpha=0.5, r=5.0)"]), tmp_path, [])
    axes = drawn[0].axes[0]
    assert len(axes.texts) == 5
    assert np.ma.getmaskarray(axes.images[0].get_array()).tolist() == [[False] * 3, [False, False, True]]


def test_failed_cells_are_left_out_of_a_heat_map(tmp_path: Path, drawn: list[Figure]) -> None:
    found = record(scenarios=SWEEP[:2], defenses=PIM_GRID, fail=[("clean", PIM_GRID[1])])
    ablation.explain(found, tmp_path, [])
    assert len(drawn[0].axes[0].texts) == 3


@pytest.mark.parametrize(
    "gain, interval, framed", [(0.4, [-0.1, 0.9], False), (-0.1, [-0.2, -0.05], False), (0.4, [0.1, 0.7], True)]
)
def test_the_best_is_framed_only_where_it_is_clearly_better_than_the_baseline(
    tmp_path: Path, drawn: list[Figure], gain: float, interval: list[float], framed: bool
) -> None:
    found = record(scenarios=SWEEP[:1], defenses=PIM_GRID)
    for cell in found["cells"]:
        cell["metrics"]["auc"] = 0.9 if cell["defense"] == PIM_GRID[1] else 0.5
        if cell["versus_baseline"]:
            cell["versus_baseline"]["difference"]["auc"] = {"value": gain, "interval": interval}
    ablation.explain(found, tmp_path, [])
    axes = drawn[1].axes[0]
    assert len(axes.lines) == framed
    assert ("no arm clearly better" in axes.get_title()) == (not framed)


def test_where_samples_are_frames_of_videos_a_heat_map_shows_the_videos_as_the_table_does(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    found = record(scenarios=SWEEP[:1], defenses=PIM_GRID, videos=True)
    ablation.explain(found, tmp_path, [])
    (cell,) = (one for one in found["cells"] if one["defense"] == PIM_GRID[1])
    (row,) = (
        pd.read_csv(tmp_path / "ablation.csv").query("defense == @PIM_GRID[1] and metric == 'auc'").to_dict("records")
    )
    assert row["value"] == pytest.approx(cell["video"]["metrics"]["auc"], abs=1e-5)
    assert (row["level"], row["n"]) == ("video", 20)
    assert drawn[1].get_suptitle().endswith("test split, 20 videos")
    shown = tables("grid(scenario=clean)", found)[0]
    assert shown.about["level"] == "video"
    assert {text.get_text().split()[0] for text in drawn[1].axes[0].texts} == {
        one.text for line in shown.rows for one in line[1::2]
    }


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_metric_that_no_arm_has_gets_a_note_and_no_heat_map(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    notes: list[str] = []
    found = record(seeds=seeds, scenarios=SWEEP[:1], defenses=PIM_GRID)
    for entry in [*found["cells"], *found["over_seeds"]]:
        del entry["metrics"]["auc"]
    written = ablation.explain(found, tmp_path, notes)
    assert [path.name for path in written] == ["ablation--pim-accuracy.png", "ablation.csv"]
    assert notes == ["ablation: no pim auc: no arm of the grid has a value"]


def test_an_arm_without_the_metric_is_left_white(tmp_path: Path, drawn: list[Figure]) -> None:
    found = record(scenarios=SWEEP[:1], defenses=PIM_GRID)
    (cell,) = (one for one in found["cells"] if one["defense"] == PIM_GRID[1])
    del cell["metrics"]["auc"]
    ablation.explain(found, tmp_path, [])
    assert [len(figure.axes[0].texts) for figure in drawn] == [4, 3]


def test_over_several_trainings_a_heat_map_shows_means(tmp_path: Path) -> None:
    found = record(seeds=(0, 1), scenarios=SWEEP[:1], defenses=PIM_GRID)
    ablation.explain(found, tmp_path, [])
    table = pd.read_csv(tmp_path / "ablation.csv")
    assert table["sd"].notna().all()
    assert len(table) == 4 * 2


def test_without_a_grid_a_note_says_what_would_be_one(tmp_path: Path) -> None:
    notes: list[str] = []
    assert ablation.explain(record(), tmp_path, notes) == []
    assert "form a grid of two parameters" in notes[0]


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A record without detectors and without data."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(record(scenarios=SWEEP[:3], defenses=PIM_GRID)))
    return folder


def test_the_page_of_curves_and_ablation_needs_the_record_alone(dfbench: Cli, saved: Path) -> None:
    code, _, err = dfbench("explain", saved, "--only", "curves", "--only", "ablation")
    assert (code, err) == (0, "")
    page = (saved / "explain" / "index.html").read_text()
    assert re.findall("<h2>(.*?)</h2>", page) == ["Curves", "Ablation"]
    links = set(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert links == {path.name for path in (saved / "explain").iterdir()} - {"index.html"}
    assert "<dt>Run</dt><dd>dfbench run</dd>" in page
    assert "<dt>Detectors</dt>" not in page


def test_a_record_by_any_name_is_explained_where_the_user_says(dfbench: Cli, saved: Path, tmp_path: Path) -> None:
    other = (saved / "record.json").rename(tmp_path / "other.json")
    assert dfbench("explain", other, "--only", "curves", "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "curves.csv").is_file()


def test_an_accepted_record_can_be_explained(dfbench: Cli, tmp_path: Path) -> None:
    accepted = Path(__file__).parents[1] / "results/mini-demo/record.json"
    code, out, _ = dfbench("explain", accepted, "--only", "curves", "--out", tmp_path)
    assert code == 0
    assert "note: no curves" in out


def test_without_matplotlib_curves_are_an_error_with_its_cure(
    dfbench: Cli, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    code, _, err = dfbench("explain", saved, "--only", "curves")
    assert code == 2
    assert "pip install matplotlib" in err
