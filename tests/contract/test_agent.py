"""The agent against a server that really loads and generates: what it believes of Ollama must be true."""

from __future__ import annotations

import asyncio
import os
import signal

import ollama
import pytest

from lab.agent import Agent
from lab.ollama_server import COUNTING, DEFAULT_CONTEXT, PINNED, PINNED_CONTEXT, PLAIN, TRAINED_CONTEXT, OllamaServer
from tests.contract.differences import has

pytestmark = pytest.mark.anyio


def watching(server: OllamaServer, model: str = f"{PINNED}@{PINNED_CONTEXT}") -> Agent:
    """Make an agent with checks that a busy two-core machine can answer in time."""
    patient = {"PERIOD_SECONDS": "1", "TIMEOUT_SECONDS": "1", "STARTUP_TIMEOUT_SECONDS": "60"}
    return Agent(str(server.http.base_url), MODEL=model, **patient)


async def test_ready_means_that_a_chat_is_answered(server: OllamaServer) -> None:
    """From nothing loaded to READY, and a chat client gets words at once, with the pinned context."""
    async with watching(server) as agent:
        await agent.until("READY")
        async with ollama.AsyncClient(str(server.http.base_url)) as client:
            answer = await client.chat(PINNED, [{"role": "user", "content": "Say hello."}], options={"num_predict": 8})
        assert answer.message.content
        assert (answer.load_duration or 0) < 0.5e9, "the chat had to load"
        assert server.loaded()["context_length"] == PINNED_CONTEXT
        assert server.loaded()["expires_at"] > "2100"
        assert agent.controller.observed.ollama_version == server.version


async def test_a_killed_runner_is_noticed_and_restarted(server: OllamaServer) -> None:
    """A runner killed while idle stays in /api/ps; the agent notices all the same, and is READY again."""
    async with watching(server) as agent:
        await agent.until("READY")
        before = server.runner()
        os.kill(before, signal.SIGKILL)
        if has(server, "restart is seen"):
            await agent.until("LOADING", "runner")
        await agent.until_true(lambda: server.runners() not in ([], [before]), lambda: "another runner")
        await agent.until_true(lambda: bool(server.ps()), lambda: "the loaded model")
        await agent.until("READY")
        assert server.loaded()["expires_at"] > "2100"


async def test_a_stopped_runner_is_not_ready(server: OllamaServer) -> None:
    """A runner that hangs ends READY after the threshold; when it goes on, the model is READY again."""
    async with watching(server) as agent:
        await agent.until("READY")
        runner = server.runner()
        os.kill(runner, signal.SIGSTOP)
        try:
            # An Ollama before 0.30 asks nobody on an empty load: what it says of a hung runner is no lie it can see.
            if server.release >= (0, 30):
                await agent.until("LOADING")
        finally:
            os.kill(runner, signal.SIGCONT)
        await agent.until("READY")


async def test_a_client_that_changes_the_context_is_repaired(server: OllamaServer) -> None:
    """A client's num_ctx makes Ollama reload; the agent pins its own context again."""
    async with watching(server) as agent:
        await agent.until("READY")
        await asyncio.to_thread(server.load, PINNED, options={"num_ctx": 1024})
        await agent.until("LOADING")
        await agent.until("READY")
        assert server.loaded()["context_length"] == PINNED_CONTEXT


async def test_a_context_that_nobody_chose_is_pinned_as_observed(server: OllamaServer) -> None:
    """Without a pin the server's own context becomes the pin; asking for it by number reloads nothing."""
    async with watching(server, PLAIN) as agent:
        await agent.until("READY")
        runner = server.runner()
        await agent.until_true(lambda: agent.controller.observed.checks >= 2, lambda: "two checks")
        assert server.runner() == runner
        assert agent.controller.view().models[0].num_ctx == server.loaded()["context_length"] == DEFAULT_CONTEXT


async def test_a_runner_that_another_tag_started_is_recognised(server: OllamaServer) -> None:
    """Two tags of one blob share a runner, listed under the first-loaded name: that is no eviction."""
    server.load(PLAIN, options={"num_ctx": PINNED_CONTEXT})
    async with watching(server) as agent:
        await agent.until("READY")
        assert f"{PLAIN}:latest" in agent.controller.observed.aliases.values()


async def test_a_client_that_un_pins_is_undone_without_a_reload(server: OllamaServer) -> None:
    """A client's keep_alive is overruled by the next check, and the runner stays the same."""
    async with watching(server) as agent:
        await agent.until("READY")
        runner = server.runner()
        await asyncio.to_thread(server.load, PINNED, keep_alive="5m")
        await agent.until_true(lambda: agent.controller.observed.unpinned == 1, lambda: "the new pin")
        await agent.until_true(lambda: server.loaded()["expires_at"] > "2100", lambda: "the pin to be seen")
        assert server.runner() == runner
        assert agent.controller.readiness.epoch == 1


async def test_an_evicted_model_is_loaded_again(server: OllamaServer) -> None:
    """A client's keep_alive 0 unloads the model; the agent loads it again."""
    async with watching(server) as agent:
        await agent.until("READY")
        await asyncio.to_thread(server.load, PINNED, keep_alive=0)
        await agent.until("LOADING", "not loaded")
        await agent.until("READY")


async def test_the_watch_leaves_a_busy_model_alone(server: OllamaServer) -> None:
    """While a long answer streams over several checks, the model stays READY and the stream whole."""
    async with watching(server) as agent:
        await agent.until("READY")
        async with ollama.AsyncClient(str(server.http.base_url)) as client:
            await _count_during(agent, client)
        assert agent.controller.readiness.ready
        assert agent.controller.readiness.epoch == 1


async def _count_during(agent: Agent, client: ollama.AsyncClient) -> None:
    """Stream answers, the next as soon as one has ended, until three checks were made while they did."""
    begun, options = agent.controller.observed.checks, {"temperature": 0, "num_predict": 64}
    async with asyncio.timeout(30):
        while agent.controller.observed.checks < begun + 3:
            stream = await client.generate(PINNED, COUNTING, raw=True, stream=True, options=options)
            parts = [part async for part in stream]
            assert parts[-1].done, "the stream was cut"
            assert len(parts) > 3


async def test_a_context_above_the_trained_one_is_failed(server: OllamaServer) -> None:
    """Every Ollama caps the context without an error; the agent calls it unattainable."""
    async with watching(server, f"{PINNED}@{TRAINED_CONTEXT + 1}") as agent:
        await agent.until("FAILED", f"trained with a context of {TRAINED_CONTEXT}")


async def test_a_missing_model_is_named(server: OllamaServer) -> None:
    """A model that is not in the store is reported, with those that are."""
    async with watching(server, "missing@1024") as agent:
        await agent.until("VERIFYING", f"{PINNED}:latest")
