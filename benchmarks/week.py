"""A week of watching in minutes: `python -m benchmarks.week HOURS`, one JSON line for each hour that went by.

The agent's controller, its endpoints and the scripted stand-in share one event loop, whose clock jumps to the next
timer whenever nothing is left to do: every check is made, with real requests over loopback, and no time is spent
between them. The endpoints are asked at production's rates, by ASGI and without a socket. Each hour the model is
evicted once, so that a new epoch begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import sys
import time
from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx
import uvicorn

from benchmarks import production
from lab.measuring.agents import rss_mib
from lab.process import LOOPBACK
from ops.standin import ScriptedEngine, ServedModel, StandIn
from ops.standin.abrupt import AbruptServer, listen
from probe_agent.endpoints import app as agent_app
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.controller import Controller
from probe_agent.readiness.states import ReadinessState
from probe_agent.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message

HOUR_SECONDS = 3600.0
READY_SECONDS = 60.0
"""Of the hurried clock, for the model to be ready, also after an eviction: the agent retries each half second."""
UNHURRIED_SECONDS = 1.0
"""Real time at the start, in which threads import what the first requests need: the clock must not run ahead."""
CLIENT_SECONDS = 30.0
"""For a request of the client that evicts."""


class HurriedLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits for a timer: its clock jumps there, once no socket has anything to say."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.hurried = False
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the hurried clock, in seconds."""
        return time.monotonic() + self.ahead


class _Selector(selectors.EpollSelector):
    def __init__(self, loop: HurriedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look; where nothing has happened, let the time go by that should have been waited."""
        if not self._loop.hurried or not timeout:
            return super().select(timeout)
        if not (found := super().select(0)):
            self._loop.ahead += timeout
        return found


async def _week(loop: HurriedLoop, hours: int) -> None:
    app = StandIn(models=[ServedModel("m", num_ctx=2048)], engine=(engine := ScriptedEngine()), context_length=2048)
    listener = listen(LOOPBACK, 0)
    url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    server = AbruptServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    serving = asyncio.create_task(server.serve([listener]))
    settings = Settings.from_environ({"PROBE_AGENT_MODEL": "m@2048", "PROBE_AGENT_OLLAMA_URL": url})
    ollama = OllamaClient(url, keep_alive=settings.keep_alive)
    controller = Controller(settings, ollama, clock=loop.time)
    running = asyncio.create_task(controller.run())
    asked: Counter[int] = Counter()
    asking = asyncio.create_task(_ask(agent_app.build(controller, controller.run), asked))
    await asyncio.sleep(UNHURRIED_SECONDS)
    await _until_ready(controller)
    loop.hurried = True
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=CLIENT_SECONDS) as client:
        for hour in range(1, hours + 1):
            await asyncio.sleep(HOUR_SECONDS / 2)
            await client.post("/api/generate", json={"model": "m", "keep_alive": 0})
            await asyncio.sleep(HOUR_SECONDS / 2)
            await _until_ready(controller)
            app.requests.clear()  # the stand-in's own memory, not the agent's
            engine.starts.clear()
            _tell(hour, controller, asked)
    asking.cancel()
    controller.stop("the week is over")
    await asyncio.gather(running, asking, return_exceptions=True)
    await ollama.close()
    server.stop()
    await serving


async def _ask(app: ASGIApp, asked: Counter[int]) -> None:
    """Ask the agent's endpoints for ever, at production's rates; `asked` counts the answers of each status."""
    paths = {
        "/readyz": production.READY_PERIOD_SECONDS,
        "/livez": production.LIVE_PERIOD_SECONDS,
        "/metrics": production.SCRAPE_PERIOD_SECONDS,
    }
    await asyncio.gather(*(_each(app, path, seconds, asked) for path, seconds in paths.items()))


async def _each(app: ASGIApp, path: str, seconds: float, asked: Counter[int]) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            asked[message["status"]] += 1

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    while True:
        await asyncio.sleep(seconds)
        await app(dict(scope), receive, send)


async def _until_ready(controller: Controller) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while controller.readiness.state is not ReadinessState.READY:  # noqa: ASYNC110 — it has no event of its own
            await asyncio.sleep(0.1)


def _tell(hour: int, controller: Controller, asked: Counter[int]) -> None:
    figures = {
        "hour": hour,
        "checks": controller.observed.checks,
        "epoch": controller.readiness.epoch,
        "asked": asked.total(),
        "not_ready": asked[HTTPStatus.SERVICE_UNAVAILABLE],
        "rss_mib": rss_mib(os.getpid()),
        "cpu_seconds": time.process_time(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    """Watch for so many hours of the hurried clock."""
    loop = HurriedLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_week(loop, int(arguments[0])))
    finally:
        loop.close()


if __name__ == "__main__":
    main(sys.argv[1:])
