"""Jobs in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import connection
from pathlib import Path
from typing import Any

from dfbench.errors import DfbenchError
from dfbench.preparation.job import Job, Settings, Worker


def carry_out(
    jobs: Sequence[Job], settings: Settings, shards: Path, workers: int
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """The outcomes of all jobs, as they come."""
    if not jobs:
        return
    if workers == 1 or len(jobs) == 1:
        with _one_thread():
            worker = Worker(settings, shards)
            for job in jobs:
                yield job, worker.run(job)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), multiprocessing.get_context("spawn"), _start_worker, (settings, shards)
    )
    try:
        pending: dict[Future[dict[str, Any]], Job] = {}
        waiting = iter(jobs)
        while True:
            for job in waiting:
                pending[pool.submit(_run, job)] = job
                if len(pending) >= 2 * workers:
                    break
            if not pending:
                break
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool as error:
        raise DfbenchError(
            "a worker process died, most likely for lack of memory: finished clips are kept; run the same command "
            "again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_arguments: tuple[Settings, Path]


def _start_worker(settings: Settings, shards: Path) -> None:
    global _arguments
    _arguments = settings, shards
    # Ctrl-C goes to the whole group of processes: the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A parent that was killed cannot end its workers: they end themselves."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@cache
def _worker() -> Worker:
    """Of this process; made with its first job, whose future then tells what goes wrong."""
    import torch

    torch.set_num_threads(1)
    return Worker(*_arguments)


def _run(job: Job) -> dict[str, Any]:
    return _worker().run(job)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in the workers: sums in one order, whatever the number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
