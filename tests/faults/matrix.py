"""Many cells at once: each lane has a server of its own, and takes one cell after the other."""

from __future__ import annotations

import contextlib
import queue
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from tests.faults import breaking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.faults.cells import Cell, Outcome
    from tests.faults.subjects import Subject


class Matrix:
    """Runs cells in `lanes` lanes; `futures` has each cell's outcome, in the order in which they are begun."""

    def __init__(
        self,
        home: Path,
        subject_of: Callable[[Path, str], contextlib.AbstractContextManager[Subject]],
        cells: Iterable[Cell],
        lanes: int,
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
        self.futures: dict[Cell, Future[Outcome]] = {}
        self._cells = list(cells)

    def __enter__(self) -> Self:
        self.futures = {cell: self._pool.submit(self._run, cell) for cell in self._cells}
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._ends.close()

    def _run(self, cell: Cell) -> Outcome:
        on = self._free.get()
        try:
            on = on or self._lane()
            return breaking.run(cell, on)
        finally:
            self._free.put(on)

    def _lane(self) -> breaking.Lane:
        self._made += 1
        home = self._home / f"lane-{self._made}"
        home.mkdir()
        lane = self._ends.enter_context(breaking.lane(home, self._subject_of))
        self.name = lane.subject.name
        return lane
