"""Whether the agent's memory grows in a week of watching. The week takes minutes, because the clock jumps over waits.

`python -m benchmarks.week HOURS` is the process that is measured: one JSON line for each hour of the loop's clock. The
agent's controller, its endpoints and the scripted stand-in share one event loop. Every check is made, by requests over
loopback; the endpoints are asked by ASGI, without a socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from statistics import mean
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp, Message

from lab.jumping_clock import JumpingLoop
from lab.measuring import servers
from lab.measuring.agents import rss_mib
from lab.measuring.result import Result, Target
from lab.process import LOOPBACK
from ops.standin import ScriptedEngine, ServedModel, StandIn
from ops.standin.abrupt import AbruptServer, listen
from probe_agent.endpoints import app as agent_app
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.controller import Controller
from probe_agent.readiness.states import ReadinessState
from probe_agent.settings import Settings

NAME = "week"
HOURS, QUICK_HOURS, DAY = 168, 4, 24
# For all hours: the two cores of a busy machine need a sixth of it.
WEEK_SECONDS = 1800.0
LIMIT_GROWTH = 1.02
# How often each endpoint is asked: the periods of service.yaml, and a scraper's.
ASKED = {"/readyz": 5.0, "/livez": 15.0, "/metrics": 30.0}
HOUR_SECONDS = 3600.0
# On the loop's clock, for the model to be ready, also after an eviction: the agent retries each half second.
READY_SECONDS = 60.0
# Real time at the start, in which threads import what the first requests need: the clock must not run ahead.
STEADY_SECONDS = 1.0
CLIENT_SECONDS = 30.0
METHOD = (
    "The agent's controller, its endpoints and the scripted stand-in in one process whose clock jumps over every wait "
    "(lab/jumping_clock.py): all 5 s checks of a week by real requests over loopback, one eviction each hour, and "
    "/readyz, /livez and /metrics asked by ASGI as often as in production. Memory is VmRSS at each full hour. The "
    "first day is left out, because the allocator fills its pools; the means of the last and the second are compared."
)


def run(_folder: Path, *, quick: bool) -> Result:
    """Measure the week in a process of its own."""
    number = QUICK_HOURS if quick else HOURS
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.week", str(number)],
        capture_output=True,
        text=True,
        timeout=WEEK_SECONDS,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    hours: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    settled = hours[DAY:] if number > 2 * DAY else hours
    day = min(DAY, len(settled) // 2)
    first, last = (mean(each["rss_mib"] for each in part) for part in (settled[:day], settled[-day:]))
    return Result(
        name=NAME,
        server=servers.standin(scripted=True).description,
        method=METHOD,
        targets=(Target(f"memory on the last day / on the second, {number} hours", last / first, LIMIT_GROWTH, ""),),
        measured={
            "first_mib": first,
            "last_mib": last,
            "end": hours[-1],
            "rss_mib": [each["rss_mib"] for each in hours],
        },
    )


async def _week(loop: JumpingLoop, hours: int) -> None:
    app = StandIn(models=[ServedModel("m", num_ctx=2048)], engine=(engine := ScriptedEngine()), context_length=2048)
    listener = listen(LOOPBACK, 0)
    url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    server = AbruptServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    serving = asyncio.create_task(server.serve([listener]))
    settings = Settings.from_environ({"PROBE_AGENT_MODEL": "m@2048", "PROBE_AGENT_OLLAMA_URL": url})
    ollama = OllamaClient(url, keep_alive=settings.keep_alive)
    controller = Controller(settings, ollama, clock=loop.time)
    running = asyncio.create_task(controller.run())
    answers: Counter[int] = Counter()
    agent = agent_app.build(controller, controller.run)
    asking = [asyncio.create_task(_ask(agent, path, seconds, answers)) for path, seconds in ASKED.items()]
    await asyncio.sleep(STEADY_SECONDS)
    await _until_ready(controller)
    loop.jumping = True
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=CLIENT_SECONDS) as client:
        for hour in range(1, hours + 1):
            await asyncio.sleep(HOUR_SECONDS / 2)
            await client.post("/api/generate", json={"model": "m", "keep_alive": 0})
            await asyncio.sleep(HOUR_SECONDS / 2)
            await _until_ready(controller)
            app.requests.clear()  # the stand-in's own memory, not the agent's
            engine.starts.clear()
            _write(hour, controller, answers)
    for task in asking:
        task.cancel()
    controller.stop("the week is over")
    await asyncio.gather(running, *asking, return_exceptions=True)
    await ollama.close()
    server.stop()
    await serving


async def _ask(app: ASGIApp, path: str, seconds: float, answers: Counter[int]) -> None:
    """Ask an endpoint of the agent for ever; `answers` counts each status."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answers[message["status"]] += 1

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    while True:
        await asyncio.sleep(seconds)
        await app(dict(scope), receive, send)


async def _until_ready(controller: Controller) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while controller.readiness.state is not ReadinessState.READY:  # noqa: ASYNC110 — it has no event of its own
            await asyncio.sleep(0.1)


def _write(hour: int, controller: Controller, answers: Counter[int]) -> None:
    figures = {
        "hour": hour,
        "checks": controller.view().checks,
        "asked": answers.total(),
        "not_ready": answers[HTTPStatus.SERVICE_UNAVAILABLE],
        "rss_mib": rss_mib(os.getpid()),
        "cpu_seconds": time.process_time(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    """Watch for so many hours of the loop's clock."""
    loop = JumpingLoop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_week(loop, int(arguments[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
