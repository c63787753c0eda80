"""A published table as a CSV file: a line for each model under each attack."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dfbench.errors import UsageError, did_you_mean
from dfbench.recheck.bounds import Printed, printed

REQUIRED = ("model", "attack", "eps", "accuracy")
TEXTS = ("model", "data", "attack", "corruption")
SHARES = (
    "accuracy", "f1", "f1_macro", "f1_fake", "f1_real", "auc", "balanced_accuracy", "tpr_at_fpr_1pct",
)  # fmt: skip
COUNTS = ("n", "fakes", "steps", "tp", "fp", "tn", "fn")
COLUMNS = (*TEXTS, "eps", *SHARES, *COUNTS)

_UNATTACKED = ("", "none", "clean")


@dataclass(frozen=True)
class Line:
    """One line of a published table.

    Args:
        number: of the line in the file, the header being 1.
        texts: model, data, attack and corruption; empty where there is none.
        eps: the bound in [0, 1] pixels; None where none is given.
        shares: by column, the metrics as printed. A column ``f1`` is macro-F1.
        counts: by column.
    """

    number: int
    texts: Mapping[str, str]
    eps: float | None
    shares: Mapping[str, Printed]
    counts: Mapping[str, int]

    @property
    def attacked(self) -> bool:
        """Whether an attack was there."""
        return self.texts["attack"].lower() not in _UNATTACKED

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from other lines: an unattacked line is one whatever eps it names."""
        texts = [self.texts[name].lower() for name in ("model", "data", "corruption")]
        attack = (self.texts["attack"].lower(), self.eps, self.counts.get("steps")) if self.attacked else ()
        return (*texts, *attack)

    @property
    def place(self) -> str:
        """What findings call it."""
        told = [self.texts["model"], self.texts["data"], self.texts["attack"] if self.attacked else "clean"]
        told += [f"eps {self.eps:g}"] if self.eps is not None and self.attacked else []
        return f"line {self.number}: " + " | ".join(filter(None, [*told, self.texts["corruption"]]))


def read_table(path: Path) -> list[Line]:
    """Read a CSV file of published results.

    Raises:
        UsageError: it cannot be read, has no lines, lacks a column or has an unknown one, or a value is missing, no
            number or out of range; the message names line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            _check_header(path, reader.fieldnames)
            lines = [_line(path, reader.line_num, row) for row in reader]
    except OSError as error:
        raise UsageError(f"no table at {path} ({error.strerror}): check the path") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no CSV in UTF-8 ({error}): save it as such") from error
    if not lines:
        raise UsageError(f"{path} has no lines below its header: give one for each model under each attack")
    return lines


def _check_header(path: Path, names: object) -> None:
    if not isinstance(names, list) or not names:
        raise UsageError(f"{path} is empty: its first line must name the columns, {', '.join(REQUIRED)}, ...")
    if len(names) == 1 and ";" in names[0]:
        raise UsageError(f"{path} is separated by semicolons: save it with commas, and decimal points")
    for name in names:
        if name not in COLUMNS:
            raise UsageError(f"{path}, line 1: unknown column {name!r}: {did_you_mean(name, COLUMNS)}")
    if missing := [name for name in REQUIRED if name not in names]:
        raise UsageError(f"{path}, line 1: the column {missing[0]!r} is missing: {', '.join(REQUIRED)} must be there")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{path}, line 1: the column {twice[0]!r} is there twice: remove one")
    if "f1" in names and "f1_macro" in names:
        raise UsageError(f"{path}, line 1: 'f1' and 'f1_macro' are the same: remove one")


def _line(path: Path, number: int, row: Mapping[str | None, str | None]) -> Line:
    def fail(column: str, what: str) -> UsageError:
        return UsageError(f"{path}, line {number}, column {column!r}: {what}")

    if None in row or None in row.values():
        raise UsageError(f"{path}, line {number}: it has another number of values than the header has columns")
    given = {str(name): str(text).strip() for name, text in row.items() if text and text.strip()}
    if "model" not in given:
        raise fail("model", "it is empty: say which detector the line is of")
    if "accuracy" not in given:
        raise fail("accuracy", "it is empty: a line without an accuracy cannot be audited")
    shares, counts = {}, {}
    eps = None
    for column, text in given.items():
        if column in TEXTS:
            continue
        if column == "eps" and "/" in text:
            try:
                text = str(float(Fraction(text)))
            except (ValueError, ZeroDivisionError) as error:
                raise fail(column, f"{text!r} is no fraction: write it as 8/255") from error
        try:
            value = printed(text)
        except ValueError as error:
            raise fail(column, f"{error}: write a decimal number") from error
        if column in COUNTS:
            if value.value < 0 or value.value != int(value.value):
                raise fail(column, f"{text} is no count: write a whole number")
            counts[column] = int(value.value)
        elif not 0 <= value.value <= 1:
            raise fail(column, f"{text} is not within 0 and 1: write shares, not percent, and eps in [0, 1] pixels")
        elif column == "eps":
            eps = value.value
        else:
            shares["f1_macro" if column == "f1" else column] = value
    if counts.get("n") == 0:
        raise fail("n", "it is 0: leave it empty where it is not known")
    if counts.get("fakes", 0) > counts.get("n", counts.get("fakes", 0)):
        raise fail("fakes", f"{counts['fakes']} fakes among {counts['n']} samples: there cannot be more")
    return Line(number, {name: given.get(name, "") for name in TEXTS}, eps, shares, counts)
