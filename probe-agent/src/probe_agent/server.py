"""Serving: the socket, the event loop and the signals."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from probe_agent import logs
from probe_agent.endpoints import app
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.controller import Controller
from probe_agent.settings import Settings
from probe_agent.sources.choose import choose

log = logging.getLogger(__name__)

# The platform kills ten seconds after SIGTERM; held probes are let go at once, so a second is plenty.
SHUTDOWN_SECONDS = 1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Probes that may wait to be accepted: far more than ask one instance. When no connection can be accepted, asyncio
# tries each place of the queue in vain, and complains each time.
BACKLOG = 128
# An agent that lacks file descriptors says so this often.
COMPLAINT_SECONDS = 10.0


class Server(uvicorn.Server):
    """uvicorn, with a stop that the supervisor hears first, exit status 0 on SIGTERM, and no ticks.

    uvicorn wakes ten times a second to see whether it should end, more than half of an idle agent's CPU (measured).
    Without ticks only the event loop's own signal handlers do: Python's leave a signal that comes just before the
    loop falls asleep unheard until something else wakes it.
    """

    def __init__(self, config: uvicorn.Config, supervisor: Controller) -> None:
        super().__init__(config)
        self._supervisor = supervisor
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def main_loop(self) -> None:
        """Serve until a signal comes."""
        await self._ended.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let go every held probe at a signal, then end; uvicorn would raise the signal again and die of it."""
        for each in STOP_SIGNALS:
            self._loop.add_signal_handler(each, self._end, each.name)
        try:
            yield
        finally:
            for each in STOP_SIGNALS:
                self._loop.remove_signal_handler(each)

    def _end(self, name: str) -> None:
        if not self._ended.is_set():
            self._supervisor.stop(f"{name} received")
            self._ended.set()


def serve(settings: Settings, environ: Mapping[str, str], started: float) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status. `started` is a reading of `time.monotonic`."""
    logs.configure(settings.log_level, environ)
    try:
        listener = _listen(settings.host, settings.port)
    except (OSError, UnicodeError) as error:
        log.error(  # noqa: TRY400 — a taken port needs no traceback
            "cannot listen on %s port %s: %s. Set PROBE_AGENT_HOST and PROBE_AGENT_PORT to a free address.",
            settings.host,
            settings.port,
            error,
        )
        return 1
    with listener:
        return asyncio.run(_serve(settings, listener, started))


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


class Complaints:
    """The event loop's exception handler: one line where asyncio would write thousands of equal tracebacks."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell of connections that could not be accepted, now and then; hand on all else."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and "accept" in context["message"]):
            loop.default_exception_handler(context)
        elif loop.time() >= self._next:
            self._next = loop.time() + COMPLAINT_SECONDS
            log.error("no probe can be answered: %s. Look for what uses up the limits of the container.", error)


async def _serve(settings: Settings, listener: socket.socket, started: float) -> int:
    asyncio.get_running_loop().set_exception_handler(Complaints())
    ollama = OllamaClient(settings.ollama_url, keep_alive=settings.keep_alive)
    supervisor = Controller(settings, ollama, source=choose(settings, ollama), started=started)
    config = uvicorn.Config(
        app.build(supervisor, supervisor.run),
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        server_header=False,
        date_header=False,  # uvicorn keeps it in its ticks
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    try:
        await Server(config, supervisor).serve([listener])
        return 0
    finally:
        await ollama.close()
