"""Blocking work in daemon threads: nobody waits at exit for a read that hangs, as asyncio would for its own threads."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stopped(Exception):
    """Nobody waits any more: raised by the work itself, between two pieces."""


class Stop:
    """Tells the work in a thread that nobody waits any more; the work calls `check` between two pieces."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Let the work end at its next `check`."""
        self._event.set()

    def check(self) -> None:
        """Raise `Stopped` once the work is to end."""
        if self._event.is_set():
            raise Stopped


async def in_thread(work: Callable[[Stop], Result]) -> Result:
    """Run `work` in a thread, and return or raise with it; when cancelled, return at once and tell it to end."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Result] = loop.create_future()
    stop = Stop()

    def run() -> None:
        try:
            settle = partial(result.set_result, work(stop))
        except BaseException as error:  # noqa: BLE001 — raised where the result is waited for
            settle = partial(result.set_exception, error)
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(lambda: result.cancelled() or settle())

    threading.Thread(target=run, name="model-source", daemon=True).start()
    try:
        return await result
    finally:
        stop.set()


async def all_of(*work: Coroutine[Any, Any, None]) -> None:
    """Run side by side; the first error is raised and cancels the others."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
