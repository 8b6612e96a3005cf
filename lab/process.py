"""A process under measurement: its own session, each line of its output with the instant it arrived.

Instants are `time.monotonic()`, which on Linux is one clock for all processes of the machine (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self, TypeVar

LOOPBACK = "127.0.0.1"
# Between two looks at something that is waited for; far below every figure it could blur.
LOOK_SECONDS = 0.001
# For a killed process to be collected; the kernel needs milliseconds.
STOP_SECONDS = 10.0
T = TypeVar("T")


class Line(NamedTuple):
    """A line of output, and when it arrived."""

    at: float
    text: str


class Running:
    """A running program. At the end its whole group is killed, the runners of an Ollama with it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command = command
        self._environ = {**os.environ, **environ}
        self.lines: list[Line] = []
        self.started = 0.0
        """The instant just before the process was made."""

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        if self._process.stdout:
            self._process.stdout.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def until(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """Return what `look` finds, looking every millisecond; RuntimeError at the process's end or after `seconds`."""
        deadline = time.monotonic() + seconds
        while (found := look()) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = "\n".join(line.text for line in self.lines[-20:])
                raise RuntimeError(f"{' '.join(self._command)}: no {what} within {seconds:g} s; it said:\n{words}")
            time.sleep(LOOK_SECONDS)
        return found

    def first(self, wanted: Callable[[Line], T | None], seconds: float, what: str) -> T:
        """Return what `wanted` makes of the first line that it accepts."""
        seen = 0

        def look() -> T | None:
            nonlocal seen
            while seen < len(self.lines):
                seen += 1
                if (found := wanted(self.lines[seen - 1])) is not None:
                    return found
            return None

        return self.until(look, seconds, what)

    def _read(self) -> None:
        for text in self._process.stdout or ():
            self.lines.append(Line(time.monotonic(), text.rstrip()))


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])
