"""Work side by side in threads that end with the process: a stop does not wait for what is under way.

`concurrent.futures` would join its threads at the exit of Python, and with them requests that may last minutes.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    name: str,
    silence_seconds: float | None = None,
) -> Generator[Result, None, None]:
    """Yield what `work` gives for each item, in the items' order, as soon as it is there.

    At most `workers` items are under way at a time, in daemon threads called `name`. Once the iterator is closed, or
    has raised, no further item is begun; what is under way then goes on unheard.

    Raises the first that `work` raised, and TimeoutError when no item has been finished for `silence_seconds`.
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
        threading.Thread(target=run, name=name, daemon=True).start()
    early: dict[int, Result] = {}
    try:
        for index in range(count):
            while index not in early:
                place, result = _next(done, silence_seconds)
                early[place] = result
            yield early.pop(index)
    finally:
        over.set()


def _next(
    done: "queue.SimpleQueue[tuple[int, Result] | Exception]", silence_seconds: float | None
) -> tuple[int, Result]:
    try:
        finished = done.get(timeout=silence_seconds)
    except queue.Empty:
        raise TimeoutError(f"nothing was finished for {silence_seconds:g} s") from None
    if isinstance(finished, Exception):
        raise finished
    return finished
