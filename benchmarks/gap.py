"""The gap: the same service behind five gates; who lets requests in before the model is ready, and who opens late."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from tests.image.place import ASKED

from benchmarks import agents, gap_chart, sample, servers
from benchmarks.gates import GATES
from benchmarks.process import LOOPBACK, free_port
from benchmarks.result import FOLDER, Result, Target

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gates import Gate
    from benchmarks.servers import Server

NAME = "gap"
STARTS, QUICK_STARTS = 10, 1
PARALLEL = "1"
"""One slot: the four of service.yaml would share two cores here, and warm for a quarter of a minute."""
CONCURRENCY = 2
"""By the rule of thumb for one slot, 1 x 1 + 1 x 1: what is more waits at the gate."""
REQUEST_PERIOD_SECONDS = 0.25
AFTER_SECONDS = 1.0
"""Requests go on so long after both the gate is open and the model is ready."""
START_SECONDS = 120.0
"""For a whole start; the slowest here takes a tenth of it."""
ANSWER_SECONDS = 60.0
"""For one answer, those included that wait for the load."""
LIMIT_LATE_SECONDS = 0.05
OK = 200
QUESTION = {"role": "user", "content": "For how long may group 9 keep a book?"}
METHOD = (
    "Each start is a new Ollama and a new agent, made at the same instant, which loads the model and warms its "
    f"{PARALLEL} slot with a system prompt of some 1,000 tokens; only what opens the gate differs. Meanwhile a client "
    f"sends a chat with the same system prompt each {REQUEST_PERIOD_SECONDS:g} s (one token is asked for), which waits "
    f"at the gate, and then for one of {CONCURRENCY} places. 'early': let in before the agent's READY. 'late': from "
    "READY to the gate's opening (negative: before). 'first_let_in': from being let in to the answer's end. 'waited': "
    "the same from the client's sending. The gates in turns, whose order changes; the first round is dropped. READY is "
    "the agent's own word, by the wall clock, to a millisecond; what it comes after the last warm-up answer is the "
    "benchmark held_probe's business."
)


class Sent(NamedTuple):
    """One request, in seconds since the start of the containers."""

    sent: float
    let_in: float
    answered: float
    status: int


class Start(NamedTuple):
    """One start behind a gate; instants in seconds since the start of the containers."""

    open: float
    ready: float
    phases: dict[str, float]
    requests: list[Sent]

    @property
    def early(self) -> list[Sent]:
        """Those that were let in before the model was ready."""
        return [each for each in self.requests if each.let_in < self.ready]

    @property
    def late_seconds(self) -> float:
        """How long a ready model waited for its gate; negative: the gate was first."""
        return self.open - self.ready


def run(folder: Path, *, quick: bool) -> Result:
    """Measure all gates in turns, and draw them."""
    chosen = servers.choose(folder)
    server = replace(chosen, environ={**chosen.environ, "OLLAMA_NUM_PARALLEL": PARALLEL})
    prompts = folder / "warmup.jsonl"
    prompts.write_text(json.dumps({"messages": ASKED}) + "\n", encoding="utf-8")
    found: dict[str, list[Start]] = {name: [] for name in GATES}
    names = [*GATES]
    for turn in range((QUICK_STARTS if quick else STARTS) + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            found[name].append(asyncio.run(_start(server, prompts, GATES[name])))
    starts = {name: each[1:] for name, each in found.items()}
    if not quick:
        gap_chart.draw({GATES[name].title: _middle(each) for name, each in starts.items()}, FOLDER / f"{NAME}.svg")
    held = starts["agent_held"]
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(
            Target("requests let in early, agent's held probe", sum(len(each.early) for each in held), 0, ""),
            Target(
                "requests let in early, agent polled", sum(len(each.early) for each in starts["agent_polled"]), 0, ""
            ),
            Target(
                "READY to the open gate, agent's held probe, median",
                median(each.late_seconds for each in held),
                LIMIT_LATE_SECONDS,
                "s",
            ),
        ),
        measured={name: _figures(each) for name, each in starts.items()},
    )


def _figures(starts: list[Start]) -> dict[str, Any]:
    firsts = [each.requests[0] for each in starts]
    return {
        "open_seconds": sample.summary([each.open for each in starts]),
        "ready_seconds": sample.summary([each.ready for each in starts]),
        "late_seconds": sample.summary([each.late_seconds for each in starts]),
        "early_requests": sample.summary([len(each.early) for each in starts]),
        "first_let_in_seconds": sample.summary([first.answered - first.let_in for first in firsts]),
        "waited_seconds": sample.summary([first.answered - first.sent for first in firsts]),
        "not_200": sum(request.status != OK for each in starts for request in each.requests),
        "starts": [[each.open, each.ready, len(each.early)] for each in starts],
    }


def _middle(starts: list[Start]) -> Start:
    """Return the start that took the median time to READY: the picture shows no exception."""
    return sorted(starts, key=lambda each: each.ready)[len(starts) // 2]


async def _start(server: Server, prompts: Path, gate: Gate) -> Start:
    ollama_port, agent_port = free_port(), free_port()
    settings = {"PROBE_AGENT_WARMUP_PROMPTS": str(prompts), "OLLAMA_NUM_PARALLEL": PARALLEL, **gate.agent}
    url = f"http://{LOOPBACK}:{ollama_port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=ANSWER_SECONDS) as client:
        with server.on(ollama_port) as ollama, agents.agent(agent_port, ollama_port, settings):
            async with asyncio.timeout(START_SECONDS):
                return await _behind(gate, client, ollama.started, ollama_port, agent_port)


async def _behind(gate: Gate, client: httpx.AsyncClient, started: float, ollama: int, agent: int) -> Start:
    opened = asyncio.Event()
    places = asyncio.Semaphore(CONCURRENCY)
    sending = asyncio.create_task(_stream(client, opened, places, started))
    try:
        await gate.opened(ollama, agent)
        at = time.monotonic() - started
        opened.set()
        status = await _ready(agent)
        await asyncio.sleep(AFTER_SECONDS)
    finally:
        sending.cancel()
        requests = await sending
    wall = time.time() - time.monotonic() + started
    ready = datetime.fromisoformat(status["since"]).timestamp() - wall
    phases = status["waterfall"]["phases"]
    agent_up = ready - phases[-1]["at_seconds"]
    reached = {phase["phase"]: agent_up + phase["at_seconds"] for phase in phases}
    return Start(at, ready, reached, sorted(requests, key=lambda each: each.let_in))


async def _ready(agent: int) -> dict[str, Any]:
    """Return the agent's status once it is READY."""
    while True:
        try:
            status = await asyncio.to_thread(agents.status, agent)
        except OSError:  # it does not listen yet
            status = {"state": ""}
        if status["state"] == "READY":
            return status
        await asyncio.sleep(0.05)


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
        let_in = time.monotonic()
        body = {"model": servers.MODEL, "messages": [ASKED[0], QUESTION], "stream": False}
        try:
            answer = await client.post("/api/chat", json={**body, "options": {"num_predict": 1}})
            status = answer.status_code
        except httpx.HTTPError:
            status = 0
    return Sent(sent - started, let_in - started, time.monotonic() - started, status)
