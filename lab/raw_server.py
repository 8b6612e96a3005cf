"""A server whose answers a test writes byte by byte: what breaks a client is below HTTP's libraries."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class RawRequest:
    """One request as it came: its first line, its header fields by lower-case name, its body."""

    line: str
    fields: dict[str, str]
    body: bytes
    connection: int


Script = Callable[[RawRequest, socket.socket], object]


@dataclass
class RawServer:
    """Answers each request by `script`, which may close the socket. Use it as a context; `port` is where it listens."""

    script: Script
    requests: list[RawRequest] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    connections: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as file:
            while line := file.readline():
                fields = dict[str, str]()
                while (text := file.readline().strip()) != b"":
                    name, _, value = text.decode().partition(":")
                    fields[name.lower()] = value.strip()
                request = RawRequest(
                    line.decode().strip(), fields, file.read(int(fields.get("content-length", "0"))), number
                )
                self.requests.append(request)
                self.script(request, connection)
        self.gone.set()


def answer(
    body: bytes, *, status: int = 200, kind: str = "application/json", fields: str = ""
) -> Callable[[RawRequest, socket.socket], None]:
    """Return a script that sends a whole answer."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode()
    return lambda _, connection: connection.sendall(head + body)


def chunk(data: bytes) -> bytes:
    """Return a piece of a chunked body; of nothing, its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
NDJSON, SSE = b"application/x-ndjson", b"text/event-stream"
