"""The result tables: for each model and evaluated data set, every scenario with every defense, beside the floor that a
constant predictor reaches; by sample, by video, and by manipulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

FULL = (
    ("accuracy", "accuracy", True),
    ("balanced_accuracy", "balanced acc.", False),
    ("f1_macro", "macro-F1", False),
    ("auc", "AUC", True),
    ("tpr_at_fpr_1pct", "TPR@FPR1%", False),
)
"""Columns of a table with room: metric, title, whether its interval is shown."""

BRIEF = (("accuracy", "accuracy", False), ("auc", "AUC", False))
"""Columns that fit a terminal of 80 characters."""

BY_MANIPULATION = (("balanced_accuracy", "balanced acc.", False), ("auc", "AUC", True))
"""Columns of the table by manipulation."""

Columns = tuple[tuple[str, str, bool], ...]
Cells = list[dict[str, Any]]


@dataclass(frozen=True)
class ResultTable:
    """One table: of one model on one evaluated data set, by sample or by video.

    Args:
        title: the model, and whatever else tells this table from the others.
        captions: the floor its numbers must be read against, and a line for each leak between the splits.
        cells: entries of the record; for videos, with the metrics of the videos in place of the samples'.
    """

    title: str
    captions: list[str]
    cells: Cells

    def rows(self, columns: Columns = FULL) -> list[list[str]]:
        """The table as text cells."""
        return [_row(cell, columns) for cell in self.cells]


def header(columns: Columns = FULL) -> list[str]:
    """Column names of the result table."""
    return [*_SCENARIO, *_titles(columns), "AUC - baseline [95%]" if columns is FULL else "AUC gain"]


def tables(record: dict[str, Any]) -> Iterator[ResultTable]:
    """The tables of a record in their order: models, then data sets, then samples before videos."""
    for name, cells in _groups(record):
        videos = [{**cell, **cell["video"]} if cell.get("video") else cell for cell in cells]
        by_video = any(cell.get("video") for cell in cells)
        yield ResultTable(f"{name}: frames" if by_video else name, _captions(record, cells, "n"), cells)
        if by_video:
            count = next(cell["n"] for cell in videos if cell["metrics"])
            yield ResultTable(f"{name}: {count} videos", _captions(record, videos, "number of videos"), videos)


def markdown(record: dict[str, Any]) -> str:
    """``table.md``: the tables, the results by manipulation, and the warnings."""
    parts = []
    for table in tables(record):
        parts.append(f"## {table.title}\n\n" + "\n\n".join(table.captions) + "\n")
        parts.append(_github(header(), table.rows()))
    intervals = record["intervals"]
    parts.append(
        f"Intervals: {intervals['level']:.0%}, {intervals['method']}, {intervals['replicates']} replicates; "
        "differences are paired, and bold where the interval excludes 0.\n"
    )
    parts += _by_manipulation(record)
    if record["warnings"]:
        parts.append("Warnings:\n\n" + "\n".join(f"- {text}" for text in record["warnings"]) + "\n")
    return "\n".join(parts)


def has_manipulations(record: dict[str, Any]) -> bool:
    """Whether ``table.md`` has results by manipulation."""
    return any(cell.get("manipulations") for cell in record["cells"])


_SCENARIO = ("attack", "corruption", "defense")


def _groups(record: dict[str, Any]) -> Iterator[tuple[str, Cells]]:
    """The cells of each model on each data set, and their name: the data set is in it where there are several."""
    several = len({cell["data"] for cell in record["cells"]}) > 1
    for model, data in dict.fromkeys((cell["model"], cell["data"]) for cell in record["cells"]):
        cells = [cell for cell in record["cells"] if (cell["model"], cell["data"]) == (model, data)]
        yield f"{model} on {data}" if several else model, cells


def _captions(record: dict[str, Any], cells: Cells, counted: str) -> list[str]:
    """What the numbers must be read against: n, the split, the accuracy of a detector that ignores its input, leaks."""
    cell = next((cell for cell in cells if cell["metrics"]), None)
    if cell is None:
        return ["No cell was finished."]
    constant = max(cell["metrics"]["always_fake_accuracy"], cell["metrics"]["always_real_accuracy"])
    floor = (
        f"{_source(record, cell['data'])}, {cell['split']} split, {counted} = {cell['n']}. A detector that always "
        f"answers one class scores accuracy {constant:.3f} and balanced accuracy and AUC 0.500: read every row against "
        "that floor."
    )
    trained = record.get("data", {}).get("name", cell["data"])
    if trained != cell["data"]:
        floor = f"Trained on {_source(record, trained)}, evaluated on {floor}"
    return [floor, *_leaks(record, cell["data"])]


def _source(record: dict[str, Any], name: str) -> str:
    """A data set's name; clips that were re-encoded before their faces were cut out are told from corrupted images."""
    used = [record.get("data", {}), *record.get("eval_data", [])]
    preparation = next((one.get("preparation") or {} for one in used if one.get("name") == name), {})
    codec = preparation.get("recompress")
    return f"{name} (clips re-encoded: {codec})" if codec else name


def _leaks(record: dict[str, Any], data: str) -> list[str]:
    """The leaks that bear on a table: those within the training set, and those of it into the evaluated set."""
    leaks = [text for text in record["warnings"] if text.startswith("LEAK: ")]
    return [text for text in leaks if " into " not in text or f" into {data}: " in text]


def _by_manipulation(record: dict[str, Any]) -> list[str]:
    """The section "By manipulation": the fakes of each against all real samples."""
    parts = []
    for name, cells in _groups(record):
        rows = [
            [*_scenario(cell), manipulation or "unnamed", str(part["n"]), *_numbers(part, BY_MANIPULATION)]
            for cell in cells
            for manipulation, part in (cell.get("manipulations") or {}).items()
        ]
        if rows:
            unit = "video" if any(cell.get("video") for cell in cells) else "sample"
            captions = [
                f"The fakes of each manipulation against all real {unit}s; n counts both.",
                *_leaks(record, cells[0]["data"]),
            ]
            parts.append(f"### {name}\n\n" + "\n\n".join(captions) + "\n")
            parts.append(_github([*_SCENARIO, "manipulation", "n", *_titles(BY_MANIPULATION)], rows))
    return ["## By manipulation\n", *parts] if parts else []


def _github(head: list[str], rows: list[list[str]]) -> str:
    text: str = tabulate(rows, headers=head, tablefmt="github", disable_numparse=True)
    return text + "\n"


def _titles(columns: Columns) -> list[str]:
    return [title + (" [95%]" if interval else "") for _, title, interval in columns]


def _scenario(cell: dict[str, Any]) -> list[str]:
    attack = cell["attack"] + (f" ({cell['note']})" if cell["note"] else "")
    return [attack, cell["corruption_column"], cell["defense"]]


def _row(cell: dict[str, Any], columns: Columns) -> list[str]:
    if cell["status"] == "failed":
        return [*_scenario(cell), "failed", *[""] * len(columns)]
    return [*_scenario(cell), *_numbers(cell, columns), _difference(cell, with_interval=columns is FULL)]


def _numbers(measured: dict[str, Any], columns: Columns) -> list[str]:
    numbers = []
    for name, _, with_interval in columns:
        value, interval = measured["metrics"].get(name), measured["intervals"].get(name)
        text = "n/a" if value is None else f"{value:.3f}"
        if interval and with_interval:
            text += f" [{interval[0]:.2f}, {interval[1]:.2f}]"
        numbers.append(text)
    return numbers


def _difference(cell: dict[str, Any], *, with_interval: bool) -> str:
    versus = cell["versus_baseline"]
    found = versus["difference"].get("auc") if versus else None
    if not found:
        return ""
    text = f"{found['value']:+.3f}"
    if not found["interval"]:
        return text
    low, high = found["interval"]
    text += f" [{low:+.2f}, {high:+.2f}]" if with_interval else ""
    return f"**{text}**" if low > 0 or high < 0 else text
