"""Many cells, or other jobs, at once: each lane has a server of its own, and takes one after the other."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, Self, TypeVar

from lab.faults import breaking
from lab.faults.subjects import Subject

Job = TypeVar("Job")
Found = TypeVar("Found")


class Matrix(Generic[Job, Found]):
    """Runs jobs in `lanes` lanes; `futures` has what `run` found for each, in the order in which they are begun."""

    def __init__(
        self,
        home: Path,
        subject_of: Callable[[Path, str], contextlib.AbstractContextManager[Subject]],
        jobs: Iterable[Job],
        lanes: int,
        run: Callable[[Job, breaking.Lane], Found],
    ) -> None:
        self._home = home
        self._subject_of = subject_of
        self._ends = contextlib.ExitStack()
        self._free: queue.SimpleQueue[breaking.Lane | None] = queue.SimpleQueue()
        for _ in range(lanes):
            self._free.put(None)
        self._made = 0
        self._pool = ThreadPoolExecutor(lanes)
        self.name = ""
        self.futures: dict[Job, Future[Found]] = {}
        self._jobs = list(jobs)
        self._job = run

    def __enter__(self) -> Self:
        self.futures = {job: self._pool.submit(self._run, job) for job in self._jobs}
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._ends.close()

    def _run(self, job: Job) -> Found:
        on = self._free.get()
        try:
            on = on or self._lane()
            return self._job(job, on)
        finally:
            self._free.put(on)

    def _lane(self) -> breaking.Lane:
        self._made += 1
        home = self._home / f"lane-{self._made}"
        home.mkdir()
        lane = self._ends.enter_context(breaking.lane(home, self._subject_of))
        self.name = lane.subject.name
        return lane
