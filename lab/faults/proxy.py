"""The wire between the agent and a server, as a small HTTP/1.1 proxy on loopback that breaks in every way on demand.

wire.hold("/api/tags")        # answers to this path are kept back: the agent stays in the state that waits for them
wire.break_by(WireFault.HANG)  # every exchange under way, and every one to come
wire.mend()                    # what was kept back is then answered truly

The same faults work against the stand-in, a real Ollama and a bucket, because they know nothing of these.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, NamedTuple, Self

from lab.servers import LOOPBACK, free_port

# Time for the proxy's thread to act: milliseconds, more on a busy machine.
CALL_SECONDS = 10.0
# Between two bytes: an answer of Ollama's takes a quarter of a minute then.
DRIP_SECONDS = 0.1
# Of the endless answer, so much is really sent: far more than an agent may keep.
HUGE_BYTES = 256 << 20
# Of the event loop, from an accepted connection to `_connected`.
ACCEPTING_TURNS = 3
PIECE = b"x" * (1 << 20)
CUT_NOW = struct.pack("ii", 1, 0)  # SO_LINGER for no time at all: the kernel then resets instead of closing
HTML = b"<html><body>Bad Gateway</body></html>"
JSON_BEGUN = b'{"models":[{"na'


class WireFault(StrEnum):
    """What the wire does instead of carrying an exchange."""

    REFUSE = "refuse"
    RESET = "reset"
    HANG = "hang"
    SLOW_BYTES = "slow bytes"
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"
    TRUNCATED = "truncated body"
    NOT_JSON = "non-JSON"
    HUGE = "huge body"


def _answer(status: str, kind: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


ANSWERS = {
    WireFault.CLIENT_ERROR: _answer("403 Forbidden", "application/json", b'{"error":"injected"}'),
    WireFault.SERVER_ERROR: _answer("503 Service Unavailable", "application/json", b'{"error":"injected"}'),
    WireFault.TRUNCATED: _answer("200 OK", "application/json", JSON_BEGUN, 4096),
    WireFault.NOT_JSON: _answer("200 OK", "text/html", HTML),
    WireFault.HUGE: _answer("200 OK", "application/json", JSON_BEGUN, 1 << 40),
}


class _Request(NamedTuple):
    path: str
    content: bytes


class _GoneError(Exception):
    """The client hung up."""


class Wire:
    """Listens on `port`, forwards to `upstream` on loopback; everything public may be called from any thread."""

    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.upstream = upstream
        self._held = ""
        self._fault: WireFault | None = None
        self._changed = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    def hold(self, path: str) -> None:
        """Keep back the answers to requests whose path holds this text; "" lets them go."""
        self._call(self._set(path, self._fault))

    def break_by(self, fault: WireFault | None) -> None:
        """Break every exchange under way, and those to come; None carries them again, what hangs included."""
        self._call(self._set(self._held, fault))

    def mend(self) -> None:
        """Neither fault nor hold."""
        self._call(self._set("", None))

    def _call(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    async def _set(self, held: str, fault: WireFault | None) -> None:
        before, self._held, self._fault = self._fault, held, fault
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if fault is WireFault.REFUSE:
            await self._refuse()
        elif before is WireFault.REFUSE:
            await self._listen()

    async def _listen(self) -> None:
        async with asyncio.timeout(CALL_SECONDS / 2):
            while self._server is None:
                # While it was closed, somebody's connection may have been given the port as its own end.
                with contextlib.suppress(OSError):
                    self._server = await asyncio.start_server(self._connected, LOOPBACK, self.port, backlog=512)
                await asyncio.sleep(0.01)

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            # A closed asyncio.Server leaks what it has just accepted: accept no more, take that in, and then close.
            for each in server.sockets:
                self._loop.remove_reader(each.fileno())
            for _ in range(ACCEPTING_TURNS):
                await asyncio.sleep(0)
            server.close()
        for writer in list(self._open):
            _reset(writer)

    async def _end(self) -> None:
        await self._refuse()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # a closed transport lets go of its socket one turn later

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Own the connection from its first moment: a task may be cancelled before it has begun."""
        self._open.add(writer)
        task = self._loop.create_task(self._serve(reader, writer))
        task.add_done_callback(lambda _: self._closed(writer))

    def _closed(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, _GoneError, asyncio.CancelledError):
            await self._exchange(await _request(reader), reader, writer)

    async def _exchange(self, request: _Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request by what holds at each moment until the answer is out."""
        gone = asyncio.ensure_future(reader.read(1))
        upstream: asyncio.Task[bytes] | None = None
        try:
            while True:
                fault, changed = self._fault, self._changed
                if fault in ANSWERS:
                    return await self._lie(fault, writer, changed)
                if fault in (WireFault.REFUSE, WireFault.RESET):  # the former: accepted just before it fell
                    return _reset(writer)
                waiting: list[asyncio.Future[bytes]] = [gone]
                if fault in (None, WireFault.SLOW_BYTES):
                    upstream = upstream or asyncio.ensure_future(self._forward(request))
                    held = self._held and self._held in request.path
                    waiting += [] if held else [upstream]
                if await _first(waiting, changed):
                    continue
                if gone.done():
                    raise _GoneError
                assert upstream is not None
                return await self._relay(upstream, writer)
        finally:
            for task in (gone, upstream):
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

    async def _forward(self, request: _Request) -> bytes:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.upstream)
        try:
            writer.write(request.content)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    async def _relay(self, upstream: asyncio.Task[bytes], writer: asyncio.StreamWriter) -> None:
        try:
            answer = upstream.result()
        except OSError:
            answer = b""
        if not answer:  # nobody listens there, or it broke off: so does the wire
            return _reset(writer)
        head, _, rest = answer.partition(b"\r\n")
        answer = head + b"\r\nConnection: close\r\n" + rest
        place = 0
        while place < len(answer):
            fault, changed = self._fault, self._changed
            if fault is None:
                writer.write(answer[place:])
                place = len(answer)
            elif fault is WireFault.SLOW_BYTES:
                writer.write(answer[place : place + 1])
                place += 1
                await _pause(changed, DRIP_SECONDS)
            else:
                return _reset(writer)
            await writer.drain()
        return None

    async def _lie(self, fault: WireFault, writer: asyncio.StreamWriter, changed: asyncio.Event) -> None:
        writer.write(ANSWERS[fault])
        await writer.drain()
        if fault is WireFault.HUGE:
            sent = 0
            while sent < HUGE_BYTES and not changed.is_set():
                writer.write(PIECE)
                sent += len(PIECE)
                await writer.drain()
            await changed.wait()


async def _request(reader: asyncio.StreamReader) -> _Request:
    """Read one request, and let it ask for a connection of its own."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    length = next((int(field[15:]) for field in fields if field.lower().startswith("content-length:")), 0)
    body = await reader.readexactly(length)
    kept = [field for field in fields if not field.lower().startswith("connection:")]
    text = "\r\n".join([first, *kept, "Connection: close", "", ""])
    return _Request(first.split(" ")[1], text.encode("latin-1") + body)


async def _first(waiting: list[asyncio.Future[bytes]], changed: asyncio.Event) -> bool:
    """Wait for one of them, or for a change; return whether only the change came."""
    change = asyncio.ensure_future(changed.wait())
    try:
        both: list[asyncio.Future[Any]] = [*waiting, change]
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
    return not any(each in done for each in waiting)


async def _pause(changed: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(changed.wait(), seconds)


def _reset(writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CUT_NOW)
    transport.abort()
