"""One request and its answer at the front, and what is recorded of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

T = TypeVar("T")

# Cloud Run's limit for an HTTP/1 request; larger ones get 413.
REQUEST_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class RequestRecord:
    """One request at the front. Wall-clock seconds; None: not reached.

    `forwarded_at` is the instant at which the container, connected, is sent the request; `answered_at` that of
    the first part of a body.
    """

    method: str
    path: str
    arrived_at: float
    forwarded_at: float | None = None
    answered_at: float | None = None
    finished_at: float | None = None
    status: int | None = None

    async def trace(self, event: str, _: object) -> None:
        """Note when the request goes out, as the connection tells it (httpx's `trace` extension)."""
        if event.endswith(".send_request_headers.started"):
            self.forwarded_at = time.time()


class RefusalError(Exception):
    """The front answers itself, with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class ClientLeftError(Exception):
    """The client hung up: there is nobody to answer."""


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
        self._record.answered_at = self._record.answered_at or time.time()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        """Say that the body is complete."""
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: RefusalError) -> None:
        """Send the front's own answer."""
        body = f"{refusal.status} {HTTPStatus(refusal.status).phrase}: {refusal.text}\n".encode()
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await self.start(refusal.status, fields)
        await self._send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    """Return the whole body.

    Raises:
        RefusalError: it is too large.
        ClientLeftError: the client hung up before its end.

    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeftError
        body += message.get("body", b"")
        if len(body) > REQUEST_BYTES:
            raise RefusalError(413, f"the request is larger than {REQUEST_BYTES} bytes")
        if not message.get("more_body", False):
            return bytes(body)


async def while_connected(receive: Receive, answering: Coroutine[Any, Any, None]) -> None:
    """Answer a client whose request is complete; when it leaves, the answering is cancelled."""
    task = asyncio.create_task(answering)
    leaving = asyncio.create_task(_client_left(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        leaving.cancel()
        await asyncio.wait({task, leaving})
    if not task.cancelled():
        task.result()


async def within(seconds: float, what: Coroutine[Any, Any, T], status: int, text: str) -> T:
    """Wait for something for so long; then refuse.

    Raises:
        RefusalError: it took longer.

    """
    try:
        async with asyncio.timeout(seconds):
            return await what
    except TimeoutError:
        raise RefusalError(status, f"{text} ({seconds:g} s)") from None


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
