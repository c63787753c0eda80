"""Every planted fault, in the order of the table."""

from __future__ import annotations

from . import components, datasets, doctored, masking, tables
from .fault import Fault

FAULTS: list[Fault] = [*components.FAULTS, *datasets.FAULTS, *doctored.FAULTS, *tables.FAULTS, *masking.FAULTS]
