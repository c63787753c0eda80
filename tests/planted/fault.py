"""What a planted fault is, and the ground that faults are planted in."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from conftest import TINY, write_faces

RUN = [
    "--model", TINY, "--defense", "none(epochs=7, batch_size=16, lr=0.01, precision=fp32)",
    "--defense", "pim(epochs=7, batch_size=16, lr=0.01)",
    "--attack", "none", "--attack", "pgd(eps=[0.5/255, 1/255], steps=20)", "--attack", "unet(eps=8/255, epochs=4)",
    "--table", "results", "--checks", "full",  # fast ones would leave so few samples unchecked
]  # fmt: skip
"""A run that has a bit of everything that can be doctored: two arms, a sweep of eps, an attack that learns."""


class Ground:
    """What faults are planted in, made once and only when it is asked for.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._numbers = root, itertools.count()

    def fresh(self) -> Path:
        """An empty folder of one's own."""
        folder = self._root / f"fresh-{next(self._numbers)}"
        folder.mkdir(parents=True)
        return folder

    @cached_property
    def faces(self) -> Path:
        """A folder data set ``{train,val,test}/{real,fake}/*.png`` of 48, 16 and 24 images of 64 x 64 pixels."""
        return write_faces(self._root / "faces")

    @cached_property
    def run(self) -> Path:
        """The output folder of a sound run on these faces; do not change it, take :meth:`copy_of_run`."""
        from dfbench.cli import run_cli

        out, data = self._root / "run", f'folder(path="{self.faces}", size=64)'
        assert run_cli(["run", *RUN, "--data", data, "--cache", str(self._root / "cache"), "--out", str(out)]) == 0
        return out

    @cached_property
    def findings_of_run(self) -> list[str]:
        """What the audit finds in the sound run."""
        from dfbench.progress import Silent
        from dfbench.recheck.run import audit_run
        from dfbench.registry import load_registry

        return [str(finding) for finding in audit_run(self.run, load_registry(), Silent()).findings]

    def copy_of_run(self) -> Path:
        """A copy of the sound run, to be doctored."""
        return Path(shutil.copytree(self.run, self.fresh() / "run"))


Findings = Callable[[Ground], Iterable[str]]
"""Plants something and gives what the harness finds in it, a sentence each."""


@dataclass(frozen=True)
class Fault:
    """One fault that the harness must find.

    Args:
        name: what the table calls it.
        planted: what is planted, in words.
        finder: who finds it: ``dfbench audit``, ``dfbench data audit``, ``the run`` (an error before or while it runs),
            ``the verdict``.
        expected: the finding, a regular expression that must match in one of the sentences. What it matches stands in
            the table, so that it holds no number which differs between machines.
        faulty: plants the fault and gives what is found.
        sound: the same without the fault, in which nothing may be found.
    """

    name: str
    planted: str
    finder: str
    expected: str
    faulty: Findings
    sound: Findings

    def found(self, ground: Ground) -> str:
        """What of a finding matches the expected one; empty where none does."""
        for sentence in self.faulty(ground):
            if match := re.search(self.expected, sentence):
                return match.group()
        return ""
