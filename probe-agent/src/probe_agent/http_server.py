"""The HTTP server: uvicorn without its ticks, with bounded request headers. The operators' tools use it, too."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# Of one request's line and fields together; browsers and proxies send a few KiB.
HEADER_BYTES = 32 << 10
HEADER_FIELDS = 100
BAD_REQUEST, FIELDS_TOO_LARGE = 400, 431
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Seconds from one warning about a malformed request to the next: a scanner sends thousands.
WARNING_SECONDS = 10.0


class Server(uvicorn.Server):
    """uvicorn with its own way to stop: without ticks, and with exit status 0 at SIGTERM and SIGINT.

    uvicorn wakes ten times a second to see whether it should end: more than half of an idle agent's CPU (measured).
    Without ticks the signals must be the event loop's own: Python's handlers do not wake a loop that falls asleep.
    `on_signal` is called with a signal's name before the server stops; `signals` False leaves them to the caller.
    """

    def __init__(
        self, config: uvicorn.Config, *, signals: bool = True, on_signal: Callable[[str], object] = lambda _: None
    ) -> None:
        super().__init__(config)
        self._signals = STOP_SIGNALS if signals else ()
        self._on_signal = on_signal
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Let `serve` end; from any thread, at any time."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def main_loop(self) -> None:
        """Wait for the stop."""
        await self._stopped.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at a signal; uvicorn would raise it again afterwards and die of it."""
        self._loop = loop = asyncio.get_running_loop()
        signals = self._signals if threading.current_thread() is threading.main_thread() else ()
        for each in signals:
            loop.add_signal_handler(each, self._signalled, each.name)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)

    def _signalled(self, name: str) -> None:
        if not self.should_exit:
            self._on_signal(name)
            self.stop()


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol with bounds; without them one connection could fill the memory with a header.

    A header beyond the bounds gets 431. A request without exactly one Host, or of another version than HTTP/1.0 and
    1.1, gets 400.
    """

    _refusal: tuple[int, str] | None = None
    _head_bytes = 0
    # Received since the parser last handed something over: it keeps an unfinished field.
    _unparsed_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse a field that does not end."""
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > HEADER_BYTES and not self.transport.is_closing():
            self._refusal = FIELDS_TOO_LARGE, f"A header field exceeds {HEADER_BYTES} bytes."
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one field; a chunked body's trailers count as well."""
        self._count(len(name) + len(value))
        super().on_header(name, value)
        if len(self.headers) > HEADER_FIELDS:
            self._refuse(FIELDS_TOO_LARGE, f"The header has more than {HEADER_FIELDS} fields.")

    def on_headers_complete(self) -> None:
        """Hand a request to the application, if it is one."""
        self._unparsed_bytes = 0
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if version not in {"1.0", "1.1"}:
            self._refuse(BAD_REQUEST, "This server speaks HTTP/1.1.")
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            self._refuse(BAD_REQUEST, "Exactly one Host is required.")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._unparsed_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer with the status and the reason of the refusal, and close the connection."""
        status, text = self._refusal or (BAD_REQUEST, msg)
        head = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + f"{head}{text}".encode())
        self.transport.close()

    def _count(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += size
        if self._head_bytes > HEADER_BYTES:
            self._refuse(FIELDS_TOO_LARGE, f"The header exceeds {HEADER_BYTES} bytes.")

    def _refuse(self, status: int, text: str) -> None:
        """Break off parsing: the parser passes the error on as its own, and uvicorn sends the refusal."""
        self._refusal = status, text
        raise ValueError(text)

    def _unsupported_upgrade_warning(self) -> None:
        """Answer as if no upgrade had been asked for, as HTTP allows; uvicorn would advise to install a library."""


class SeldomWarnings(logging.Filter):
    """Lets one warning through in `WARNING_SECONDS`, with the number of those left out; everything else as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record."""
        if record.levelno != logging.WARNING:
            return True
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return False
        if self._left_out:
            record.msg = f"{record.msg} ({self._left_out} more since the last such line)"
        self._next, self._left_out = now + WARNING_SECONDS, 0
        return True


logging.getLogger("uvicorn.error").addFilter(SeldomWarnings())
