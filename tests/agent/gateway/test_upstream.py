"""The client to Ollama, against a server whose answers are written byte by byte."""

import asyncio
import socket
import threading

import pytest

from lab.raw_server import RawRequest, RawServer, Script, answer, chunk
from lab.servers import closed_port
from probe_agent.gateway import upstream as module
from probe_agent.gateway.upstream import Upstream, UpstreamError

OK = answer(b"whole")


async def ask(upstream: Upstream, body: bytes = b"", *, method: str = "POST") -> bytes:
    """Return the whole body of one answer."""
    reply = await upstream.request(method, b"/", [], body)
    try:
        pieces = []
        while piece := await reply.read():
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        reply.close()


def asked(script: Script, *bodies: bytes, method: str = "POST") -> tuple[list[bytes], RawServer, Upstream]:
    """Return the answers to some requests, one after the other."""

    async def run(upstream: Upstream) -> list[bytes]:
        found = [await ask(upstream, body, method=method) for body in bodies]
        upstream.close()
        return found

    with RawServer(script) as server:
        upstream = Upstream("127.0.0.1", server.port)
        return asyncio.run(run(upstream)), server, upstream


def test_a_whole_answer_leaves_its_connection_for_the_next() -> None:
    """Three requests go over one connection."""
    found, server, _ = asked(OK, b"", b"", b"")
    assert found == [b"whole"] * 3
    assert server.connections == 1


def test_head_does_not_wait_for_the_body_that_the_length_announces() -> None:
    """Regression: HEAD hung until the deadline."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    found, _, _ = asked(lambda _, connection: connection.sendall(head), b"", b"", method="HEAD")
    assert found == [b"", b""]


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    """As HTTP/1.0 does it."""

    def script(_: RawRequest, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nto the end")
        connection.shutdown(socket.SHUT_RDWR)

    assert asked(script, b"")[0] == [b"to the end"]


def test_interim_answers_are_passed_over() -> None:
    """A 100 and a 103 come before the answer."""

    def script(request: RawRequest, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
        OK(request, connection)

    assert asked(script, b"")[0] == [b"whole"]


@pytest.mark.parametrize("size", [10, 600_000, 20_000_000])
def test_a_body_of_any_size_arrives(size: int) -> None:
    """A large body waits until the server takes it."""
    found, server, _ = asked(OK, b"x" * size)
    assert found == [b"whole"]
    assert len(server.requests[0].body) == size


def test_a_large_answer_arrives_whole() -> None:
    """Reading pauses while the caller takes nothing, and goes on."""
    assert len(asked(answer(b"x" * 9_000_000), b"")[0][0]) == 9_000_000


def test_two_answers_to_one_request_are_not_mixed() -> None:
    """Regression: a second answer waited for the next request, as if it were its own."""

    def script(_: RawRequest, connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwholeHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        )

    assert asked(script, *[b""] * 20)[0] == [b"whole"] * 20


def test_what_comes_over_an_idle_connection_ends_it() -> None:
    """Nobody asked for it: the next request gets a connection of its own."""
    late = threading.Event()

    def script(request: RawRequest, connection: socket.socket) -> None:
        OK(request, connection)
        late.wait(5)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    async def run(upstream: Upstream, server: RawServer) -> bytes:
        await ask(upstream)
        late.set()
        await asyncio.to_thread(server.gone.wait, 5)
        return await ask(upstream)

    with RawServer(script) as server:
        upstream = Upstream("127.0.0.1", server.port)
        assert asyncio.run(run(upstream, server)) == b"whole"
        assert server.connections == 2


def test_a_kept_connection_that_dies_on_use_is_tried_again() -> None:
    """Only while nothing of the answer came; it is counted."""

    def script(request: RawRequest, connection: socket.socket) -> None:
        if request.connection == 1 and request.body:
            connection.shutdown(socket.SHUT_RDWR)
        else:
            OK(request, connection)

    found, _, upstream = asked(script, b"", b"second")
    assert found == [b"whole"] * 2
    assert upstream.retries == 1


@pytest.mark.parametrize(
    "sent", [b"HTTP/1.1 200 OK\r\nA: b\r\n", b"HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"]
)
def test_half_an_answer_is_never_tried_again(sent: bytes) -> None:
    """Ollama may have begun to work on it."""

    def script(request: RawRequest, connection: socket.socket) -> None:
        if request.body:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_RDWR)
        else:
            OK(request, connection)

    with pytest.raises(UpstreamError):
        asked(script, b"", b"second")


def test_nobody_listens() -> None:
    """The reason says so."""
    with closed_port() as port, pytest.raises(UpstreamError):
        asyncio.run(ask(Upstream("127.0.0.1", port)))


def test_a_connection_that_is_not_accepted_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for it is bounded."""
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.0)
    with RawServer(OK) as server, pytest.raises(UpstreamError, match="no connection within 0 s"):
        asyncio.run(ask(Upstream("127.0.0.1", server.port)))


def test_chunks_that_come_in_one_read_keep_their_order() -> None:
    """Regression: they were joined backwards."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = chunk(b"one ") + chunk(b"two ") + chunk(b"three") + chunk(b"")
    assert asked(lambda _, connection: connection.sendall(head + body), b"")[0] == [b"one two three"]
