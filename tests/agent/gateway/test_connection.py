"""One connection and one exchange by themselves, where a real server would leave it to chance."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from lab.raw_server import RawRequest
from probe_agent.gateway.exchange import until_client_leaves
from probe_agent.gateway.upstream import HIGH_WATER, UpstreamError, _Connection
from tests.agent.gateway.conftest import Stand

pytestmark = pytest.mark.anyio
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Transport(asyncio.Transport):
    """A transport that notes whether reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def pause_reading(self) -> None:
        """Note it."""
        self.paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.paused = False


async def test_a_slow_client_pauses_the_reading_from_ollama() -> None:
    """Above the high-water mark nothing more is read until the client has taken what there is."""
    connection, transport = _Connection(), Transport()
    connection.connection_made(transport)
    size = HIGH_WATER + 1
    connection.data_received(HEAD % (2 * size) + b"x" * size)
    connection.data_received(b"x")
    assert transport.paused
    assert len(await connection.read()) == size + 1
    assert not transport.paused


async def test_a_lost_connection_takes_no_request() -> None:
    """The caller learns that nothing of an answer had come."""
    connection = _Connection()
    with pytest.raises(UpstreamError, match="not connected"):
        await connection.send(b"x")
    connection.connection_lost(None)
    with pytest.raises(UpstreamError, match="the connection was closed") as raised:
        await connection.send(b"x")
    assert not raised.value.started
    connection.close()


async def test_only_a_disconnect_means_that_the_client_has_left() -> None:
    """Anything else that the server hands over is passed by."""
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    answering = asyncio.ensure_future(asyncio.sleep(60))
    exchange: Any = SimpleNamespace(receive=receive, client_left=False)
    await until_client_leaves(exchange, answering)
    assert exchange.client_left
    with pytest.raises(asyncio.CancelledError):
        await answering


async def test_a_request_that_the_server_cancels_is_no_clients_doing(stand: Any) -> None:
    """When the server itself gives a request up, the cancellation goes through."""

    def silent(_: RawRequest, __: object) -> None:
        """Never answer."""

    made: Stand = stand(silent)
    waiting = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not waiting.is_set():
            waiting.set()
            return {"type": "http.request", "body": b'{"model": "owl"}'}
        await asyncio.sleep(60)
        raise AssertionError

    async def send(_: Any) -> None:
        """Take nothing."""

    scope = {"type": "http", "method": "POST", "path": "/api/chat", "raw_path": b"/api/chat", "query_string": b""}
    task = asyncio.ensure_future(made.gateway({**scope, "headers": []}, receive, send))
    while not made.upstream.requests:  # noqa: ASYNC110 — a thread has them
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.admission.running == 0
