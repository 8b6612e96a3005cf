"""Wrong answers on demand: what a broken, overloaded or half-dead server may do to its client.

server.faults.on("/api/ps", Status(500, "boom"))     # from now on
server.faults.on("/api/generate", Reset(), times=2)  # the next two requests only
server.faults.on("*", Hang())                        # every path without a fault of its own
server.faults.clear()                                # requests that hang are then answered
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOK_SECONDS = 0.005


class Fault(Protocol):
    """One way to answer a request wrongly."""

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in place of `app`, or around it."""


@dataclass(frozen=True)
class Status:
    """A status and a body; the body is sent as it is."""

    status: int
    body: str = '{"error":"injected"}'
    content_type: str = "application/json; charset=utf-8"

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once."""
        del app, scope, receive
        body = self.body.encode()
        await send(_head(self.status, self.content_type, len(body)))
        await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class NotJson:
    """Status 200 and a page of HTML, as a proxy in between may answer."""

    body: str = "<html><body>Bad Gateway</body></html>"

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once."""
        await Status(200, self.body, "text/html").answer(app, scope, receive, send)


@dataclass(frozen=True)
class Truncate:
    """Status 200, the first bytes of JSON, and the connection closed before the promised length."""

    body: str = '{"models":[{"na'
    claimed_bytes: int = 4096

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once, then close."""
        del app, scope
        await send(_head(200, "application/json", self.claimed_bytes))
        await send({"type": "http.response.body", "body": self.body.encode(), "more_body": True})
        _transport(send).close()
        await _gone(receive)


@dataclass(frozen=True)
class Reset:
    """The connection is reset without a byte of an answer."""

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset at once."""
        del app, scope
        _transport(send).abort()
        await _gone(receive)


class Hang:
    """No answer until the fault is cleared or the client goes away; then the true answer."""

    def __init__(self) -> None:
        self.released = False

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait; a client that hangs up meanwhile is forgotten."""
        read: list[Message] = []
        hangup = asyncio.ensure_future(_gone(receive, read))
        try:
            while not self.released and not hangup.done():  # noqa: ASYNC110 -- an event belongs to one loop
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            hangup.cancel()
            await asyncio.wait([hangup])

        async def again() -> Message:
            return read.pop(0) if read else await receive()

        if self.released:
            await app(scope, again, send)


@dataclass(frozen=True)
class SlowBytes:
    """The true answer, a few bytes at a time."""

    bytes_per_second: float

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through `app`, slowly."""

        async def slowly(message: Message) -> None:
            body = message.get("body", b"")
            for index in range(len(body)):
                await asyncio.sleep(1 / self.bytes_per_second)
                await send({"type": "http.response.body", "body": body[index : index + 1], "more_body": True})
            await send({**message, "body": b""} if body else message)

        await app(scope, receive, slowly)


class Faults:
    """Which faults are on; may be changed from any thread while the server runs."""

    def __init__(self) -> None:
        self._on: dict[str, tuple[Fault, int | None]] = {}
        self._hanging: list[Hang] = []

    def on(self, path: str, fault: Fault, *, times: int | None = None) -> None:
        """Answer requests for `path` ("*": for every path) with `fault`, the next `times` of them or all."""
        self._on[path] = (fault, times)
        if isinstance(fault, Hang):
            self._hanging.append(fault)

    def clear(self) -> None:
        """Answer everything truly again, what hangs included."""
        self._on.clear()
        for hang in self._hanging:
            hang.released = True
        self._hanging.clear()

    def take(self, path: str) -> Fault | None:
        """Return the fault for one request, counted; None for a true answer."""
        key = path if path in self._on else "*"
        fault, times = self._on.get(key, (None, None))
        if times == 1:
            del self._on[key]
        elif fault is not None and times is not None:
            self._on[key] = (fault, times - 1)
        return fault


def _head(status: int, content_type: str, length: int) -> Message:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(length).encode())]
    return {"type": "http.response.start", "status": status, "headers": headers}


def _transport(send: Send) -> Any:
    # ASGI has no way to break a connection. uvicorn's `send` is a method of the object that owns it.
    return send.__self__.transport  # type: ignore[attr-defined]


async def _gone(receive: Receive, read: list[Message] | None = None) -> None:
    """Return when the client has hung up; the messages before that go to `read`, for who wants them still."""
    while (message := await receive())["type"] != "http.disconnect":
        if read is not None:
            read.append(message)
