"""Tables as Markdown, CSV, LaTeX and HTML, on a terminal, and through ``dfbench table``."""

from __future__ import annotations

import html.parser
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Cli
from rich.console import Console

from dfbench.grammar import format_expr
from dfbench.registry import load_registry
from dfbench.render import FORMATS, markdown_of, show, write_tables
from dfbench.render.as_terminal import show_tables
from dfbench.tables import Column, Entry, NamedTables, Table, named_tables
from dfbench.testing import sample_record

RESULTS = Path(__file__).parents[1] / "results"
NASTY = "<script>alert(1)</script> & 5% of $x_{1}^2$ #\\y ~ |z| *b* [q] \"q\" 'q' `q` \u00b1 \u00e9 \u6f22"
ALL = ("results", "manipulations", "scenarios", "survival")


def named(record: dict[str, Any], *templates: str) -> NamedTables:
    return named_tables(load_registry(), record, [{"name": name, "template": name} for name in templates])


def one(*rows: tuple[Entry, ...], columns: tuple[Column, ...] = (), **more: Any) -> NamedTables:
    table = Table("t", columns or (Column("name", "name"), Column("number")), (rows,), **more)
    return [("table", [table])]


def printed(tables: NamedTables, width: int) -> str:
    stream = io.StringIO()
    show_tables(tables, ["careful"], Console(file=stream, width=width))
    return stream.getvalue()


# --- Markdown -----------------------------------------------------------------------------------------------------


def test_markdown_escapes_what_would_be_markup_and_keeps_bars_out_of_the_grid() -> None:
    text = FORMATS["markdown"](one((Entry("a|b *c* <d> `e` \\f"), Entry("_g_ h_i"))), [])
    assert "| a\\|b \\*c\\* \\<d> \\`e\\` \\\\f | \\_g\\_ h_i |" in " ".join(text.split())


def test_markdown_keeps_an_entry_of_several_lines_on_one() -> None:
    assert "| a b | 1" in " ".join(FORMATS["markdown"](one((Entry("a\nb"), Entry("1"))), []).split())


def test_notes_that_tables_share_are_shown_once_after_the_last() -> None:
    for template in ("results", "scenarios", "survival"):
        for document in FORMATS.values():
            assert document(named(sample_record(), template), []).count("percentile bootstrap") <= 1


def test_warnings_follow_the_tables() -> None:
    assert markdown_of(load_registry(), sample_record()).rstrip().endswith("a warning | with \\<marks> & \\*stars\\*")


def test_where_the_user_gave_a_name_every_name_is_a_heading_over_its_tables() -> None:
    record = sample_record()
    record["config"]["tables"] = [
        {"name": "System A", "template": "scenarios", "scenarios": []},
        {"name": "results", "template": "results", "scenarios": []},
    ]
    tables = ["## m on here", "## m on there"]
    headings = [line for line in markdown_of(load_registry(), record).splitlines() if line.startswith("#")]
    assert headings == ["# System A", *tables, "# results", *tables]


# --- CSV ----------------------------------------------------------------------------------------------------------


def frame(record: dict[str, Any], *templates: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(FORMATS["csv"](named(record, *templates), [])))


def test_pandas_finds_every_number_of_a_cell_with_its_interval_in_full_precision() -> None:
    record = sample_record()
    cell = next(c for c in record["cells"] if (c["scenario"], c["defense"], c["data"]) == ("PGD", "dual", "there"))
    long = frame(record, "results")
    found = long.query(
        "data == 'there' and defense == 'dual' and attack == 'pgd(eps=8/255)' and corruption == 'none' "
        "and metric == 'auc'"
    ).set_index("quantity")
    assert found.loc["value", ["value", "low", "high", "n"]].tolist() == [
        cell["metrics"]["auc"], *cell["intervals"]["auc"], 160,
    ]  # fmt: skip
    difference = cell["versus_baseline"]["difference"]["auc"]
    assert found.loc["difference from baseline", ["value", "low", "high"]].tolist() == [
        difference["value"], *difference["interval"],
    ]  # fmt: skip


def test_the_numbers_of_csv_are_numbers_and_several_tables_share_one_header() -> None:
    long = frame(sample_record(seeds=(0, 1)), *ALL)
    assert all(long[name].dtype == float for name in ("value", "low", "high", "sd", "n"))
    assert set(long["table"]) == set(ALL)
    assert long.query("table == 'scenarios' and metric == 'auc' and quantity == 'value'")["sd"].notna().all()


def test_csv_tells_a_failed_cell_from_a_number_that_has_no_value() -> None:
    record = sample_record(fail=[("PGD", "dual")])
    text = FORMATS["csv"](named(record, "scenarios(metrics='auc,ap')"), [])
    long = pd.read_csv(io.StringIO(text), keep_default_na=False).query("defense == 'dual' and quantity == 'value'")
    assert set(long.query("scenario == 'PGD'")["text"]) == {"failed"}
    assert long.query("scenario == 'clean' and metric == 'ap'")["text"].tolist() == ["n/a", "n/a"]


def test_csv_has_the_whole_name_of_a_defense_that_tables_shorten() -> None:
    long = frame(sample_record(defenses=["none(epochs=4)", "dual(tv=0.1)"]), *ALL)
    assert set(long["defense"]) == {"none(epochs=4)", "dual(tv=0.1)"}


# --- LaTeX --------------------------------------------------------------------------------------------------------


def test_latex_escapes_every_character_that_means_something() -> None:
    text = FORMATS["latex"](one((Entry("&%$#_{}~^\\<>|"), Entry("-0.5 \u00b1 0.1", value=-0.5))), [])
    assert (
        "\\&\\%\\$\\#\\_\\{\\}\\textasciitilde{}\\textasciicircum{}\\textbackslash{}\\textless{}\\textgreater{}"
        "\\textbar{} & $-$0.5 $\\pm$ 0.1 \\\\"
    ) in text


def test_a_row_of_latex_does_not_begin_with_a_bracket_or_a_star() -> None:
    text = FORMATS["latex"](one((Entry("[1]"), Entry("1")), (Entry("*"), Entry("2"))), [])
    assert "{[}1] & 1" in text
    assert "{*} & 2" in text


def test_latex_groups_columns_and_sets_the_best_in_bold() -> None:
    text = FORMATS["latex"](named(sample_record(), "scenarios(metrics='accuracy,auc')"), ["50% _off_"])
    assert " & \\multicolumn{3}{c}{accuracy} & \\multicolumn{3}{c}{AUC} \\\\\n" in text
    assert "\\cmidrule(lr){2-4} \\cmidrule(lr){5-7}\n" in text
    assert "\\textbf{\\boldmath 0." in text
    assert "% warning: 50% _off_\n" in text


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_pdflatex_compiles_every_table_of_a_nasty_record(tmp_path: Path) -> None:
    record = sample_record(
        defenses=["none", format_expr("dual", {"start": NASTY})], seeds=(0, 1), fail=[("PGD", "none")]
    )
    (tmp_path / "tables.tex").write_text(FORMATS["latex"](named(record, *ALL), [NASTY]), encoding="utf-8")
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\\input{tables}\\end{document}"
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert "Overfull" not in ended.stdout


# --- HTML ---------------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """The tags of a page, the attributes that load something, and whether tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_name_that_looks_like_a_script_is_text_on_the_page() -> None:
    record = sample_record(defenses=["none", format_expr("dual", {"start": NASTY})])
    record["cells"] = [cell for cell in record["cells"] if cell["data"] == "here"]
    for cell in record["cells"]:
        cell["model"] = cell["data"] = NASTY
    record["warnings"] = [NASTY]
    page = Page(FORMATS["html"]([(NASTY, tables) for _, tables in named(record, *ALL)], record["warnings"]))
    assert "script" not in page.tags
    assert sum(NASTY in text for text in page.text) > 10


def test_the_page_loads_nothing_and_every_row_is_as_wide_as_its_head() -> None:
    text = FORMATS["html"](named(sample_record(), *ALL), [])
    assert Page(text).loads == []
    assert "prefers-color-scheme: dark" in text
    for table in text.split("<table>")[1:]:
        head, body = table.split("</thead>")
        wide = head.strip().splitlines()[-1].count("<th")
        assert {row.count("<th") + row.count("<td") for row in body.splitlines() if "<tr>" in row} == {wide}


# --- terminal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_on_a_terminal_is_wider_than_it_and_no_number_is_broken(width: int) -> None:
    record = sample_record(seeds=(0, 1), videos=True, defenses=["none", "dual(epochs=12, lr=1e-4)", "pgd-at"])
    tables = named(record, "scenarios")
    text = printed(tables, width)
    assert max(map(len, text.splitlines())) <= width
    numbers = {entry.text for _, found in tables for t in found for row in t.rows for entry in row[1:]}
    assert all(number in text or number.split(" [")[0] in text for number in numbers)


def test_a_terminal_with_room_shows_intervals_and_one_without_the_brief_columns() -> None:
    tables = named(sample_record(), "results")
    assert "AUC - baseline [95%]" in printed(tables, 160)
    narrow = printed(tables, 80)
    assert "AUC gain" in narrow
    assert "macro-F1" not in narrow


def test_a_label_is_shown_once_for_the_rows_that_share_it() -> None:
    rows = [(Entry(a), Entry(b), Entry("1")) for a, b in (("x", "y"), ("x", "z"), ("w", "z"))]
    columns = (Column("a", "a"), Column("b", "b"), Column("number"))
    text = printed(one(*rows, columns=columns), 80)
    assert text.count("x") == 1
    assert text.count("z") == 2  # the label before it is another


def test_what_is_too_much_for_a_terminal_is_left_to_the_files() -> None:
    stream = io.StringIO()
    left = show(load_registry(), sample_record(), Console(file=stream, width=80))
    assert left == ["directions of errors, frozen thresholds and calibration", "each manipulation by itself"]
    assert "By manipulation" not in stream.getvalue()
    assert "warning: here into there" in stream.getvalue()


# --- files and the command ----------------------------------------------------------------------------------------


def test_every_table_is_written_in_every_format_and_all_of_them_in_one(tmp_path: Path) -> None:
    record = sample_record()
    record["config"]["tables"] = [{"name": "System A / test", "template": "scenarios", "scenarios": []}]
    write_tables(tmp_path, load_registry(), record)
    names = {f"tables/System-A-test{suffix}" for suffix in (".md", ".csv", ".tex", ".html")}
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()} == names | {"table.md"}
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == markdown_of(load_registry(), record)


def test_a_template_with_nothing_to_show_writes_no_file(tmp_path: Path) -> None:
    record = sample_record()
    for cell in record["cells"]:
        cell["manipulations"] = {}
    write_tables(tmp_path, load_registry(), record)
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        f"{name}{suffix}" for name in ("directions", "results") for suffix in (".csv", ".html", ".md", ".tex")
    ]


def test_the_command_shows_the_tables_that_the_record_names(dfbench: Cli, tmp_path: Path) -> None:
    record = sample_record()
    record["config"]["tables"] = [{"name": "a", "template": "survival", "scenarios": []}]
    (tmp_path / "record.json").write_text(json.dumps(record))
    code, out, _ = dfbench("table", tmp_path)
    assert code == 0
    assert "Survival of attacks" in out
    assert "AUC" not in out


def test_the_command_shows_other_tables_in_the_order_asked_for(dfbench: Cli) -> None:
    asked = ("--table", "scenarios(metrics=eer)", "--table", "survival", "--format", "markdown")
    code, out, _ = dfbench("table", RESULTS / "mini-demo" / "record.json", *asked)
    assert code == 0
    assert 0 < out.index("eer: dual") < out.index("## Survival of attacks")


@pytest.mark.parametrize(
    "suffix, begins", [(".md", "## "), (".csv", "table,"), (".tex", "% needs"), (".html", "<!DOC")]
)
def test_the_suffix_of_a_file_tells_its_format(dfbench: Cli, tmp_path: Path, suffix: str, begins: str) -> None:
    code, out, _ = dfbench("table", RESULTS / "mini-demo", "--out", tmp_path / f"table{suffix}")
    assert (code, out) == (0, "")
    assert (tmp_path / f"table{suffix}").read_text(encoding="utf-8").startswith(begins)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["absent"], "no record at absent"),
        ([RESULTS / "mini-demo", "--table", "resluts"], "did you mean 'results'"),
        ([RESULTS / "mini-demo", "--table", "scenarios(metric=auc)"], "metrics"),
        ([RESULTS / "mini-demo", "--out", "table.pdf"], "a name that ends with .md, .csv, .tex, .html"),
        ([RESULTS / "mini-demo", "--out", "table.md", "--format", "terminal"], "give --format"),
    ],
)
def test_a_mistake_is_told_in_one_line(dfbench: Cli, arguments: list[object], message: str) -> None:
    code, out, err = dfbench("table", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_table_with_nothing_to_show_says_so(dfbench: Cli, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps(sample_record(scenarios=[("clean", "none", "none")])))
    code, _, err = dfbench("table", tmp_path, "--table", "survival")
    assert (code, err) == (0, "table survival: nothing to show; it needs an attack that is followed by a corruption\n")


def test_the_command_needs_no_torch() -> None:
    program = (
        "import sys; from dfbench.cli import run_cli; code = run_cli(sys.argv[1:]); "
        "sys.exit(code or 'torch' in sys.modules or 'pandas' in sys.modules)"
    )
    every = [part for name in ALL for part in ("--table", name)]
    command = [sys.executable, "-c", program, "table", str(RESULTS / "mini-demo"), *every]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("format_name", ["terminal", "csv"])
def test_a_reader_that_stops_early_is_no_error(format_name: str) -> None:
    program = "from dfbench.cli import main; main()"
    command = [sys.executable, "-c", program, "table", str(RESULTS / "mini-demo"), "--format", format_name]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert ended.stderr == b""
