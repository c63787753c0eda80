"""The audit of a published table, of which nothing but the table is known: what arithmetic forbids, and what attacks do
not do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from dfbench.recheck.bounds import Printed, class_f1_possible, macro_f1, one_class, right_counts
from dfbench.recheck.finding import Finding, Report, shown
from dfbench.recheck.table_file import Line, read_table

_SINGLE_STEP = ("fgsm",)
_ITERATED = ("pgd", "mifgsm", "mi-fgsm", "bim", "i-fgsm", "apgd")
"""Attacks by the names that papers give them."""

_COUNT_WHY = "a share of n samples is a whole number of them"
_F1_WHY = "an F1 under the wrong name cannot be compared with any other"
_ATTACK_WHY = "an attack that helps the detector, or is beaten by a simpler one, was not carried out as described"


def audit_table(path: Path) -> Report:
    """Audit a CSV file of published results; its columns are those of :mod:`dfbench.recheck.table_file`.

    Raises:
        UsageError: it cannot be read as such a table.
    """
    lines = read_table(path)
    report = Report(str(path))
    for line in lines:
        report.add(_line(line))
    report.add(_twice(lines))
    report.add(_against_clean(lines))
    report.add(_over_eps(lines))
    report.add(_steps(lines))
    report.count("lines", len(lines))
    report.count("values", sum(len(line.shares) + len(line.counts) for line in lines))
    if without := sum("n" not in line.counts for line in lines):
        report.unchecked.append(f"{without} lines do not tell n, so that no count follows from their shares")
    return report


def _twice(lines: Sequence[Line]) -> Iterator[Finding]:
    """Lines of the same detector under the same attack."""
    seen: dict[tuple[object, ...], Line] = {}
    for line in lines:
        first = seen.setdefault(line.key, line)
        if first is not line:
            same = first.shares == line.shares and first.counts == line.counts
            told = (
                f"it repeats line {first.number}" if same else f"it contradicts line {first.number}, of the same attack"
            )
            why = "one measurement has one result: other findings are of the first of such lines"
            yield Finding("note" if same else "error", "twice", line.place, told, why,
                          line.shares["accuracy"].text, first.shares["accuracy"].text)  # fmt: skip


def _line(line: Line) -> Iterator[Finding]:
    """What must hold within a line."""
    accuracy, n, fakes = line.shares["accuracy"], line.counts.get("n"), line.counts.get("fakes")
    low, high = macro_f1(accuracy.low, accuracy.high)
    classes = {"fake": fakes, "real": n - fakes if n is not None and fakes is not None else None}
    macro = line.shares.get("f1_macro")
    if macro and (macro.high < low or macro.low > high):
        told = "impossible: macro-F1 of two classes lies in [a/(1+a), a] for accuracy a"
        if instead := [f"F1 of {name}" for name, members in classes.items() if _possible(macro, line, members)]:
            told += f"; it could be {' or '.join(instead)}"
        yield Finding("error", "macro-F1", line.place, told, _F1_WHY, macro.text, f"{low:.4f} to {high:.4f}")
    for name, members in classes.items():
        f1 = line.shares.get(f"f1_{name}")
        if f1 and not _possible(f1, line, members):
            told = f"F1 of {name} is impossible for accuracy {accuracy.text}"
            of = f"no confusion table of {n} samples" if n else f"at most {_most(accuracy):.4f}"
            yield Finding("error", f"f1_{name}", line.place, told, _F1_WHY, f1.text, of)
    if n is not None:
        yield from _counts(line, n)
        if not right_counts(accuracy.low, accuracy.high, n):
            told = f"accuracy {accuracy.text} of {n} samples is no whole number of them"
            yield Finding("error", "counts", line.place, told, _COUNT_WHY, accuracy.text,
                          f"{shown(round(accuracy.value * n, 3))} of {n}")  # fmt: skip
        if fakes is not None and not line.attacked and one_class(accuracy.high, n, fakes):
            told = "accuracy is no better than answering one class always"
            why = "a detector that learned nothing reaches the same"
            yield Finding("note", "floor", line.place, told, why, accuracy.text, shown(max(fakes, n - fakes) / n))


def _possible(f1: Printed, line: Line, members: int | None) -> bool:
    """Whether a number can be F1 of a class with so many members at the line's accuracy."""
    accuracy, n = line.shares["accuracy"], line.counts.get("n")
    if n is None:
        return f1.low <= _most(accuracy)
    return class_f1_possible(f1, right_counts(accuracy.low, accuracy.high, n), n, members)


def _most(accuracy: Printed) -> float:
    """The largest F1 of a class: all right answers are of that class."""
    return 2 * accuracy.high / (1 + accuracy.high)


def _counts(line: Line, n: int) -> Iterator[Finding]:
    if not all(name in line.counts for name in ("tp", "fp", "tn", "fn")):
        return
    tp, fp, tn, fn = (line.counts[name] for name in ("tp", "fp", "tn", "fn"))
    if tp + fp + tn + fn != n:
        yield Finding("error", "counts", line.place, "tp + fp + tn + fn do not add up to n", _COUNT_WHY, str(n),
                      str(tp + fp + tn + fn))  # fmt: skip
        return
    shares = {"accuracy": (tp + tn) / n}
    halves = {"f1_fake": (tp, 2 * tp + fp + fn), "f1_real": (tn, 2 * tn + fp + fn)}
    shares |= {name: 2 * right / whole for name, (right, whole) in halves.items() if whole}
    if {"f1_fake", "f1_real"} <= shares.keys():
        shares["f1_macro"] = (shares["f1_fake"] + shares["f1_real"]) / 2
    for name, value in shares.items():
        given = line.shares.get(name)
        if given and not given.low - 1e-12 <= value <= given.high + 1e-12:
            told = f"{name} is not what the counts give"
            yield Finding("error", name, line.place, told, _COUNT_WHY, given.text, shown(value))


# --- lines beside each other ------------------------------------------------------------------------------------


def _setting(line: Line) -> tuple[str, ...]:
    return line.texts["model"], line.texts["data"], line.texts["corruption"]


def _against_clean(lines: Sequence[Line]) -> Iterator[Finding]:
    clean: dict[tuple[object, ...], Line] = {}
    for line in lines:
        if not line.attacked:
            clean.setdefault(_setting(line), line)
    for line in lines:
        base = clean.get(_setting(line))
        if line.attacked and base and line.shares["accuracy"].low > base.shares["accuracy"].high:
            told = f"accuracy under attack is above that without it ({base.place.partition(': ')[2]})"
            yield Finding("error", "attack", line.place, told, _ATTACK_WHY, line.shares["accuracy"].text,
                          f"at most {base.shares['accuracy'].text}")  # fmt: skip


def _over_eps(lines: Sequence[Line]) -> Iterator[Finding]:
    sweeps: dict[tuple[object, ...], list[Line]] = defaultdict(list)
    for line in lines:
        if line.attacked and line.eps is not None:
            sweeps[(*_setting(line), line.texts["attack"], line.counts.get("steps"))].append(line)
    for sweep in sweeps.values():
        ordered = sorted(sweep, key=lambda line: line.eps or 0.0)
        for weaker, stronger in pairwise(ordered):
            if stronger.shares["accuracy"].low > weaker.shares["accuracy"].high:
                told = f"accuracy rises with eps: it was lower at eps {shown(weaker.eps)}"
                yield Finding("note", "eps", stronger.place, told, _ATTACK_WHY, stronger.shares["accuracy"].text,
                              f"at most {weaker.shares['accuracy'].text}")  # fmt: skip


def _steps(lines: Sequence[Line]) -> Iterator[Finding]:
    single = {(*_setting(line), line.eps): line for line in lines if line.texts["attack"].lower() in _SINGLE_STEP}
    for line in lines:
        other = single.get((*_setting(line), line.eps))
        if line.texts["attack"].lower() in _ITERATED and other and line.eps is not None:
            ours, theirs = line.shares["accuracy"], other.shares["accuracy"]
            if ours.low > theirs.high:
                told = f"{line.texts['attack']} is weaker than {other.texts['attack']} at the same eps"
                yield Finding("note", "steps", line.place, told, _ATTACK_WHY, ours.text, f"at most {theirs.text}")
