"""Work in threads that end with the process: Ctrl-C does not wait for what is under way."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> list[Result]:
    """Return what `work` gives for each item, in the items' order.

    At most `workers` items are under way at a time. `concurrent.futures` would join its threads at the exit of
    Python, and with them requests that may last minutes; these are daemons.

    Raises:
        Exception: the first that `work` raised; no further item is begun then.

    """
    todo: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Result] | Exception] = queue.SimpleQueue()
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                index, item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, work(item)))
            except Exception as error:  # noqa: BLE001 — it is raised where the results are waited for
                done.put(error)

    for numbered in enumerate(items):
        todo.put(numbered)
    count = todo.qsize()
    for _ in range(min(workers, count)):
        threading.Thread(target=run, name="upload", daemon=True).start()
    results: dict[int, Result] = {}
    try:
        while len(results) < count:
            match done.get():
                case (index, result):
                    results[index] = result
                case error:
                    raise error
    finally:
        over.set()
    return [results[index] for index in range(count)]
