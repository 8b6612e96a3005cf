"""The HTTP server: bounded headers, few warnings, and a stop from any thread."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from lab.servers import wait_until
from probe_agent.http_server import HEADER_BYTES, HEADER_FIELDS, BoundedHttp, SeldomWarnings, Server

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the number of header fields and bytes of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = json.dumps([len(scope["headers"]), size]).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def running() -> Iterator[tuple[Server, socket.socket]]:
    """A server in a thread of its own, and a connection to it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        config = uvicorn.Config(echo, http=BoundedHttp, lifespan="off", ws="none", log_config=None, access_log=False)
        server = Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(server.stop)
        client = stack.enter_context(socket.create_connection(listener.getsockname(), timeout=10))
        yield server, client


@pytest.fixture
def connection(running: tuple[Server, socket.socket]) -> socket.socket:
    """A connection to a server."""
    return running[1]


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Read one answer: its status and its body."""
    with connection.makefile("rb") as lines:
        status = int(lines.readline().split()[1])
        size = 0
        while line := lines.readline().strip():
            name, _, value = line.lower().partition(b":")
            size = int(value) if name == b"content-length" else size
        return status, lines.read(size)


def test_a_large_body_is_no_large_header(connection: socket.socket) -> None:
    """Only the header is bounded: a body of many times its size arrives, chunked or not, on one connection."""
    size = 20 * HEADER_BYTES
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
    assert answer_of(connection) == (200, f"[2, {size}]".encode())
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n")
    assert answer_of(connection) == (200, f"[2, {size}]".encode())


def test_a_header_within_the_bounds_is_taken(connection: socket.socket) -> None:
    """A hundred fields, or thirty KiB, in small pieces."""
    connection.sendall(HEAD + b"a: b\r\n" * (HEADER_FIELDS - 1) + b"\r\n")
    assert answer_of(connection) == (200, b"[100, 0]")
    connection.sendall(HEAD)
    for _ in range(30):
        connection.sendall(b"a: %s\r\n" % (b"x" * 1000))
    connection.sendall(b"\r\n")
    assert answer_of(connection) == (200, b"[31, 0]")


@pytest.mark.parametrize(
    "header",
    [
        HEAD + b"a: b\r\n" * HEADER_FIELDS + b"\r\n",
        HEAD + b"a: %s\r\n\r\n" % (b"x" * HEADER_BYTES),
        HEAD + b"a: %s\r\n" % (b"x" * 1000) * (HEADER_BYTES // 1000 + 1) + b"\r\n",
        b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * HEADER_BYTES),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * HEADER_FIELDS + b"\r\n",
    ],
    ids=["fields", "one field", "many fields", "target", "trailers"],
)
def test_a_header_beyond_the_bounds_is_refused(connection: socket.socket, header: bytes) -> None:
    """More fields or bytes than the bounds get 431, and the connection is closed."""
    connection.sendall(header)
    status, _ = answer_of(connection)
    assert status == 431
    assert connection.recv(1) == b""


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\na: ", b"GET /", HEAD + b"a", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\na: "]
)
def test_a_header_that_does_not_end_is_refused(connection: socket.socket, start: bytes) -> None:
    """Regression: the parser kept everything of a field that does not end, 242 MiB in a minute."""
    connection.sendall(start)
    sent = 0
    with suppress(ConnectionError):
        while sent < 64 << 20:
            sent += connection.send(b"x" * 8192)
    assert sent < 16 << 20  # what the kernel's buffers hold beyond the bound


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_gets_400(connection: socket.socket, request_: bytes, status: int) -> None:
    """HTTP/1.1 needs exactly one Host; other versions than 1.0 and 1.1 are not spoken."""
    connection.sendall(request_)
    assert answer_of(connection)[0] == status


def test_an_upgrade_is_answered_as_a_plain_request(connection: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is advised to install a WebSocket library."""
    connection.sendall(HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert answer_of(connection)[0] == 200
    assert "install" not in caplog.text


def test_malformed_requests_are_logged_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: each one was a WARNING, thousands from a scanner; the next line has the number left out."""
    seldom = SeldomWarnings()
    told = [seldom.filter(record := logging.makeLogRecord({"levelno": logging.WARNING, "msg": "bad"})) for _ in "123"]
    assert told == [True, False, False]
    assert seldom.filter(logging.makeLogRecord({"levelno": logging.ERROR}))
    seldom._next = 0
    assert seldom.filter(record)
    assert record.msg == "bad (2 more since the last such line)"
    assert any(isinstance(each, SeldomWarnings) for each in logging.getLogger("uvicorn.error").filters)


def test_a_server_stopped_before_it_serves_ends(running: tuple[Server, socket.socket]) -> None:
    """A stop may come before the event loop runs, and twice."""
    config = uvicorn.Config(echo, lifespan="off", log_config=None)
    early = Server(config)
    early.stop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=early.run, args=([listener],))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    running[0].stop()
    wait_until(lambda: running[1].recv(1) == b"", what="the closed connection")
