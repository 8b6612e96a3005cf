"""A uvicorn server that stops as Ollama does: at once, without drain, answers cut where they are."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn

from probe_agent.http_server import Server

# What requests get to notice that their client is gone, before they are cancelled.
_LAST_SECONDS = 0.5

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


class AbruptServer(Server):
    """Serves until `stop` or a signal."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        # Set once requests are answered.
        self.up = threading.Event()

    async def main_loop(self) -> None:
        """Serve until the stop."""
        self.up.set()
        await super().main_loop()

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
