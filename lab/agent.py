"""An agent under test: the controller in the test's own event loop, against a real server on loopback."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Self

import httpx

from lab.servers import NO_TLS, free_port, wait_until
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.controller import Controller
from probe_agent.readiness.states import ReadinessState
from probe_agent.settings import Settings
from probe_agent.sources.fetch import choose
from probe_agent.variables import PREFIX

# Short, so that a test is over in a second; long enough for a busy machine to answer in time.
QUICK = {
    f"{PREFIX}PERIOD_SECONDS": "0.2",
    f"{PREFIX}TIMEOUT_SECONDS": "0.2",
    f"{PREFIX}FAILURE_THRESHOLD": "2",
    f"{PREFIX}STARTUP_TIMEOUT_SECONDS": "20",
}
# What the tests make quicker, as users have it: empty is unset.
UNSET = {name.removeprefix(PREFIX): "" for name in QUICK}
PATIENCE_SECONDS = 20.0


def promised(**environ: str) -> float:
    """Return the longest time in seconds from a loss until an agent with these settings says so, as the README does."""
    given = {"MODEL": "any", **environ}
    settings = Settings.from_environ({**QUICK, **{f"{PREFIX}{name}": value for name, value in given.items()}})
    return settings.period_seconds * settings.failure_threshold + settings.timeout_seconds


class Agent:
    """A controller that runs as long as the `async with` block; `environ` overrides the quick settings."""

    def __init__(self, url: str, **environ: str) -> None:
        given = {"MODEL": "m@2048", **environ}
        variables = {name if name.startswith("OLLAMA_") else f"PROBE_AGENT_{name}": given[name] for name in given}
        self.settings = Settings.from_environ({**QUICK, "PROBE_AGENT_OLLAMA_URL": url, **variables})
        self.server = OllamaClient(url, keep_alive=self.settings.keep_alive)
        self.controller = Controller(self.settings, self.server, source=choose(self.settings, self.server))
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.controller.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.server.close()

    @property
    def state(self) -> ReadinessState:
        """The present state."""
        return self.controller.readiness.state

    @property
    def reason(self) -> str:
        """The present reason."""
        return self.controller.readiness.reason

    async def until(self, state: str, reason: str = "") -> None:
        """Wait for a state whose reason holds a text."""
        await self.until_true(
            lambda: self.state == state and reason in self.reason,
            lambda: f"{state} with {reason!r}; it is {self.state}: {self.reason}",
        )

    async def until_true(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        """Poll each millisecond: seldom enough for the event loop, often enough to see every state of interest."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what()}"
            await asyncio.sleep(0.001)


class AgentProcess:
    """A real `python -m probe_agent` on a free loopback port, ended with its `with` block, as is `output`."""

    command = (sys.executable, "-m", "probe_agent")

    def __init__(self, ollama_url: str, output: IO[str] | None = None, /, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {"MODEL": "m@2048", "OLLAMA_URL": ollama_url, "HOST": "127.0.0.1", "PORT": str(self.port), **environ}
        plain = ("K_SERVICE", "K_REVISION", "GOOGLE_CLOUD_PROJECT", "GCE_METADATA_HOST", "OLLAMA_NUM_PARALLEL")
        variables = {name if name in plain else f"PROBE_AGENT_{name}": given[name] for name in given}
        self._environ = {**os.environ, **QUICK, **variables}
        # Appending, because the process writes while the test reads through the same open file.
        self._output: IO[str] = output or tempfile.TemporaryFile("a+")  # noqa: SIM115 — closed with the process

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, env=self._environ, stdout=self._output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: self.process.poll() is not None or self.answers(), 20, "the agent's port")
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.terminate()
        self._output.close()

    @property
    def log(self) -> str:
        """What the agent has written so far."""
        self._output.seek(0)
        return self._output.read()

    def answers(self) -> bool:
        """Whether the agent's port answers."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/livez", timeout=2, verify=NO_TLS).status_code > 0
        return False

    def get(self, path: str, timeout: float = 10) -> httpx.Response:
        """Ask the agent."""
        return httpx.get(f"{self.url}{path}", timeout=timeout, verify=NO_TLS)

    def until(self, state: str, within: float = PATIENCE_SECONDS) -> None:
        """Wait for a state in `/status`."""
        wait_until(lambda: self.get("/status").json()["state"] == state, within, state)

    def terminate(self) -> int:
        """Send SIGTERM; return the exit status. The platform would kill it after ten seconds."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
