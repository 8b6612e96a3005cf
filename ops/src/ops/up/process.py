"""A container as a process: its own group, its output line by line, and no member left at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from ops.up.errors import LaunchError

# Lines of output kept for the reason that is printed when a container ends.
TAIL_LINES = 12
# For the rest of an ended container's output; a child that it left behind may hold the pipe open.
LAST_WORDS_SECONDS = 0.5
# A longer line is cut here: a container must not fill this process's memory.
LINE_BYTES = 64 * 1024


class ContainerProcess:
    """One container's process group. Everything in it ends with `kill`, children of children too."""

    def __init__(self, name: str, show: Callable[[str, str], None]) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._show = show
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, argv: Sequence[str], environ: Mapping[str, str]) -> int:
        """Start it as the leader of a process group of its own; returns the number of both.

        Raises:
            LaunchError: the program cannot be started.

        """
        inside, outside = os.pipe()
        with contextlib.ExitStack() as opened:
            output = opened.enter_context(os.fdopen(inside, "rb", buffering=0))
            with os.fdopen(outside, "wb", buffering=0) as end:
                self._process = await self._launch(argv, environ, end)
            self._reader = asyncio.create_task(self._read(output))
            opened.pop_all()  # the reader closes it
        return self._process.pid

    async def _launch(
        self, argv: Sequence[str], environ: Mapping[str, str], output: BinaryIO
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                env=dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,  # no pipe of asyncio's: a child that holds it open would hide the container's end
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            message = f"container {self.name!r}: cannot run {argv[0]!r}: {error.strerror}; correct --process or PATH"
            raise LaunchError(message) from error

    @property
    def pid(self) -> int | None:
        """Return the process id, which is the group's too, or None before the start."""
        return self._process.pid if self._process else None

    async def wait(self) -> int:
        """Wait for the end of the container's first process and its output; a negative status is a signal's number."""
        assert self._process is not None, "started before it is waited for"  # noqa: S101 — for the type checker
        assert self._reader is not None, "made with the process"  # noqa: S101 — for the type checker
        status = await self._process.wait()
        await asyncio.wait({self._reader}, timeout=LAST_WORDS_SECONDS)
        return status

    def terminate(self) -> None:
        """Ask the container to end, as the platform does: SIGTERM to its first process."""
        if self._process and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the whole group: the container, and what it may have left behind."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Collect a killed container: its status, and the last of its output that comes in time."""
        if self._process and self._reader:
            await self._process.wait()
            await asyncio.wait({self._reader}, timeout=LAST_WORDS_SECONDS)
            self._reader.cancel()  # a child that left the group may hold the pipe open for ever
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self, pipe: BinaryIO) -> None:
        output = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(output), pipe)
        try:
            await self._read_lines(output)
        finally:
            transport.close()

    async def _read_lines(self, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._line(line)
        if rest:
            self._line(rest)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.tail.append(text)
        self._show(self.name, text)


def exit_reason(status: int) -> str:
    """Say how a process ended, from its status."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"exited with status {status}"
