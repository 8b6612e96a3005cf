"""A uvicorn server that stops as Ollama does: at once, without drain, answers cut where they are."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

# What requests get to notice that their client is gone, before they are cancelled.
_LAST_SECONDS = 0.5

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Turns of the event loop from a connection's acceptance to its place in the server's list.
_TURNS = 3


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; OSError when the port is taken.

    The protocol is named because asyncio switches Nagle's algorithm off only on sockets that say TCP:
    with it on, every answer of two writes waits for the client's delayed acknowledgement, 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


class AbruptServer(uvicorn.Server):
    """Serves until `end` or a signal, without uvicorn's ticks of a tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        # Set once requests are answered.
        self.up = threading.Event()
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def end(self) -> None:
        """Stop; from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal, with exit status 0; by the event loop's handlers, for no tick hears Python's."""
        signals = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
        loop = asyncio.get_running_loop()
        for each in signals:
            loop.add_signal_handler(each, self.end)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)

    async def main_loop(self) -> None:
        """Serve until the end."""
        self._loop = asyncio.get_running_loop()
        self.up.set()
        if not self.should_exit:
            await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Break every connection, see every request end, and let the application clean up."""
        # asyncio forgets a connection that was accepted just before its server is closed: no new ones first,
        # then the turns that the last ones need to reach the server's list.
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = set(self.server_state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.lifespan.shutdown()
