"""A prober with a clock: plain sockets, so that no client's own work is in the figures."""

from __future__ import annotations

import selectors
import socket
import time
from typing import NamedTuple

from lab.process import LOOPBACK, Running

# For an agent to listen; on an idle machine it takes half a second.
START_SECONDS = 20.0
OK_LINE = b"HTTP/1.1 200"


class Answered(NamedTuple):
    """One probe: when it was sent, and when the first bytes of its answer were there."""

    sent: float
    at: float


def connected(process: Running, port: int) -> socket.socket:
    """Return a connection to `port`, tried each millisecond until the process listens."""
    return process.until(lambda: _try(port), START_SECONDS, "open port")


def _try(port: int) -> socket.socket | None:
    try:
        return socket.create_connection((LOOPBACK, port), timeout=START_SECONDS)
    except ConnectionRefusedError:
        return None


def send(connection: socket.socket, path: str) -> float:
    """Send one GET; return the instant before."""
    sent = time.monotonic()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
    return sent


def passed(connections: list[tuple[socket.socket, float]], seconds: float) -> list[Answered]:
    """Wait for the 200 of every probe sent; RuntimeError on another answer, or after `seconds`."""
    found = []
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for connection, sent in connections:
            selector.register(connection, selectors.EVENT_READ, sent)
        while selector.get_map():
            events = selector.select(max(0.0, deadline - time.monotonic()))
            at = time.monotonic()
            if not events:
                raise RuntimeError(f"{len(selector.get_map())} probes got no answer within {seconds:g} s")
            for key, _ in events:
                selector.unregister(key.fileobj)
                found.append(Answered(key.data, at))
                _expect_ok(key.fileobj)
    return found


def _expect_ok(connection: object) -> None:
    if isinstance(connection, socket.socket):
        with connection:
            answer = connection.recv(len(OK_LINE))
        if answer != OK_LINE:
            raise RuntimeError(f"a probe was answered {answer!r} instead of 200")


def first_answer(process: Running, port: int, path: str) -> float:
    """Return the instant of a process's first answer to a probe that is asked as early as possible."""
    connection = connected(process, port)
    return passed([(connection, send(connection, path))], START_SECONDS)[0].at
