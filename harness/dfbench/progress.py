"""Progress bars on standard error, and a silent stand-in for tests and pipes."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column


class _SilentTask:
    def __enter__(self) -> Any:
        return lambda steps=1, note="": None

    def __exit__(self, *exc: Any) -> None:
        return None


class Silent:
    """Shows nothing."""

    def task(self, title: str, total: int) -> _SilentTask:
        return _SilentTask()


class _BarTask:
    def __init__(self, console: Console, title: str, total: int) -> None:
        self._progress = RichProgress(
            TextColumn("[bold]{task.description}", table_column=Column(max_width=36, no_wrap=True)),
            BarColumn(bar_width=10),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            refresh_per_second=4,
        )
        self._title, self._total = title, total

    def __enter__(self) -> Any:
        self._progress.start()
        task = self._progress.add_task(self._title, total=self._total, note="")

        def advance(steps: int = 1, note: str | None = None) -> None:
            self._progress.update(task, advance=steps)
            if note is not None:
                self._progress.update(task, note=note)

        return advance

    def __exit__(self, *exc: Any) -> None:
        self._progress.stop()


class Bars:
    """Progress bars with loss terms and ETA; in a pipe or a CI log, one line per finished task."""

    def __init__(self) -> None:
        self.console = Console(file=sys.stderr)

    def task(self, title: str, total: int) -> _BarTask:
        return _BarTask(self.console, title, total)
