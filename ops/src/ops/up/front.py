"""The ingress front: what stands before the instance and forwards requests, as Cloud Run's does.

A plain ASGI application that streams: nothing of an answer is kept back. Requests that come before the gate
opens are held; the container never sees them early. Every request is recorded with its instants.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from ops.up import headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping

    from ops.up.gate import Gate

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

RESERVED = re.compile(r"/eventlog|/_ah/.*|.*z")
"""Paths that Cloud Run's own front answers with 404 (known issues: reserved URL paths)."""
QUEUE_SECONDS = 10.0
"""How long a request waits for a slot before 429 (Cloud Run: instance autoscaling, exceeding the maximum)."""
QUEUE_LIMIT = 1000
"""Requests that may be held or queued at once; the next gets 503. Bounds this process's memory."""
REQUEST_BYTES = 32 * 1024 * 1024
"""Cloud Run's limit for an HTTP/1 request; larger ones get 413."""
CONNECT_SECONDS = 2.0
"""To connect to a container on loopback: it listens or it does not."""
LOG_LIMIT = 10_000
"""Requests recorded; the first ones matter, for they could be early."""


@dataclass(slots=True)
class RequestRecord:
    """One request at the front. Wall-clock seconds; `forwarded_at` is None until it goes to the container."""

    method: str
    path: str
    arrived_at: float
    forwarded_at: float | None = None
    finished_at: float | None = None
    status: int | None = None


class RefusalError(Exception):
    """The front answers itself, with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class IngressFront:
    """The ASGI application. `log` holds the requests; `waiting` and `in_flight` say what goes on now."""

    def __init__(self, upstream_url: str, gate: Gate, *, concurrency: int, timeout_seconds: float) -> None:
        self.log: list[RequestRecord] = []
        self.waiting = 0
        self.in_flight = 0
        self.concurrency = concurrency
        self._upstream = httpx.URL(upstream_url)
        self._gate = gate
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(concurrency)
        # The bare transport: a client would keep cookies, follow redirects and decode what passes through.
        self._transport = httpx.AsyncHTTPTransport(trust_env=False, limits=httpx.Limits(max_connections=None))

    async def close(self) -> None:
        """Close the connections to the container."""
        await self._transport.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves ends it, on the container's side too."""
        record = RequestRecord(scope["method"], scope["path"], time.time())
        if len(self.log) < LOG_LIMIT:
            self.log.append(record)
        body = await _read_body(receive)
        answering = asyncio.create_task(self._answer(scope, body, record, Reply(send, record)))
        leaving = asyncio.create_task(_client_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.wait({answering, leaving})
            record.finished_at = time.time()
        if not answering.cancelled():
            answering.result()  # a fault of the front's own must not pass in silence

    async def _answer(self, scope: Scope, body: bytes | None, record: RequestRecord, reply: Reply) -> None:
        if RESERVED.fullmatch(scope["path"]):
            await reply.refuse(404, "this path is reserved: Cloud Run's front answers it, not the service")
        elif body is None:
            await reply.refuse(413, f"the request is larger than {REQUEST_BYTES} bytes")
        else:
            try:
                async with self._slot():
                    await self._forward(scope, body, record, reply)
            except RefusalError as refusal:
                await reply.refuse(refusal.status, refusal.text)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for the gate and for one of `concurrency` slots."""
        if self.waiting >= QUEUE_LIMIT:
            raise RefusalError(503, "too many requests wait for this instance")
        self.waiting += 1
        try:
            await _within(self._timeout_seconds, self._gate.wait_open(), 503, "the instance did not start in time")
            if not self._gate.ready:
                raise RefusalError(503, "no instance is ready: the readiness probe fails")
            await _within(QUEUE_SECONDS, self._slots.acquire(), 429, "no instance had room in time")
        finally:
            self.waiting -= 1
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._slots.release()

    async def _forward(self, scope: Scope, body: bytes, record: RequestRecord, reply: Reply) -> None:
        """Pass the request on and the answer back; once an answer has begun, a fault can only cut it."""
        request = self._request(scope, body)
        record.forwarded_at = time.time()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._relay(request, reply)
        except TimeoutError:
            if not reply.started:
                raise RefusalError(504, f"no answer within {self._timeout_seconds:g} s") from None
        except httpx.TransportError as error:
            if not reply.started:
                raise RefusalError(503, f"the container did not answer: {type(error).__name__}") from error

    async def _relay(self, request: httpx.Request, reply: Reply) -> None:
        response = await self._transport.handle_async_request(request)
        try:
            await reply.start(response.status_code, headers.for_client(response.headers.raw))
            async for chunk in response.aiter_raw():
                await reply.send(chunk)
            await reply.end()
        finally:
            await response.aclose()

    def _request(self, scope: Scope, body: bytes) -> httpx.Request:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        try:
            url = self._upstream.copy_with(raw_path=target)
        except httpx.InvalidURL as error:
            raise RefusalError(400, f"no valid path: {error}") from error
        timeout = {
            "connect": CONNECT_SECONDS,
            "read": None,
            "write": None,
            "pool": None,
        }  # the whole is bounded above
        return httpx.Request(
            scope["method"],
            url,
            headers=headers.for_container(scope),
            content=body,
            extensions={"timeout": timeout},
        )


class Reply:
    """The answer to one client, as far as it has come."""

    def __init__(self, send: Send, record: RequestRecord) -> None:
        self.started = False
        self._send = send
        self._record = record

    async def start(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send status and header."""
        self.started = True
        self._record.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": fields})

    async def send(self, chunk: bytes) -> None:
        """Send a part of the body, at once."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        """Say that the body is complete."""
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, status: int, text: str) -> None:
        """Send the front's own answer."""
        body = f"{status} {HTTPStatus(status).phrase}: {text}\n".encode()
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await self.start(status, fields)
        await self.send(body)
        await self.end()


async def _read_body(receive: Receive) -> bytes | None:
    """Return the whole body; None when it is too large. A client that leaves is noticed afterwards."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > REQUEST_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _within(seconds: float, what: Coroutine[Any, Any, object], status: int, text: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await what
    except TimeoutError:
        raise RefusalError(status, f"{text} ({seconds:g} s)") from None
