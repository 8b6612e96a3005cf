"""The way up, against a server on loopback that behaves, and misbehaves, like Ollama."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lab.agent import Agent
from lab.scripted import Ollama
from ops.standin import (
    Hang,
    NotJson,
    Reset,
    SlowBytes,
    Status,
    Truncate,
)
from probe_agent.readiness.cold_start import Phase

pytestmark = pytest.mark.anyio


async def test_ready_means_loaded_proven_and_warm(ollama: Ollama) -> None:
    """The model is loaded with the pinned context and kept, generates a token, is warmed on each slot, then READY."""
    async with Agent(ollama.url, OLLAMA_NUM_PARALLEL="2") as agent:
        await agent.until("READY")
    load, proof = ollama.asked("/api/generate")[:2]
    assert load == {"model": "m", "prompt": "", "keep_alive": -1, "options": {"num_ctx": 2048}, "stream": False}
    assert proof["options"] == {"num_ctx": 2048, "num_predict": 1}
    assert proof["prompt"]
    warm = ollama.asked("/api/chat")
    assert [chat["options"] for chat in warm] == [{"num_predict": 1, "num_ctx": 2048}] * 2
    assert ollama.asked("/api/show") == []


async def test_the_waterfall_has_every_phase_in_order(ollama: Ollama) -> None:
    """At READY every phase is marked, at times that never run backwards, and the gap spans them."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
    waterfall = agent.controller.observed.waterfall
    times = [at for _, at in waterfall.marks]
    assert len(times) == 8
    assert times == sorted(times)
    assert waterfall.gap_seconds == times[-1] - times[1]


async def test_a_load_longer_than_every_other_timeout_is_waited_for(ollama: Ollama) -> None:
    """One load request stays open although it takes longer than check time-out and period."""
    ollama.engine.load_seconds = 1.0
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
    assert len(ollama.engine.starts) == 1


async def test_a_load_beyond_the_start_up_budget_is_tried_anew(ollama: Ollama) -> None:
    """A load that outlasts the whole budget is given up with the reason, and a later one may succeed."""
    ollama.engine.load_seconds = 30
    async with Agent(ollama.url, STARTUP_TIMEOUT_SECONDS="0.3") as agent:
        await agent.until("LOADING", "no whole answer within 0.3 s")
        ollama.engine.load_seconds = 0.01
        await agent.until("READY")


async def test_a_server_that_starts_late_is_waited_for() -> None:
    """Before Ollama listens the agent says whom it waits for; soon after it starts the model is ready."""
    server = Ollama()
    async with Agent(server.url) as agent:
        await agent.until("UNREACHABLE", "connecting failed")
        with server.running:
            await agent.until("READY")


async def test_a_port_that_opens_before_the_api_answers_is_told_apart(ollama: Ollama) -> None:
    """While the API hangs behind an open port, the port is marked and nothing is ready."""
    ollama.app.faults.on("*", Hang())
    async with Agent(ollama.url) as agent:
        await agent.until("UNREACHABLE", "/api/version got no whole answer")
        assert [phase for phase, _ in agent.controller.observed.waterfall.marks] == ["agent_up", "port_open"]
        ollama.app.faults.clear()
        await agent.until("READY")


def stuck_at(state: str, ollama: Ollama) -> Callable[[], None]:
    """Make the way up stop in `state`; return what lets it go on."""
    path = {"VERIFYING": "/api/tags", "LOADING": "/api/ps", "WARMING": "/api/chat"}.get(state)
    if state == "LOADING":
        ollama.engine.load_seconds = 60

        def release() -> None:
            ollama.engine.load_seconds = 0.02

        return release
    if path is not None:
        ollama.app.faults.on(path, Hang())
    return ollama.app.faults.clear


WAY_UP = ["VERIFYING", "LOADING", "WARMING", "READY"]


@pytest.mark.parametrize("state", WAY_UP)
async def test_a_server_that_dies_is_noticed_and_met_again(ollama: Ollama, state: str) -> None:
    """Whatever the state, a dead server ends in UNREACHABLE with the reason, and a new one is brought up."""
    release = stuck_at(state, ollama)
    async with Agent(ollama.url) as agent:
        await agent.until(state)
        ollama.running.kill()
        await agent.until("UNREACHABLE")
        release()
        ollama.running.start()
        await agent.until("READY")


@pytest.mark.parametrize("state", WAY_UP)
async def test_a_server_that_hangs_is_never_ready(ollama: Ollama, state: str) -> None:
    """Whatever the state, a silent server is found out by failures up to the threshold, and mends when it answers."""
    release = stuck_at(state, ollama)
    async with Agent(ollama.url) as agent:
        await agent.until(state)
        ollama.app.faults.on("*", Hang())
        await agent.until_true(lambda: agent.state != state, lambda: f"the end of {state}")
        # One more may have come before this test looked.
        assert agent.controller.health.failures_in_a_row <= agent.settings.failure_threshold + 1
        assert not agent.controller.readiness.ready
        assert agent.controller.view().alive
        ollama.app.faults.clear()
        release()
        await agent.until("READY")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Status(400, '{"error": "\\"m\\" does not support generate"}'), "400"),
        (Status(500, '{"error": "tensor exceeds file size"}'), "tensor exceeds file size"),
        (Status(503, '{"error": "server busy, please try again."}'), "server busy"),
        (Truncate(), "broke off"),
        (Status(200, '{"model": "m", "done": false}'), "without done"),
        (NotJson(), "not Ollama's"),
    ],
    ids=["400", "500", "503", "truncated", "not done", "non-JSON"],
)
async def test_a_failed_load_is_told_and_tried_again(ollama: Ollama, fault: Any, reason: str) -> None:
    """While loads fail the state is LOADING with the reason; when they succeed the model gets ready."""
    ollama.app.faults.on("/api/generate", fault)
    async with Agent(ollama.url) as agent:
        await agent.until("LOADING", reason)
        assert agent.controller.readiness.action
        ollama.app.faults.clear()
        await agent.until("READY")


@pytest.mark.parametrize("fault", [Reset(), Status(500, "broken"), NotJson(), Truncate()])
async def test_a_store_that_cannot_be_listed_is_no_server(ollama: Ollama, fault: Any) -> None:
    """Listing the store fails as often as the threshold allows, then the server counts as unreachable."""
    ollama.app.faults.on("/api/tags", fault)
    async with Agent(ollama.url) as agent:
        await agent.until("UNREACHABLE", "/api/tags")
        ollama.app.faults.clear()
        await agent.until("READY")


async def test_a_store_that_is_slow_to_list_is_waited_for(ollama: Ollama) -> None:
    """A list that takes longer than a check's time-out, as from a cold bucket mount, is no failure."""
    ollama.app.faults.on("/api/tags", SlowBytes(800))
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        assert (agent.controller.observed.waterfall.seconds(Phase.MODEL_VERIFIED) or 0) > agent.settings.timeout_seconds


async def test_json_of_another_server_is_no_ollama(ollama: Ollama) -> None:
    """JSON without the expected fields is a bad answer, told as such."""
    ollama.app.faults.on("/api/tags", Status(200, '{"models": [{"id": 7}]}'))
    async with Agent(ollama.url) as agent:
        await agent.until("UNREACHABLE", "not Ollama's")
        ollama.app.faults.on("/api/tags", Status(200, "[]"))
        await agent.until("UNREACHABLE", "JSON that is no object")


@pytest.mark.parametrize(
    "odd", ['{"models": [{"name": "m", "digest": "d", "size": 1e999}]}', "[" * 5_000, '{"models": 7}', "\xff"]
)
async def test_odd_json_is_a_bad_answer_and_no_fault_of_the_agent(ollama: Ollama, odd: str) -> None:
    """Whatever JSON comes, the agent blames the answer, not itself."""
    ollama.app.faults.on("/api/tags", Status(200, odd))
    async with Agent(ollama.url) as agent:
        await agent.until("UNREACHABLE", "not Ollama's")


async def test_an_expiry_without_a_time_zone_is_utc(ollama: Ollama) -> None:
    """A list whose times name no zone is read all the same."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        listed = (await asyncio.to_thread(httpx.get, f"{ollama.url}/api/ps")).json()
        listed["models"][0]["expires_at"] = "2026-11-22T20:00:00"
        ollama.app.faults.on("/api/ps", Status(200, json.dumps(listed)))
        await agent.until_true(lambda: agent.controller.observed.unpinned == 1, lambda: "the model seen as un-pinned")
