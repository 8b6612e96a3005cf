"""The ingress front: what stands before the instance and forwards requests, as Cloud Run's does.

A plain ASGI application that streams: nothing of an answer is kept back. Requests that come before the gate
opens are held; the container never sees them early. Every request is recorded with its instants.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator

import httpx

from ops.up import headers
from ops.up.exchange import (
    ClientLeftError,
    Receive,
    RefusalError,
    Reply,
    RequestRecord,
    Scope,
    Send,
    read_body,
    while_connected,
    within,
)
from ops.up.gate import Gate

# Paths that Cloud Run's own front answers with 404 (known issues: reserved URL paths).
RESERVED = re.compile(r"/eventlog|/_ah/.*|.*z", re.DOTALL)
# How long a request waits for a slot before 429 (Cloud Run: instance autoscaling, exceeding the maximum).
QUEUE_SECONDS = 10.0
# Requests that may be uploaded, held or queued at once; the next gets 503, before its body is read. Chats are some
# kilobytes each; a body may be 32 MiB, and who uploads a thousand of those to their own machine need memory.
QUEUE_LIMIT = 1000
# For the whole body of a request; a client that is slower gets 408, and frees its place in the queue.
UPLOAD_SECONDS = 60.0
# To connect to a container on loopback: it listens or it does not.
CONNECT_SECONDS = 2.0
# Requests recorded; the first ones matter, for they could be early.
LOG_LIMIT = 10_000


class IngressFront:
    """The ASGI application.

    `log` holds the first requests and `asked` counts all; `waiting` and `in_flight` say what goes on now.
    """

    def __init__(self, upstream_url: str, gate: Gate, *, concurrency: int, timeout_seconds: float) -> None:
        self.log: list[RequestRecord] = []
        self.asked = 0
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
        record = self._record(scope)
        reply = Reply(send, record)
        try:
            await self._answer(scope, receive, record, reply)
        except RefusalError as refusal:
            await reply.refuse(refusal)
        except ClientLeftError:
            pass  # what it sent is not whole: nothing of it may reach the container
        finally:
            record.finished_at = time.time()

    def _record(self, scope: Scope) -> RequestRecord:
        record = RequestRecord(scope["method"], scope["path"], time.time())
        self.asked += 1
        if len(self.log) < LOG_LIMIT:
            self.log.append(record)
        return record

    async def _answer(self, scope: Scope, receive: Receive, record: RequestRecord, reply: Reply) -> None:
        if RESERVED.fullmatch(scope["path"]):
            raise RefusalError(404, "this path is reserved: Cloud Run's front answers it, not the service")
        with self._waiting():
            body = await within(UPLOAD_SECONDS, read_body(receive), 408, "the request did not arrive in time")
        await while_connected(receive, self._serve(scope, body, record, reply))

    async def _serve(self, scope: Scope, body: bytes, record: RequestRecord, reply: Reply) -> None:
        async with self._slot():
            await self._forward(self._request(scope, body, record), reply)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        if self.waiting >= QUEUE_LIMIT:
            raise RefusalError(503, "too many requests wait for this instance")
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for the gate and for one of `concurrency` slots."""
        with self._waiting():
            await within(self._timeout_seconds, self._gate.wait_open(), 503, "the instance did not start in time")
            self._refuse_unready()
            await within(QUEUE_SECONDS, self._slots.acquire(), 429, "no instance had room in time")
        self.in_flight += 1
        try:
            self._refuse_unready()  # it may have been lost while the request was queued
            yield
        finally:
            self.in_flight -= 1
            self._slots.release()

    def _refuse_unready(self) -> None:
        if not self._gate.ready:
            raise RefusalError(503, "no instance is ready: the readiness probe fails")

    async def _forward(self, request: httpx.Request, reply: Reply) -> None:
        """Pass the request on and the answer back; once an answer has begun, a fault can only cut it."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._relay(request, reply)
        except TimeoutError:
            if not reply.started:
                raise RefusalError(504, f"no answer within {self._timeout_seconds:g} s") from None
        except httpx.TransportError as error:
            if reply.started:
                return
            if isinstance(error, httpx.LocalProtocolError):
                raise RefusalError(400, f"no valid HTTP/1.1 request: {error}") from error
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

    def _request(self, scope: Scope, body: bytes, record: RequestRecord) -> httpx.Request:
        """Return the request for the container; its target goes as it came, for httpx would normalise a path."""
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        # The whole exchange is bounded by `_forward`; an answer may pause for as long as a model thinks.
        timeout = {"connect": CONNECT_SECONDS, "read": None, "write": None, "pool": None}
        return httpx.Request(
            scope["method"],
            self._upstream,
            headers=headers.for_container(scope),
            content=body,
            extensions={"timeout": timeout, "target": target, "trace": record.trace},
        )
