"""Every planted fault is found, its sound counterpart raises nothing, and the README shows what was found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .fault import Fault, Ground
from .faults import FAULTS
from .table import as_markdown, in_readme


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def found(ground: Ground) -> Callable[[Fault], str]:
    """What of a finding matches the expected one; every fault is planted once."""
    known: dict[str, str] = {}

    def of(fault: Fault) -> str:
        if fault.name not in known:
            known[fault.name] = fault.found(ground)
        return known[fault.name]

    return of


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault: Fault, found: Callable[[Fault], str]) -> None:
    assert found(fault)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_its_sound_counterpart_raises_nothing(fault: Fault, ground: Ground) -> None:
    assert list(fault.sound(ground)) == []


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20


def test_the_table_of_the_readme_is_what_was_found(found: Callable[[Fault], str]) -> None:
    assert in_readme() == as_markdown(found), "run python -m tests.planted"
