"""The agent under faults: a real process with the shim inside, and a witness of all that its probes say."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from lab.agent import AgentProcess
from lab.faults.cells import Sample
from lab.servers import LOOPBACK
from probe_agent.readiness.states import ReadinessState

SHIM = Path(__file__).with_name("shim")
CHECKS = ("/readyz", "/livez", "/startupz")
CHECKS_TOTAL = re.compile(r"^probe_agent_checks_total (\S+)", re.MULTILINE)
FALL = f"{ReadinessState.READY} -> "
# For one probe: what Cloud Run gives one where nothing is set (timeoutSeconds).
ANSWER_SECONDS = 1.0
# Between two rounds of probes: often enough to see every state, seldom enough for many cells at once.
PAUSE_SECONDS = 0.08


def ask(
    port: int, path: str, timeout: float, body: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any]] | tuple[None, dict[str, Any]]:
    """Send one request for JSON over a connection of its own; (None, {}) when no whole answer comes in time."""
    status, text = _exchange(port, path, timeout, None if body is None else json.dumps(body))
    try:
        return (None, {}) if status is None else (status, json.loads(text or "{}"))
    except ValueError:
        return None, {}


def ask_text(port: int, path: str, timeout: float) -> str:
    """Get a text over a connection of its own; empty when no whole answer comes in time."""
    return _exchange(port, path, timeout, None)[1]


def _exchange(port: int, path: str, timeout: float, sent: str | None) -> tuple[int | None, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout)
    try:
        connection.request("GET" if sent is None else "POST", path, sent, {"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


class WatchedAgent(AgentProcess):
    """An agent whose clock, names, files and event loop can be broken. `environ` as for `AgentProcess`."""

    def __init__(self, ollama_url: str, home: Path, bucket_url: str = "", **environ: str) -> None:
        super().__init__(ollama_url, **environ)
        self._told = home / f"shim-{self.port}.json"
        self._told.write_text("{}")
        # Not measured: a coverage tool in the process would write its file under the very faults that are tried.
        own = {name: value for name, value in self._environ.items() if not name.startswith("COVERAGE")}
        shim = {"PYTHONPATH": str(SHIM), "FAULTS_SHIM": str(self._told), "STORAGE_EMULATOR_HOST": bucket_url}
        self._environ = own | shim

    def answers(self) -> bool:
        """Whether the agent's port answers."""
        return ask(self.port, "/livez", ANSWER_SECONDS)[0] is not None

    def state(self) -> str | None:
        """Return the present state, None when nothing is answered."""
        state: str | None = ask(self.port, "/readyz", ANSWER_SECONDS)[1].get("state")
        return state

    def checks(self) -> int:
        """Return how many times a ready model was checked; 0 when nothing is answered."""
        counted = CHECKS_TOTAL.search(ask_text(self.port, "/metrics", ANSWER_SECONDS))
        return int(float(counted[1])) if counted else 0

    def falls(self) -> list[str]:
        """Return the agent's own words for each time that it left READY."""
        return [line for line in self.log.splitlines() if FALL in line]

    def shim(self, **orders: Any) -> None:
        """Tell the code inside: clock, dns, stall (see there)."""
        self._told.write_text(json.dumps(orders), encoding="utf-8")
        self.process.send_signal(signal.SIGUSR1)

    @contextlib.contextmanager
    def limited(self, what: int, soft: int) -> Iterator[None]:
        """Lower a resource limit of the running process, and raise it again."""
        before = resource.prlimit(self.process.pid, what)
        resource.prlimit(self.process.pid, what, (soft, before[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self.process.pid, what, before)

    def most_memory(self) -> int:
        """Return the most bytes that the process ever had in memory."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) << 10
        return 0

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)
        self._output.close()
        self._told.unlink(missing_ok=True)


class Witness:
    """Asks the three checks again and again, as long as the block; `samples` has all answers since `begin`."""

    def __init__(self, port: int) -> None:
        self._asked: list[Sample] = []
        self._began = time.monotonic()
        self._port = port
        self._end = threading.Event()
        self._told = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5 * ANSWER_SECONDS)

    def begin(self) -> None:
        """Count from now on."""
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds since `begin`."""
        return time.monotonic() - self._began

    @property
    def samples(self) -> list[Sample]:
        """What was said since `begin`, in seconds from there."""
        return [sample._replace(at=sample.at - self._began) for sample in self._asked if sample.at >= self._began]

    def first(self, wanted: Callable[[Sample], bool], *, since: float = 0.0, within: float) -> Sample | None:
        """Wait at most `within` seconds for a wanted sample, asked `since` seconds after `begin` or later."""

        def found() -> Sample | None:
            return next((sample for sample in self.samples if sample.at >= since and wanted(sample)), None)

        with self._told:
            return self._told.wait_for(found, within)

    def _run(self) -> None:
        with ThreadPoolExecutor(len(CHECKS)) as pool:
            while not self._end.is_set():
                at = time.monotonic()
                ready, live, startup = pool.map(lambda path: ask(self._port, path, ANSWER_SECONDS), CHECKS)
                with self._told:
                    self._asked.append(Sample(at, ready[1].get("state"), ready[0], live[0], startup[0]))
                    self._told.notify_all()
                self._end.wait(PAUSE_SECONDS)
