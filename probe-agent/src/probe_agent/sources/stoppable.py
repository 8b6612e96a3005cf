"""Work in a thread that ends soon after nobody waits for it any more, and never later than the process."""

import asyncio
import contextlib
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
    """Run `work` in a thread, and return or raise with it; cancelled, return at once and tell it to end.

    The thread is a daemon: asyncio's own are joined when the loop ends, and with them a read that hangs.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    stop = Stop()

    raised: list[BaseException] = []

    def settle() -> None:
        if not ended.cancelled():
            ended.set_result(None)

    def run() -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001 — it is raised where the work is waited for
            raised.append(error)
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=run, name="model-source", daemon=True).start()
    try:
        await ended
    finally:
        stop.set()
    if raised:
        raise raised[0]
