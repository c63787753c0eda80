"""The check of a table template."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from dfbench.contracts import Spec, TableTemplate
from dfbench.registry import Component
from dfbench.render import FORMATS
from dfbench.tables import Table
from dfbench.testing.common import check_pickle, component_of, conforming
from dfbench.testing.records import SWEEP, WORST_CASE, sample_record


def check_table(what: Spec | Component, **params: Any) -> None:
    """Tables of every kind of record: of one training or several, of images or videos, at several eps, with attention
    measured, with a worst case and verdicts, with failed cells, without attacks, without a defense; the same again, the
    record left as it was, and every format takes them.

    Args:
        what: the template's spec, with ``params`` as keywords, or its component.

    Raises:
        AssertionError: what does not hold.
    """
    component = component_of(what, params)
    with conforming(component) as who:
        template = component.build()
        assert isinstance(template, TableTemplate), f"{who} builds a {type(template).__name__}, not a TableTemplate"
        shown = 0
        for kind, record in _records():
            before = copy.deepcopy(record)
            try:
                tables = template(record)
            except Exception as error:
                raise AssertionError(f"{who} fails on a record {kind}: {type(error).__name__}: {error}") from error
            assert isinstance(tables, list), f"{who} gives a {type(tables).__name__}; it must be a list of Table"
            assert all(isinstance(table, Table) for table in tables), f"{who} gives something that is no Table"
            assert record == before, f"{who} changes the record it is given ({kind})"
            assert template(record) == tables, f"{who} gives other tables the second time, of a record {kind}"
            for table in tables:
                assert table.title, f"{who} gives a table without a title, of a record {kind}"
            for render in FORMATS.values():
                render([(component.label, tables)], record["warnings"])
            shown += len(tables)
        assert shown, f"{who} gives no table of any record"
        check_pickle(component, who)


def _records() -> Iterator[tuple[str, dict[str, Any]]]:
    clean = (("clean", "none", "none"),)
    failed = [("PGD", "dual"), ("U-Net", "none")]
    yield "of one training", sample_record(videos=False)
    yield "of several trainings", sample_record(seeds=(0, 1, 2))
    yield "of videos", sample_record(videos=True)
    yield "of videos and several trainings", sample_record(seeds=(0, 1), videos=True, fail=failed)
    yield "with failed cells", sample_record(fail=failed)
    yield "with attention measured", sample_record(cam=True, fail=failed)
    yield "with attention measured in several trainings", sample_record(seeds=(0, 1), cam=True)
    yield "with a worst case and verdicts", sample_record(scenarios=WORST_CASE, suspect=[("PGD", "dual")])
    yield (
        "of videos and several trainings with a worst case, failed cells and verdicts",
        sample_record(
            seeds=(0, 1), videos=True, scenarios=WORST_CASE, suspect=[("strong", "none")], fail=[("strong", "dual", 1)]
        ),
    )
    yield "of the worst case alone", sample_record(scenarios=WORST_CASE[2:])
    yield "without attacks", sample_record(scenarios=clean)
    yield "without a defended arm", sample_record(defenses=["none"])
    yield "of an attack at several eps", sample_record(scenarios=SWEEP, fail=[("FGSM eps=0.001", "none")])
    yield (
        "of several defenses and trainings at several eps",
        sample_record(
            seeds=(0, 1),
            scenarios=SWEEP,
            defenses=["none", *(f"pim(alpha={a}, r={r})" for a in (0.5, 1.0) for r in (0.1, 0.2))],
        ),
    )
    yield "without a finished cell", sample_record(scenarios=clean, fail=[("clean", "none"), ("clean", "dual")])
