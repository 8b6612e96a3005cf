"""One start behind a gate: a new Ollama, a new agent, and a client that sends requests from the first instant on."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.gates import Gate
from lab.images.tree import ASKED
from lab.measuring import agents, servers
from lab.measuring.gap import OK, Sent, Start
from lab.measuring.servers import Server
from lab.process import LOOPBACK, free_port

# One slot: the four of service.yaml would share two cores here, and warm for a quarter of a minute.
PARALLEL = "1"
# By the rule of thumb for one slot, 1 x 1 + 1 x 1: what is more waits at the gate.
CONCURRENCY = 2
REQUEST_PERIOD_SECONDS = 0.25
# Requests go on so long after both the gate is open and the agent is READY.
AFTER_SECONDS = 1.0
# For a whole start; the slowest here takes a tenth of it.
START_SECONDS = 120.0
# For one answer, those included that wait for the load.
ANSWER_SECONDS = 60.0
LOOK_SECONDS = 0.05
NS_PER_SECOND = 1_000_000_000
CHAT = {
    "model": servers.MODEL,
    "messages": [ASKED[0], {"role": "user", "content": "For how long may group 9 keep a book?"}],
    "stream": False,
    "options": {"num_predict": 1},
}


async def cold_seconds(server: Server) -> float:
    """Return the `total_duration` of the chat as the first request to a new server, without an agent."""
    port = free_port()
    async with _client(port) as client:
        with server.on(port):
            async with asyncio.timeout(START_SECONDS):
                while (sent := await _ask(client)).status != OK:  # noqa: ASYNC110 — a server has no event
                    await asyncio.sleep(LOOK_SECONDS)
    return sent.took


async def start(server: Server, prompts: Path, gate: Gate, cold: float) -> Start:
    """Start both behind a gate, the agent with these warm-up prompts; return what its client met with."""
    ollama_port, agent_port = free_port(), free_port()
    settings = {"PROBE_AGENT_WARMUP_PROMPTS": str(prompts), "OLLAMA_NUM_PARALLEL": PARALLEL, **gate.agent}
    async with _client(ollama_port) as client:
        with server.on(ollama_port) as ollama, agents.agent(agent_port, ollama_port, settings):
            async with asyncio.timeout(START_SECONDS):
                return await _behind(gate, client, ollama.started, (ollama_port, agent_port), cold)


def _client(ollama_port: int) -> httpx.AsyncClient:
    url = f"http://{LOOPBACK}:{ollama_port}"
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=ANSWER_SECONDS)


async def _behind(gate: Gate, client: httpx.AsyncClient, started: float, ports: tuple[int, int], cold: float) -> Start:
    opened = asyncio.Event()
    places = asyncio.Semaphore(CONCURRENCY)
    sending = asyncio.create_task(_stream(client, opened, places, started))
    try:
        await gate.opened(*ports)
        at = time.monotonic() - started
        opened.set()
        status = await _ready(ports[1])
        await asyncio.sleep(AFTER_SECONDS)
    finally:
        sending.cancel()
        requests = await sending
    wall = time.time() - time.monotonic() + started
    ready = datetime.fromisoformat(status["since"]).timestamp() - wall
    phases = status["waterfall"]["phases"]
    agent_up = ready - phases[-1]["at_seconds"]
    reached = {phase["phase"]: agent_up + phase["at_seconds"] for phase in phases}
    return Start(at, ready, cold, reached, sorted(requests, key=lambda each: each.let_in))


async def _ready(agent: int) -> dict[str, Any]:
    """Return the agent's status once it is READY."""
    while True:
        try:
            status = await asyncio.to_thread(agents.status, agent)
        except OSError:  # it does not listen yet
            status = {"state": ""}
        if status["state"] == "READY":
            return status
        await asyncio.sleep(LOOK_SECONDS)


async def _stream(
    client: httpx.AsyncClient, opened: asyncio.Event, places: asyncio.Semaphore, started: float
) -> list[Sent]:
    """Send a request each period until cancelled; then wait for the answers of those that were sent."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Sent]] = []
    due = loop.time()
    try:
        while True:
            tasks.append(asyncio.create_task(_request(client, opened, places, started)))
            due += REQUEST_PERIOD_SECONDS
            await asyncio.sleep(max(0.0, due - loop.time()))
    except asyncio.CancelledError:
        opened.set()  # also where the gate never opened: nothing waits for good
        return await asyncio.gather(*tasks)


async def _request(client: httpx.AsyncClient, opened: asyncio.Event, places: asyncio.Semaphore, started: float) -> Sent:
    sent = time.monotonic()
    await opened.wait()
    async with places:
        found = await _ask(client)
    return Sent(sent - started, found.let_in - started, found.answered - started, found.status, found.took)


async def _ask(client: httpx.AsyncClient) -> Sent:
    """Send the chat; the instants are the clock's own."""
    let_in = time.monotonic()
    status, took = 0, math.inf
    try:
        answer = await client.post("/api/chat", json=CHAT)
    except httpx.HTTPError:
        pass
    else:
        if (status := answer.status_code) == OK:
            took = answer.json()["total_duration"] / NS_PER_SECOND
    return Sent(let_in, let_in, time.monotonic(), status, took)
