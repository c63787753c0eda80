"""The audit of published tables: what arithmetic forbids is found, and nothing that some confusion table allows."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
from conftest import Cli

from dfbench.errors import UsageError
from dfbench.recheck.bounds import class_f1_possible, macro_f1, one_class, printed, right_counts
from dfbench.recheck.published import audit_table
from dfbench.recheck.table_file import read_table
from dfbench_tables.published_file import read_published

PUBLISHED = Path(__file__).parents[1] / "results/published"
TABLES = ("gradient-regularization", "dual-attacker")


def small_tables(n: int) -> list[tuple[int, int, int, int]]:
    """All confusion tables (tp, fp, tn, fn) of n samples."""
    return [(tp, fp, tn, n - tp - fp - tn) for tp, fp, tn in product(range(n + 1), repeat=3) if tp + fp + tn <= n]


def f1(right: int, wrong: int) -> float | None:
    return 2 * right / (2 * right + wrong) if right + wrong else None


def write(folder: Path, text: str) -> Path:
    file = folder / "table.csv"
    file.write_text(text)
    return file


# --- arithmetic ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, low, high", [(".462", 0.4615, 0.4625), ("0.5", 0.45, 0.55), ("1", 0.5, 1.5), ("1e-2", 0.005, 0.015)]
)
def test_a_printed_number_stands_for_half_a_digit_to_either_side(text: str, low: float, high: float) -> None:
    assert (printed(text).low, printed(text).high) == pytest.approx((low, high), abs=1e-15)


@pytest.mark.parametrize("text", ["", "a", "nan", "inf", "46%", "1/2"])
def test_what_is_no_decimal_number_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        printed(text)


def test_every_confusion_table_has_its_macro_f1_within_the_bounds_and_the_bounds_are_reached() -> None:
    gaps = []
    for tp, fp, tn, fn in small_tables(12):
        fake, real = f1(tp, fp + fn), f1(tn, fp + fn)
        if fake is None or real is None:
            continue
        accuracy = (tp + tn) / 12
        low, high = macro_f1(accuracy, accuracy)
        assert low - 1e-12 <= (fake + real) / 2 <= high + 1e-12
        gaps.append(((fake + real) / 2 - low, high - (fake + real) / 2))
    assert min(low for low, _ in gaps) == pytest.approx(0, abs=1e-12)
    assert min(high for _, high in gaps) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("decimals", [2, 6])
def test_an_f1_is_possible_if_and_only_if_some_confusion_table_has_it(decimals: int) -> None:
    n, reached = 9, set()
    for tp, fp, tn, fn in small_tables(n):
        if (value := f1(tp, fp + fn)) is not None:
            reached.add((f"{(tp + tn) / n:.{decimals}f}", f"{value:.{decimals}f}", tp + fn))
    shares = sorted({share for _, share, _ in reached})
    for accuracy, share, fakes in product({a for a, _, _ in reached}, shares, range(n + 1)):
        right = right_counts(printed(accuracy).low, printed(accuracy).high, n)
        assert class_f1_possible(printed(share), right, n, fakes) == ((accuracy, share, fakes) in reached)


def test_an_f1_that_no_class_sizes_allow_is_impossible() -> None:
    right = right_counts(0.5, 0.5, 10)
    assert class_f1_possible(printed("0.6667"), right, 10)
    assert not class_f1_possible(printed("0.70"), right, 10)
    assert not class_f1_possible(printed("0.6667"), right, 10, members=2)


def test_counts_are_whole_numbers_within_the_printed_digits() -> None:
    assert list(right_counts(printed("0.462").low, printed("0.462").high, 500)) == [231]
    assert not right_counts(printed("0.463").low, printed("0.463").high, 20)
    assert one_class(0.874, 1000, 874)
    assert not one_class(0.875, 1000, 874)


# --- the tables of both reference systems -------------------------------------------------------------------------


def test_macro_f1_is_impossible_in_all_20_attacked_rows_of_gradient_regularization() -> None:
    report = audit_table(PUBLISHED / "gradient-regularization.csv")
    attacked = [line for line in read_table(PUBLISHED / "gradient-regularization.csv") if line.attacked]
    found = [one.where for one in report.findings if one.check == "macro-F1"]
    assert len(attacked) == 20
    assert found == [line.place for line in attacked]


def test_each_impossible_macro_f1_is_told_to_be_a_possible_f1_of_fake() -> None:
    report = audit_table(PUBLISHED / "gradient-regularization.csv")
    told = [one.message for one in report.findings if one.check == "macro-F1"]
    assert all("F1 of fake" in message for message in told)
    assert sum("F1 of real" in message for message in told) == 12  # eight are not possible as that


def test_nothing_but_the_impossible_f1_and_the_rising_accuracy_is_found_there() -> None:
    report = audit_table(PUBLISHED / "gradient-regularization.csv")
    assert [(one.severity, one.check) for one in report.findings if one.check != "macro-F1"] == [("note", "eps")]


def test_the_learned_attacker_that_helps_the_detector_is_found() -> None:
    report = audit_table(PUBLISHED / "dual-attacker.csv")
    assert [one.where.partition(": ")[2].split(" | ")[::2] for one in report.errors] == [
        ["defended", "unet", "jpeg(quality=50)"],
        ["baseline", "unet", "mpeg4_frame"],
    ]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_holds_the_numbers_of_the_file_beside_it(name: str) -> None:
    published = read_published(PUBLISHED / f"{name}.toml")
    known = {}
    for number in published.numbers:
        if not number.area:
            metric = "f1_macro" if number.called == "macro-F1" else number.metric
            eps = number.eps[0] if number.eps else None
            corruption = "" if number.corruption == "none" else number.corruption
            known[number.arm, number.data, number.attack, corruption, eps, number.steps, metric] = number.value
    lines = read_table(PUBLISHED / f"{name}.csv")
    found = {
        (line.texts["model"], line.texts["data"], line.texts["attack"], line.texts["corruption"], line.eps,
         line.counts.get("steps"), metric): share.value
        for line in lines
        for metric, share in line.shares.items()
    }  # fmt: skip
    assert found == known
    assert {line.counts.get("n") for line in lines} == {published.protocol.get("n")}


# --- bad input ----------------------------------------------------------------------------------------------------

HEAD = "model,attack,eps,accuracy"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty: its first line must name the columns"),
        (HEAD, "has no lines below its header"),
        ("model,attack,accuracy\na,fgsm,0.5\n", "line 1: the column 'eps' is missing"),
        ("model,attack,eps,acuracy\na,fgsm,0.1,0.5\n", "line 1: unknown column 'acuracy': did you mean 'accuracy'"),
        (f"{HEAD},accuracy\na,fgsm,0.1,0.5,0.5\n", "line 1: the column 'accuracy' is there twice"),
        (f"{HEAD},f1,f1_macro\na,fgsm,0.1,0.5,0.5,0.5\n", "'f1' and 'f1_macro' are the same"),
        (f"{HEAD}\na,fgsm,0.1,0.5\na,fgsm,0.2,half\n", "line 3, column 'accuracy': 'half' is no number"),
        (f"{HEAD}\na,fgsm,0.1,46.2\n", "line 2, column 'accuracy': 46.2 is not within 0 and 1"),
        (f"{HEAD}\na,fgsm,8,0.5\n", "line 2, column 'eps': 8 is not within 0 and 1"),
        (f"{HEAD}\na,fgsm,0.1,\n", "line 2, column 'accuracy': it is empty"),
        (f"{HEAD}\n,fgsm,0.1,0.5\n", "line 2, column 'model': it is empty"),
        (f"{HEAD}\na,fgsm,0.1\n", "line 2: it has another number of values"),
        (f"{HEAD}\na,fgsm,0.1,0.5,7\n", "line 2: it has another number of values"),
        (f"{HEAD},n\na,fgsm,0.1,0.5,2.5\n", "line 2, column 'n': 2.5 is no count"),
        (f"{HEAD},n\na,fgsm,0.1,0.5,0\n", "line 2, column 'n': it is 0"),
        (f"{HEAD},n,fakes\na,fgsm,0.1,0.5,10,11\n", "line 2, column 'fakes': 11 fakes among 10 samples"),
        (f'{HEAD}\n"a,fgsm,0.1,0.5\n', "is no CSV"),
    ],
)
def test_a_table_that_cannot_be_audited_is_refused_with_line_and_column(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        audit_table(write(tmp_path, text))
    assert message in str(error.value)


def test_what_some_confusion_table_gives_raises_nothing(tmp_path: Path) -> None:
    """Tables of 40 images, 30 of them fake, with what they really give, to three digits."""
    lines = []
    for tp, tn in product(range(1, 31, 7), range(1, 11, 4)):
        fn, fp = 30 - tp, 10 - tn
        fake, real = f1(tp, fp + fn), f1(tn, fp + fn)
        assert fake is not None
        assert real is not None
        values = [(tp + tn) / 40, (fake + real) / 2, fake, real]
        lines.append(
            ",".join(
                [
                    f"a{len(lines)}",
                    "fgsm",
                    "",
                    *(f"{value:.3f}" for value in values),
                    "40",
                    "30",
                    *map(str, (tp, fp, tn, fn)),
                ]
            )
        )
    head = "model,attack,eps,accuracy,f1,f1_fake,f1_real,n,fakes,tp,fp,tn,fn"
    assert audit_table(write(tmp_path, "\n".join([head, *lines]))).findings == []


def test_counts_that_contradict_their_shares_are_found(tmp_path: Path) -> None:
    file = write(
        tmp_path, f"{HEAD},f1_real,n,tp,fp,tn,fn\na,none,,0.90,0.333,40,30,4,6,0\nb,none,,0.90,,40,30,4,6,10\n"
    )
    assert [one.check for one in audit_table(file).errors] == ["f1_real", "counts"]


# --- the command --------------------------------------------------------------------------------------------------


def test_the_exit_code_of_impossible_numbers_is_3(dfbench: Cli) -> None:
    code, out, _ = dfbench("audit", PUBLISHED / "gradient-regularization.csv")
    assert code == 3
    assert "20 errors, 1 note" in out


def test_the_exit_code_of_notes_alone_is_0(dfbench: Cli, tmp_path: Path) -> None:
    code, out, _ = dfbench("audit", write(tmp_path, f"{HEAD}\na,fgsm,0.1,0.50\na,fgsm,0.2,0.60\n"))
    assert code == 0
    assert "accuracy rises with eps" in out


def test_the_exit_code_of_a_bad_table_is_2_with_one_line(dfbench: Cli, tmp_path: Path) -> None:
    code, _, err = dfbench("audit", write(tmp_path, "model\na\n"))
    assert code == 2
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


def test_a_table_is_told_to_programs_and_documents(dfbench: Cli) -> None:
    _, out, _ = dfbench("audit", PUBLISHED / "dual-attacker.csv", "--format", "json")
    (report,) = json.loads(out)
    assert (report["errors"], report["notes"]) == (2, 0)
    assert report["findings"][0]["derived"] == "at most 0.641"
    _, out, _ = dfbench("audit", PUBLISHED / "dual-attacker.csv", "--format", "md")
    rows = [line for line in out.splitlines() if line.startswith("| error")]
    assert len(rows) == 2
    assert {row.replace("\\|", "").count("|") for row in rows} == {7}


def test_two_results_of_one_attack_contradict_each_other(tmp_path: Path) -> None:
    file = write(
        tmp_path, "model,attack,eps,accuracy\na,none,0,0.9\na,pgd,8/255,0.5\na,PGD,8/255,0.4\na,none,0.03,0.9\n"
    )
    found = audit_table(file).findings
    assert [(one.severity, one.check) for one in found] == [("error", "twice"), ("note", "twice")]
    assert "contradicts line 3" in found[0].message
    assert "repeats line 2" in found[1].message


def test_what_a_spreadsheet_saves_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="separated by semicolons"):
        audit_table(write(tmp_path, "model;attack;eps;accuracy\na;none;0;0,9\n"))
