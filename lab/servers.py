"""Real servers for tests: an ASGI application on a loopback port, and Ollama-like processes.

with LoopbackServer(StandIn(models=[ServedModel("m")], engine=ScriptedEngine())) as url: ...
with StandInProcess(tmp_path) as server: httpx.get(server.url)
with RealOllama(tmp_path, binary="/path/to/ollama") as server: ...
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx
import uvicorn
from starlette.types import ASGIApp

from ops.standin.abrupt import AbruptServer, listen

# The binary of a real Ollama, or None. Only OLLAMA_BIN names it: what else happens to be on PATH may be half installed.
REAL_OLLAMA = os.environ.get("OLLAMA_BIN") or None
LOOPBACK = "127.0.0.1"
# For httpx's `verify`: reading all certificates for each plain request takes 28 ms.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# Of each worker's range of ports.
FIRST_PORT, PORTS = 20_000, 1_000
# Longest wait for a process to answer: an Ollama on a busy machine needs about two.
START_SECONDS = 20.0


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on.

    It is below those that the kernel gives to connections, and each of pytest's workers has a range of its own: nobody
    takes it before it is used.
    """
    first = FIRST_PORT + PORTS * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, first + secrets.randbelow(PORTS)))
            return int(probe.getsockname()[1])


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Give a TCP port on loopback that refuses connections: taken for as long as the block, so nobody listens."""
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        yield int(held.getsockname()[1])


def wait_until(predicate: Callable[[], object], timeout: float = 5.0, what: str = "the condition") -> None:
    """Return once `predicate()` is true; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.005)


def hang_up_after(port: int, path: str, body: bytes, seen: Callable[[], object], missing: int = 0) -> None:
    """POST `body`, announced with `missing` bytes more, and hang up without reading once `seen()` is true."""
    head = f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Length: {len(body) + missing}\r\n\r\n"
    with socket.create_connection((LOOPBACK, port), timeout=5) as raw:
        raw.sendall(head.encode() + body)
        wait_until(seen, START_SECONDS, "what the client waits for before it hangs up")


class LoopbackServer:
    """`app` on a free loopback port, in a thread of its own; stops like Ollama does, without drain.

    `certificate` is a file with a key and its certificate: TLS then.
    """

    def __init__(self, app: ASGIApp, port: int | None = None, certificate: Path | None = None) -> None:
        self.port = port or free_port()
        self.url = f"{'https' if certificate else 'http'}://{LOOPBACK}:{self.port}"
        self._app = app
        self._certificate = certificate
        self._server: AbruptServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> str:
        self.start()
        return self.url

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when requests are answered. May follow `stop`, on the same port."""
        bound = listen(LOOPBACK, self.port)
        # Without a logging set-up of its own, which would stay in the process for every later test.
        config = uvicorn.Config(
            self._app, lifespan="auto", log_config=None, access_log=False, ssl_certfile=self._certificate
        )
        self._server = AbruptServer(config)
        self._thread = threading.Thread(target=self._server.run, args=([bound],), daemon=True)
        self._thread.start()
        if not self._server.up.wait(START_SECONDS):
            raise AssertionError(f"the application did not start within {START_SECONDS} s")

    def stop(self) -> None:
        """Cut every connection and refuse new ones; does nothing when stopped already."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.stop()
            self._thread.join(START_SECONDS)

    kill = stop


class ServerProcess:
    """A process that serves the Ollama API, in its own session, its whole group killed at the end."""

    def __init__(self, command: Sequence[str], home: Path, environ: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.log = home / f"server-{self.port}.log"
        self._command = list(command)
        self._environ = {
            **os.environ,
            "HOME": str(home),
            "OLLAMA_HOST": f"{LOOPBACK}:{self.port}",
            "OLLAMA_MODELS": str(home / "models"),
            "OLLAMA_NO_CLOUD": "1",
            **(environ or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_until(self._answers, START_SECONDS, f"{self._command[0]} (its output: {self.log}) to answer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self.process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(START_SECONDS)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process; AssertionError before the start."""
        assert self._process is not None
        return self._process

    def terminate(self, timeout: float = 10.0) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self._command} ended: {self.log.read_text()[-2000:]}")
        try:
            return httpx.get(f"{self.url}/api/version", timeout=5, verify=NO_TLS).is_success
        except httpx.TransportError:
            return False


class StandInProcess(ServerProcess):
    """`python -m ops.standin serve`, over llama.cpp."""

    def __init__(self, home: Path, environ: Mapping[str, str] | None = None) -> None:
        super().__init__([sys.executable, "-m", "ops.standin", "serve"], home, environ)


class RealOllama(ServerProcess):
    """`ollama serve` of the given binary, with an empty store under `home`."""

    def __init__(self, home: Path, binary: str = "ollama", environ: Mapping[str, str] | None = None) -> None:
        super().__init__([binary, "serve"], home, environ)
