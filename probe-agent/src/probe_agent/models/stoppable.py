"""Work in a thread that ends soon after nobody waits for it any more."""

import asyncio
import threading
from collections.abc import Callable


class Stopped(Exception):
    """Nobody waits any more: raised by the work itself, between two pieces."""


class Stop:
    """Tells work in threads to end; `check` is asked between two pieces of it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Let the work end at its next `check`."""
        self._event.set()

    def check(self) -> None:
        """Raise `Stopped` once the work is to end."""
        if self._event.is_set():
            raise Stopped


async def in_thread(work: Callable[[Stop], None]) -> None:
    """Run `work` in a thread, and return or raise with it; cancelled, return at once and tell it to end."""
    stop = Stop()
    try:
        await asyncio.to_thread(work, stop)
    finally:
        stop.set()
