"""What a signal does while something is measured: it is ended in order, so that no service is left behind."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

from ops.loadtest.errors import LoadTestError

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(LoadTestError):
    """The operator ended the run."""

    # A shell's status for a program that SIGINT ended.
    exit_status = 130


async def until_stopped(work: Coroutine[object, object, T]) -> T:
    """Do the work; a signal cancels it, and is waited for until it has ended.

    Raises:
        Stopped: a signal came first.

    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise Stopped("interrupted; nothing more was measured") from None


async def to_the_end(work: Coroutine[object, object, None]) -> None:
    """Do what must be done whole, however often it is cancelled; the cancellation is passed on after it."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
