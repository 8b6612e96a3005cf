"""Steady clients of one instance, each behind a gate of its own: readiness, or the open port that a TCP probe sees."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from lab.faults.pace import Gate
from lab.faults.verdict import PROBE_SECONDS, Probed
from lab.faults.watched import ANSWER_SECONDS, ask
from lab.servers import LOOPBACK

# Between two requests of one client.
CLIENT_SECONDS = 0.2
# Of a client: a short answer of a loaded model takes far less, a cold load as long or longer.
PATIENCE_SECONDS = 3.0
# Rounds are not quite a second apart: the one nearest to a period's end is the probe of that period.
EARLY_SECONDS = 0.5 * PROBE_SECONDS
# Requests under way: two clients, five a second, three seconds each, and room.
MOST_AT_ONCE = 64


class Threshold:
    """What Cloud Run makes of a readiness probe: it falls, and rises, after so many answers in a row that say so."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._due = 0.0
        self._against = 0
        self.open = False

    def take(self, at: float, *, ready: bool) -> bool:
        """Hear of a round of probes; return whether requests are let in. What comes within a period is not asked."""
        if at < self._due:
            return self.open
        self._due = at + self._gate.period - EARLY_SECONDS
        self._against = 0 if ready is self.open else self._against + 1
        if self._against >= (self._gate.failure_threshold if self.open else self._gate.success_threshold):
            self.open, self._against = ready, 0
        return self.open


class Gates:
    """Probes readiness, liveness and the server's port each second, as long as the block; readiness and port by `gate`.

    `control` is the port of a server that always answers: how long it takes is what this machine makes probes late by.
    """

    def __init__(self, gate: Gate, agent: int, server: int, control: int) -> None:
        self.seen: list[Probed] = [Probed(time.monotonic(), ready=False, live=True, open=False, let_in=False)]
        self._gate, self._agent, self._server, self._control = gate, agent, server, control
        self._readiness, self._tcp = Threshold(gate), Threshold(gate)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5 * ANSWER_SECONDS)

    @property
    def now(self) -> Probed:
        """The last round."""
        return self.seen[-1]

    def _run(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            while not self._end.is_set():
                at = time.monotonic()
                asked = pool.submit(ask, self._agent, self._gate.path, self._gate.timeout)
                lives = pool.submit(ask, self._agent, "/livez", ANSWER_SECONDS)
                connects = pool.submit(_connects, self._server)
                delay = pool.submit(_seconds_of, self._control)
                ready, live = asked.result()[0] == 200, lives.result()[0] == 200
                let_in = self._readiness.take(at, ready=ready)
                is_open = self._tcp.take(at, ready=connects.result())
                self.seen.append(Probed(at, ready, live, is_open, let_in, delay.result()))
                self._end.wait(max(0.0, at + PROBE_SECONDS - time.monotonic()))


def _seconds_of(port: int) -> float:
    began = time.monotonic()
    ask(port, "/", ANSWER_SECONDS)
    return time.monotonic() - began


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS).close()
        return True
    return False


@dataclass(slots=True)
class Client:
    """One client: what it asked, and what came of it. `may_ask` is its gate."""

    may_ask: Callable[[], bool]
    sent: int = 0
    served: int = 0
    held_back: int = 0
    # By the number of the tick: whether a request of it was served; none for one that was held back.
    fates: dict[int, bool] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Requests that got no answer, a wrong one, or none in time."""
        return self.sent - self.served

    @property
    def asked(self) -> int:
        """Requests that were wished for, held back or not."""
        return self.sent + self.held_back


class Clients:
    """Several clients that ask side by side, each tick all of them, as long as the block."""

    def __init__(self, clients: list[Client], request: Callable[[], bool]) -> None:
        self.clients = clients
        self.ticks = 0
        self._request = request
        self._still = threading.Event()
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(CLIENT_SECONDS + 1)
        self._pool.shutdown()

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Let nobody ask, as long as the block; what is under way goes on."""
        self._still.set()
        try:
            yield
        finally:
            self._still.clear()

    def _run(self) -> None:
        while not self._end.wait(CLIENT_SECONDS):
            if self._still.is_set():
                continue
            self.ticks += 1
            for client in self.clients:
                if client.may_ask():
                    self._pool.submit(self._ask, client, self.ticks)
                else:
                    client.held_back += 1

    def _ask(self, client: Client, tick: int) -> None:
        served = self._request()
        with self._lock:
            client.sent += 1
            client.served += served
            client.fates[tick] = served
