"""The front's HTTP server, inside the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn

from ops.up.errors import LaunchError
from ops.up.front import IngressFront
from ops.up.ports import LOOPBACK
from probe_agent.http_server import Server

# Connections that may wait to be accepted; uvicorn's own default.
BACKLOG = 2048
# For open answers at the end: their container has been stopped by then.
CLOSE_SECONDS = 1


@contextlib.asynccontextmanager
async def serving(front: IngressFront, port: int) -> AsyncIterator[str]:
    """Serve the front on a loopback port (0: a free one) and yield its URL.

    Raises:
        LaunchError: the port is taken.

    """
    listener = _listen(port)
    config = uvicorn.Config(
        front,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
    server = Server(config, signals=False)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.stop()
        await task
        listener.close()
        await front.close()


def _listen(port: int) -> socket.socket:
    # The protocol is named: only then asyncio turns Nagle's algorithm off, which costs a small answer 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        advice = "choose another with --port, 0 for a free one"
        raise LaunchError(f"the ingress cannot listen on {LOOPBACK}:{port} ({error.strerror}); {advice}") from error
    return listener
