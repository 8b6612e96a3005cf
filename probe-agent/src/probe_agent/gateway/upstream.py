"""HTTP/1.1 to Ollama on the data path: a small client over asyncio and httptools' parser.

A general client costs several times the processor time for each token (docs/adr/0012).
One read of the socket is handed on as one piece. Nothing is decoded, followed or retried here but a kept connection
that turns out to be dead before any byte of an answer came.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import httptools

from probe_agent.errors import cause_of

# Ollama listens on this host: it accepts at once, or it is not there.
CONNECT_SECONDS = 5.0
# Read no more of an answer than this, in bytes, while the client takes nothing.
HIGH_WATER = 256 * 1024
# Idle connections kept: as many as an instance ever answers at once, and cheap on loopback.
MOST_IDLE = 256

Fields = list[tuple[bytes, bytes]]


class UpstreamError(Exception):
    """No whole answer from Ollama: `reason` says why; `started` whether a part of it had come."""

    def __init__(self, reason: str, *, started: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.started = started


class _Connection(asyncio.Protocol):
    """One connection, and the answer that comes over it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.lost: str | None = None
        self.idle = False
        self.bodyless = False
        self._paused_writing: asyncio.Future[None] | None = None
        self.begin()

    def begin(self) -> None:
        """Forget the answer before, and expect a new one."""
        self._parser = httptools.HttpResponseParser(self)
        self.fields: Fields = []
        self.status = 0
        self.head = False
        self.started = False
        self.complete = False
        self.keep = False
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._reading_paused = False
        self._waiter: asyncio.Future[None] | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 — TCP gives one
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self.idle:
            self._lose("Ollama sent what nobody had asked for")
            self.close()
            return
        self.started = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._lose(f"Ollama's answer is no HTTP: {error}")
            self.close()
            return
        if self._buffered > HIGH_WATER and not self._reading_paused and self.transport is not None:
            self._reading_paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Close with the peer."""

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits; an answer without a length ends so."""
        if self.head and not self.complete and not self._has_length():
            self.complete = True
        self._lose("the connection was closed" if error is None else cause_of(error))

    def pause_writing(self) -> None:
        """Hold the request's body back."""
        self._paused_writing = self.loop.create_future()

    def resume_writing(self) -> None:
        """Go on."""
        if self._paused_writing is not None and not self._paused_writing.done():
            self._paused_writing.set_result(None)
        self._paused_writing = None

    # httptools

    def on_message_begin(self) -> None:
        """Refuse a second answer to one request."""
        if self.complete:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header field."""
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole; interim answers (1xx) are passed over."""
        self.status = self._parser.get_status_code()
        if self.status >= 200:  # noqa: PLR2004 — below are interim answers
            self.head = True
            self.keep = self._parser.should_keep_alive() and not self.bodyless
            self.complete = self.bodyless

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._pieces.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.head:
            self.complete = True
        else:
            self.fields = []

    # the caller's side

    async def send(self, data: bytes) -> None:
        """Write, and wait while too much is unsent."""
        if self.transport is None or self.lost is not None:
            raise UpstreamError(self.lost or "not connected", started=False)
        self.transport.write(data)
        if self._paused_writing is not None:
            await self._paused_writing

    async def read_head(self) -> None:
        """Return when the answer's head is there; raises `UpstreamError`."""
        while not self.head:
            await self._wait(started=self.started)

    async def read(self) -> bytes:
        """Return what has come since the last call, b"" at the end; raises `UpstreamError`."""
        while not self._pieces:
            if self.complete:
                return b""
            await self._wait(started=True)
        piece = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if self._reading_paused and self.transport is not None:
            self._reading_paused = False
            self.transport.resume_reading()
        return piece

    def close(self) -> None:
        """Hang up: Ollama cancels the request."""
        if self.transport is not None:
            self.transport.abort()

    def _has_length(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.fields)

    async def _wait(self, *, started: bool) -> None:
        if self.lost is not None:
            raise UpstreamError(self.lost, started=started)
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _lose(self, reason: str) -> None:
        self.lost = self.lost or reason
        self.resume_writing()
        self._wake()


class Answer:
    """One answer of Ollama's, as far as it has come. Close it, or the connection is lost to others."""

    def __init__(self, connection: _Connection, upstream: "Upstream") -> None:
        self.status = connection.status
        self.fields = connection.fields
        self._connection = connection
        self._upstream = upstream

    async def read(self) -> bytes:
        """Return the next piece, b"" at the end; raises `UpstreamError`."""
        return await self._connection.read()

    def close(self) -> None:
        """Keep the connection for another request if the answer is whole; else hang up."""
        self._upstream.give_back(self._connection)


class Upstream:
    """Ollama at `host`:`port`. `retries` counts requests that were sent again on a new connection."""

    def __init__(self, host: str, port: int) -> None:
        self.retries = 0
        self._host = host
        self._port = port
        self._authority = f"{host}:{port}".encode() if ":" not in host else f"[{host}]:{port}".encode()
        self._idle: list[_Connection] = []

    async def request(self, method: str, path: bytes, fields: Fields, body: bytes) -> Answer:
        """Send a request and return its answer's head; raises `UpstreamError`. The caller bounds the time."""
        head = self._head(method, path, fields, len(body))
        while (connection := self._kept()) is not None:
            try:
                return await self._exchange(connection, head, body, bodyless=method == "HEAD")
            except UpstreamError as error:
                if error.started:
                    raise
                self.retries += 1  # it was closed while idle: nothing of an answer came
        return await self._exchange(await self._connect(), head, body, bodyless=method == "HEAD")

    async def _exchange(self, connection: _Connection, head: bytes, body: bytes, *, bodyless: bool) -> Answer:
        connection.bodyless = bodyless  # the parser would wait for the body that the length announces
        try:
            await connection.send(head + body if len(body) < HIGH_WATER else head)
            if len(body) >= HIGH_WATER:
                await connection.send(body)
            await connection.read_head()
        except BaseException:
            connection.close()
            raise
        return Answer(connection, self)

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer is whole; hang up on any other."""
        if connection.complete and connection.keep and connection.lost is None and len(self._idle) < MOST_IDLE:
            connection.begin()
            connection.idle = True
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            connection.idle = False
            if connection.lost is None:
                return connection
        return None

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(_Connection, self._host, self._port)
        except TimeoutError:
            raise UpstreamError(f"no connection within {CONNECT_SECONDS:g} s", started=False) from None
        except OSError as error:
            raise UpstreamError(cause_of(error), started=False) from error
        return connection

    def _head(self, method: str, path: bytes, fields: Sequence[tuple[bytes, bytes]], length: int) -> bytes:
        lines = [method.encode() + b" " + path + b" HTTP/1.1", b"host: " + self._authority]
        lines += [name + b": " + value for name, value in fields]
        if length or method == "POST":
            lines.append(b"content-length: %d" % length)
        return b"\r\n".join((*lines, b"\r\n"))
