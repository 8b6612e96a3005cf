"""Work side by side in threads that end with the process: a stop does not wait for what is under way.

`concurrent.futures` would join its threads at the exit of Python, and with them requests that may last minutes.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Silence(Exception):
    """Nothing was finished for too long."""


@contextmanager
def in_parallel(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    name: str,
    silence_seconds: float | None = None,
) -> Iterator[Iterator[Result]]:
    """Begin to work on the items; give an iterator over what `work` returns for each, in the items' order.

    At most `workers` items are under way at a time, in daemon threads called `name`. Once the block has ended no
    further item is begun; what is under way then goes on unheard. The iterator raises the first that `work` raised,
    and `Silence` when no item has been finished for `silence_seconds`.
    """
    todo: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Result] | BaseException] = queue.SimpleQueue()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                index, item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, work(item)))
            except BaseException as error:  # noqa: BLE001 — it is raised where the results are waited for
                done.put(error)

    for numbered in enumerate(items):
        todo.put(numbered)
    count = todo.qsize()
    try:
        for _ in range(min(workers, count)):
            threading.Thread(target=run, name=name, daemon=True).start()
        yield _in_order(done, count, silence_seconds)
    finally:
        over.set()


def _in_order(
    done: "queue.SimpleQueue[tuple[int, Result] | BaseException]", count: int, silence_seconds: float | None
) -> Iterator[Result]:
    early: dict[int, Result] = {}
    for index in range(count):
        while index not in early:
            try:
                finished = done.get(timeout=silence_seconds)
            except queue.Empty:
                raise Silence from None
            if isinstance(finished, BaseException):
                raise finished
            early[finished[0]] = finished[1]
        yield early.pop(index)
