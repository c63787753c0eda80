"""The audit of one run."""

from __future__ import annotations

from pathlib import Path

from dfbench.contracts import Progress
from dfbench.recheck.arithmetic import check_arithmetic
from dfbench.recheck.chosen import check_thresholds
from dfbench.recheck.files import check_files
from dfbench.recheck.finding import Report
from dfbench.recheck.follow import check_numbers
from dfbench.recheck.naming import check_labels
from dfbench.recheck.opened import open_run
from dfbench.recheck.rederive import rederive
from dfbench.recheck.rows import check_rows
from dfbench.recheck.splits import check_splits
from dfbench.recheck.terms import check_terms
from dfbench.registry import Registry

_INCOMPARABLE = ("ids", "samples", "labels")
"""Findings of rows after which nothing can be measured on them."""


def audit_run(path: Path, registry: Registry, progress: Progress) -> Report:
    """Everything that a record says against the scores and files beside it.

    Args:
        path: the run's folder, or its ``record.json``.
        registry: metrics and components by name.
        progress: where progress is shown.

    Raises:
        UsageError: there is no record, or no scores beside it.
    """
    opened = open_run(path)
    report = Report(str(path))
    rows = list(check_rows(opened))
    report.add(rows)
    report.add(check_arithmetic(opened))
    report.add(check_splits(opened))
    report.add(check_terms(opened))
    report.add(check_labels(opened, registry))
    check_files(opened, report)
    frozen = check_thresholds(opened, report)
    report.count("cells", len(opened.frames))
    report.count("scores", sum(map(len, opened.frames.values())))
    if any(finding.check in _INCOMPARABLE for finding in rows):
        report.unchecked.append("the numbers were not derived again: cells of one data set hold different samples")
    else:
        check_numbers(opened, rederive(registry, opened, frozen, progress), report)
    return report
