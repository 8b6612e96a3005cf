"""What asks an agent in production, at production's rates: probes, a scraper, and clients that hang up."""

from __future__ import annotations

import heapq
import http.client
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from benchmarks import prober
from lab.process import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.process import Running

READY_PERIOD_SECONDS, LIVE_PERIOD_SECONDS = 5.0, 15.0
"""Of the readiness and the liveness probe in service.yaml."""
SCRAPE_PERIOD_SECONDS = 30.0
HANG_UP_PERIOD_SECONDS = 60.0
"""Nobody knows how often; a client a minute that breaks off is a bad network."""
ANSWER_SECONDS = 2.0
"""The readiness probe's timeoutSeconds, the shortest; the agent answers from memory."""
END_SECONDS = 30.0
"""For the asks that are under way at the end."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that turns a close into a reset."""


class Ask(NamedTuple):
    """Something asked each period; returns whether it was answered as it should be."""

    period_seconds: float
    of: Callable[[int], bool]


def get(port: int, path: str) -> bool:
    """Ask on a connection of its own, as probes do; return whether the answer was a 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return answer.status == http.client.OK


def hang_up(port: int) -> bool:
    """Keep a connection after one answer, ask on it again, and reset it unread; return whether the first came."""
    request = f"GET /status HTTP/1.1\r\nHost: {LOOPBACK}\r\n\r\n".encode()
    try:
        with socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(request)
            answered = connection.recv(len(prober.OK_LINE)) == prober.OK_LINE
            connection.sendall(request)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    except OSError:
        return False
    return answered


def held(process: Running, port: int, seconds: float) -> None:
    """Hold one startup probe until its 200, beside one whose client hangs up first."""
    with prober.connected(process, port) as gone:
        prober.send(gone, "/startup")
    connection = prober.connected(process, port)
    prober.passed([(connection, prober.send(connection, "/startup"))], seconds)


ASKS = (
    Ask(READY_PERIOD_SECONDS, lambda port: get(port, "/readyz")),
    Ask(LIVE_PERIOD_SECONDS, lambda port: get(port, "/livez")),
    Ask(SCRAPE_PERIOD_SECONDS, lambda port: get(port, "/metrics")),
    Ask(HANG_UP_PERIOD_SECONDS, hang_up),
)


class Asking:
    """A thread that asks the agent on `port` for as long as the context lasts; `pace` shortens every period."""

    def __init__(self, port: int, pace: float = 1.0) -> None:
        self._port = port
        self._pace = pace
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.asked = 0
        self.failed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(END_SECONDS)

    def _ask(self) -> None:
        now = time.monotonic()
        due = [(now + ask.period_seconds / self._pace, number) for number, ask in enumerate(ASKS)]
        while not self._end.wait(max(0.0, due[0][0] - time.monotonic())):
            at, number = due[0]
            self.asked += 1
            self.failed += not ASKS[number].of(self._port)
            heapq.heapreplace(due, (at + ASKS[number].period_seconds / self._pace, number))
