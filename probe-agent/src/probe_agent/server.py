"""Serving: the socket, the event loop, and what the agent is made of."""

import argparse
import asyncio
import logging
import math
import os
import socket
import sys
from typing import Any

import uvicorn

from probe_agent import __version__, logs
from probe_agent.endpoints import app, metrics
from probe_agent.endpoints.paths import OWN_PATHS
from probe_agent.errors import SettingsError
from probe_agent.http_server import BoundedHttp, Server
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.controller import Controller
from probe_agent.settings import Settings
from probe_agent.sources.fetch import choose
from probe_agent.variables import Gateway, LogTarget, help_text

log = logging.getLogger(__name__)

# The platform kills ten seconds after SIGTERM; held probes are let go at once, so a second is plenty.
SHUTDOWN_SECONDS = 1
# Probes that may wait to be accepted: far more than an instance gets at once. When no connection can be accepted,
# asyncio tries as many times as this says, and logs each failure.
BACKLOG = 128
# Seconds from one line about connections that cannot be accepted to the next.
COMPLAINT_SECONDS = 10.0


def main(arguments: list[str], started: float) -> int:
    """Run the agent until SIGTERM or SIGINT; return the exit status: 2 for bad settings, 1 for a taken port.

    `started` is a reading of `time.monotonic`.
    """
    parser = argparse.ArgumentParser(
        "probe-agent",
        description="Readiness sidecar for Ollama: ready means that the model answers.",
        epilog="commands:\n  check  ask a running agent whether it is ready: exit status 0 ready, 1 not ready, "
        f"2 unreachable\n\nenvironment:\n{help_text()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args(arguments)
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        message = "\n  ".join(["probe-agent cannot start; correct the environment:", *error.problems])
        sys.stderr.write(f"{message}\n")
        return 2
    logs.configure(settings.log_level, os.environ, send=settings.log_target is LogTarget.API)
    log.info("probe-agent %s starts on %s port %d", __version__, settings.host, settings.port)
    return _listen_and_serve(settings, started)


def _listen_and_serve(settings: Settings, started: float) -> int:
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
        asyncio.run(_serve(settings, listener, started))
    return 0


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
    """The event loop's exception handler: logs one line where asyncio would log thousands of equal tracebacks."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log connections that cannot be accepted now and then; leave everything else to the event loop."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and "accept" in context["message"]):
            loop.default_exception_handler(context)
        elif loop.time() >= self._next:
            self._next = loop.time() + COMPLAINT_SECONDS
            log.error("no probe can be answered: %s. Look for what uses up the limits of the container.", error)


async def _serve(settings: Settings, listener: socket.socket, started: float) -> None:
    asyncio.get_running_loop().set_exception_handler(Complaints())
    ollama = OllamaClient(settings.ollama_url, keep_alive=settings.keep_alive)
    supervisor = Controller(settings, ollama, source=choose(settings, ollama), started=started)
    registry = metrics.registry_of(supervisor.view)
    application: Any = app.build(supervisor, supervisor.run, registry)
    grace = 0.0
    stops: list[Any] = [lambda name: supervisor.stop(f"{name} received")]
    if settings.gateway is Gateway.ON:
        from probe_agent.gateway.app import Ingress  # noqa: PLC0415 — a sidecar does not need it
        from probe_agent.gateway.compose import compose  # noqa: PLC0415

        gateway = compose(settings, supervisor.view, registry)
        application = Ingress(application, gateway, OWN_PATHS)
        grace = settings.gateway_drain_seconds
        stops.append(lambda _name: gateway.drain(grace))
    config = uvicorn.Config(
        application,
        http=BoundedHttp,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        server_header=False,
        date_header=False,  # uvicorn keeps it in its ticks
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS + math.ceil(grace),
    )
    try:
        await Server(config, on_signal=lambda name: [stop(name) for stop in stops]).serve([listener])
    finally:
        await ollama.close()
