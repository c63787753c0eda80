"""``python -m tests.planted``: plant every fault, print what is found, and write the table into the README."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' own helpers, as pytest finds them

from planted.fault import Ground
from planted.faults import FAULTS
from planted.table import as_markdown, write


def main() -> int:
    """The exit code: 3 where a fault is not found or a sound counterpart raises a finding."""
    missed = 0
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        for fault in FAULTS:
            found[fault.name] = fault.found(ground)
            false = list(fault.sound(ground))
            missed += not found[fault.name] or bool(false)
            print(f"{fault.name}: {found[fault.name] or 'NOT FOUND'}{f'; FALSE ALARM: {false}' if false else ''}")
    write(as_markdown(lambda fault: found[fault.name]))
    return 3 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
