"""The wire itself: each fault is what its name says, and a mended wire carries everything."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.faults.proxy import Wire, WireFault
from lab.servers import LOOPBACK, NO_TLS, LoopbackServer, free_port


async def echo(request: Request) -> JSONResponse:
    """Answer with what was sent."""
    return JSONResponse({"sent": (await request.body()).decode()})


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A wire to a server that answers."""
    server = LoopbackServer(Starlette(routes=[Route("/echo", echo, methods=["POST"])]))
    with server, Wire(server.port) as between:
        yield between


def post(wire: Wire) -> httpx.Response:
    """Ask through the wire."""
    return httpx.post(f"{wire.url}/echo", content="words", timeout=0.5, verify=NO_TLS)


def test_a_wire_carries(wire: Wire) -> None:
    """Without a fault question and answer pass whole."""
    assert post(wire).json() == {"sent": "words"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (WireFault.REFUSE, httpx.ConnectError),
        (WireFault.RESET, httpx.ReadError),
        (WireFault.HANG, httpx.ReadTimeout),
        (WireFault.TRUNCATED, httpx.RemoteProtocolError),
    ],
)
def test_what_breaks_an_exchange_breaks_it_until_it_is_mended(
    wire: Wire, fault: WireFault, error: type[Exception]
) -> None:
    """The client meets the error that the fault is named for, and none after it."""
    wire.break_by(fault)
    with pytest.raises(error):
        post(wire)
    wire.mend()
    assert post(wire).json() == {"sent": "words"}


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (WireFault.CLIENT_ERROR, 403, "injected"),
        (WireFault.SERVER_ERROR, 503, "injected"),
        (WireFault.NOT_JSON, 200, "<"),
    ],
)
def test_what_answers_in_place_of_the_server_answers(wire: Wire, fault: WireFault, status: int, words: str) -> None:
    """A status of its own, or a page of its own."""
    wire.break_by(fault)
    answer = post(wire)
    assert answer.status_code == status
    assert words in answer.text


@pytest.mark.parametrize(
    ("fault", "least", "most"), [(WireFault.SLOW_BYTES, 1, 20), (WireFault.HUGE, 1 << 20, 1 << 40)]
)
def test_slow_and_huge_answers_come_bit_by_bit(wire: Wire, fault: WireFault, least: int, most: int) -> None:
    """Slow is a few bytes in half a second; huge goes on for as long as one reads."""
    wire.break_by(fault)
    with socket.create_connection(("127.0.0.1", wire.port), timeout=5) as raw:
        raw.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        read = 0
        raw.settimeout(0.5)
        while read < least:
            read += len(raw.recv(1 << 16))
    assert least <= read < most


def test_what_is_under_way_breaks_too(wire: Wire) -> None:
    """A fault that comes while an answer is held back hits that exchange."""
    wire.hold("/echo")
    with socket.create_connection(("127.0.0.1", wire.port), timeout=5) as raw:
        raw.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        raw.settimeout(0.1)
        with pytest.raises(TimeoutError):
            raw.recv(1)
        wire.break_by(WireFault.SERVER_ERROR)
        raw.settimeout(5)
        assert raw.recv(12) == b"HTTP/1.1 503"


def test_a_wire_that_ends_leaves_no_connection_behind() -> None:
    """Those that come in its last moment are closed too; the collector would warn of one that is not."""
    for _ in range(20):
        with contextlib.ExitStack() as crowd, Wire(free_port()) as wire:
            for _ in range(3):
                raw = crowd.enter_context(socket.socket())
                raw.setblocking(False)
                raw.connect_ex((LOOPBACK, wire.port))
    gc.collect()
