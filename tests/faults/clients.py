"""Steady clients of one instance, each behind a gate of its own: readiness, or the open port that a TCP probe sees."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.faults.watched import ANSWER_SECONDS, ask
from tests.servers import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE_SECONDS = 1.0
"""Between two probes: the least that Cloud Run allows for a readiness probe."""
CLIENT_SECONDS = 0.2
"""Between two requests of one client."""
PATIENCE_SECONDS = 3.0
"""Of a client: a short answer of a loaded model takes far less, a cold load as long or longer."""
MOST_AT_ONCE = 64
"""Requests under way: two clients, five a second, three seconds each, and room."""


class Probed(NamedTuple):
    """What one round of probes saw, at an instant of `time.monotonic`."""

    at: float
    ready: bool
    live: bool
    open: bool


class Gates:
    """Probes readiness, liveness and the server's port each second, as long as the block."""

    def __init__(self, agent_port: int, server_port: int) -> None:
        self.seen: list[Probed] = [Probed(time.monotonic(), ready=False, live=True, open=False)]
        self._agent, self._server = agent_port, server_port
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
        with ThreadPoolExecutor(3) as pool:
            while not self._end.is_set():
                at = time.monotonic()
                ready = pool.submit(ask, self._agent, "/readyz", ANSWER_SECONDS)
                live = pool.submit(ask, self._agent, "/livez", ANSWER_SECONDS)
                is_open = pool.submit(_connects, self._server)
                self.seen.append(Probed(at, ready.result()[0] == 200, live.result()[0] == 200, is_open.result()))
                self._end.wait(max(0.0, at + PROBE_SECONDS - time.monotonic()))


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
    fates: dict[int, bool] = field(default_factory=dict)
    """By the number of the tick: whether a request of it was served; none for one that was held back."""

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

    def _run(self) -> None:
        while not self._end.wait(CLIENT_SECONDS):
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
