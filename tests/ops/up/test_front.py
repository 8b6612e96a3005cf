"""The front's own answers, and header fields on their way, without containers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from ops.up import headers
from ops.up.front import IngressFront
from ops.up.gate import Gate


def ask(path: str, gate: Gate, method: str = "GET", content: bytes = b"") -> httpx.Response:
    """Ask a front whose container nobody runs."""

    async def body() -> httpx.Response:
        # Port 1 of loopback: nothing listens there.
        front = IngressFront("http://127.0.0.1:1", gate, concurrency=1, timeout_seconds=0.05)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://front") as client:
            response = await client.request(method, path, content=content)
        await front.close()
        return response

    return asyncio.run(body())


def opened() -> Gate:
    """Return an open gate."""
    gate = Gate()
    gate.open()
    return gate


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/eventlog", "/_ah/warmup", "/a/statusz"])
def test_reserved_path_is_404_in_front(path: str) -> None:
    """Cloud Run's reserved paths never reach the container, not even while the gate is closed."""
    response = ask(path, Gate())
    assert response.status_code == 404
    assert "reserved" in response.text


@pytest.mark.parametrize("path", ["/health", "/eventlogs", "/api/chat"])
def test_other_path_is_forwarded(path: str) -> None:
    """Other paths go to the container; that nobody listens there is a 503."""
    response = ask(path, opened())
    assert response.status_code == 503
    assert "the container did not answer" in response.text


def test_request_is_not_held_for_ever() -> None:
    """A gate that stays closed ends in 503 after the request time-out."""
    assert "did not start in time" in ask("/", Gate()).text


def test_too_large_request_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body above Cloud Run's limit gets 413."""
    monkeypatch.setattr("ops.up.exchange.REQUEST_BYTES", 3)
    assert ask("/", opened(), "POST", b"four").status_code == 413


def test_full_queue_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many requests wait, the next one gets 503 at once."""
    monkeypatch.setattr("ops.up.front.QUEUE_LIMIT", 0)
    assert "too many requests wait" in ask("/", Gate()).text


def test_slow_upload_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come gets 408, and its place in the queue is free again."""
    monkeypatch.setattr("ops.up.front.UPLOAD_SECONDS", 0.01)

    async def endless() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    async def body() -> None:
        front = IngressFront("http://127.0.0.1:1", opened(), concurrency=1, timeout_seconds=1)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://front") as client:
            assert (await client.post("/", content=endless())).status_code == 408
        assert front.waiting == 0
        await front.close()

    asyncio.run(body())


def test_full_queue_refuses_before_the_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many requests wait, the next one's body is not even read."""
    monkeypatch.setattr("ops.up.front.QUEUE_LIMIT", 0)
    monkeypatch.setattr("ops.up.exchange.REQUEST_BYTES", 3)
    assert ask("/", Gate(), "POST", b"four").status_code == 503


def test_requests_are_counted_beyond_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log keeps the first requests only; the count goes on."""
    monkeypatch.setattr("ops.up.front.LOG_LIMIT", 1)

    async def body() -> None:
        front = IngressFront("http://127.0.0.1:1", Gate(), concurrency=1, timeout_seconds=1)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(front), base_url="http://front") as client:
            for _ in range(3):
                await client.get("/healthz")
        assert (len(front.log), front.asked) == (1, 3)
        await front.close()

    asyncio.run(body())


def test_hop_by_hop_fields_are_dropped_both_ways() -> None:
    """Fields of the connection, and those that Connection names, are not passed on."""
    fields = [(b"Connection", b"close, X-Mine"), (b"X-Mine", b"1"), (b"Transfer-Encoding", b"chunked"), (b"ETag", b"e")]
    assert headers.for_client(fields) == [(b"etag", b"e")]


def test_new_trace_is_made_where_there_is_none() -> None:
    """A request without a valid traceparent gets one, and Cloud Trace's header of the same trace."""
    scope = {"headers": [(b"traceparent", b"nonsense")], "client": None, "scheme": "http"}
    fields = dict(headers.for_container(scope))
    trace = fields[b"traceparent"].split(b"-")[1]
    assert headers.TRACEPARENT.fullmatch(fields[b"traceparent"])
    assert fields[b"x-cloud-trace-context"].startswith(trace + b"/")
