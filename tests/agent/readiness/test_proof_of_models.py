"""What must be true of the models before they are READY, and what is said when it is not."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.agent import Agent
from lab.scripted import Ollama
from lab.servers import NO_TLS
from ops.standin import (
    Hang,
    ServedModel,
    SlowBytes,
    Status,
)

pytestmark = pytest.mark.anyio


async def test_an_absent_model_is_waited_for(ollama: Ollama) -> None:
    """A model that is not in the store is named with what is there; once it is there it gets ready."""
    async with Agent(ollama.url, MODEL="other@2048") as agent:
        await agent.until("VERIFYING", "other is not in Ollama's store (which holds: m:latest)")
        ollama.app.models.add(ServedModel("other", num_ctx=2048, trained_context=8192))
        await agent.until("READY")


async def test_a_model_deleted_before_its_load_is_absent(ollama: Ollama) -> None:
    """A load that answers 404 leads back to verifying."""
    ollama.app.faults.on("/api/generate", Status(404, '{"error": "model \'m\' not found"}'))
    async with Agent(ollama.url) as agent:
        await agent.until("VERIFYING", "model 'm' not found")
        ollama.app.faults.clear()
        await agent.until("READY")


async def test_a_model_replaced_under_its_name_is_failed(ollama: Ollama) -> None:
    """The digest is held against what is loaded, too: a model that was replaced in the store is not served."""
    digest = ollama.app.models.find("m").digest
    async with Agent(ollama.url, MODEL_DIGEST=digest) as agent:
        await agent.until("READY")
        ollama.app.models.change("m", digest="ff" * 32)
        await ollama.client(keep_alive=0)
        await agent.until("FAILED", "has digest ffffffffffff")


async def test_a_wrong_digest_is_failed(ollama: Ollama) -> None:
    """A model with another digest than the expected one is never loaded."""
    async with Agent(ollama.url, MODEL_DIGEST="ab" * 32) as agent:
        await agent.until("FAILED", "expected abababababab")
        assert agent.controller.view().settled
        assert agent.controller.view().alive
    assert ollama.engine.starts == []


async def test_a_context_above_the_trained_one_is_failed(ollama: Ollama) -> None:
    """A pin that the model cannot attain is reported before the load, with the longest context that it has."""
    async with Agent(ollama.url, MODEL="m@9000") as agent:
        await agent.until("FAILED", "trained with a context of 8192")
    assert ollama.engine.starts == []


def tags_of_an_old_ollama(ollama: Ollama) -> str:
    """What `/api/tags` says before 0.30: neither trained context nor capabilities."""
    listed = httpx.get(f"{ollama.url}/api/tags", verify=NO_TLS).json()
    for model in listed["models"]:
        model.pop("capabilities", None)
        model["details"].pop("context_length", None)
    return json.dumps(listed)


async def test_a_client_during_the_first_load_is_not_taken_for_the_server(ollama: Ollama) -> None:
    """A client's num_ctx during the very first load is undone by the next load, and no fault of the server."""
    ollama.app.faults.on("/api/ps", Hang())
    async with Agent(ollama.url) as agent:
        await agent.until_true(lambda: bool(ollama.looks()), lambda: "a look")
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        ollama.app.faults.clear()
        await agent.until("READY")
    assert [start[1].num_ctx for start in ollama.engine.starts] == [2048, 1024, 2048]


async def test_an_old_ollama_shows_an_unattainable_context(ollama: Ollama) -> None:
    """Where `/api/tags` has no trained context, `/api/show` has it: such a pin is never loaded."""
    ollama.app.faults.on("/api/tags", Status(200, tags_of_an_old_ollama(ollama)))
    async with Agent(ollama.url, MODEL="m@9000") as agent:
        await agent.until("FAILED", "trained with a context of 8192")
    assert ollama.engine.starts == []


async def gives(ollama: Ollama, context: int) -> None:
    """Let Ollama list `context` whatever a load asks for."""
    await ollama.client(prompt="")
    answer = json.loads(listed(ollama, "/api/ps"))
    answer["models"][0]["context_length"] = context
    ollama.app.faults.on("/api/ps", Status(200, json.dumps(answer)))


@pytest.mark.parametrize(
    ("given", "reason", "action"),
    [
        (4096, "a context of 4096 whenever 2048 is asked for: this server has a minimum", "to m@4096, and plan"),
        (
            16384,
            "a context of 16384 whenever 2048 is asked for: this server has a minimum",
            "trained with at least 16384; this one has 8192",
        ),
        (1024, "a context of 1024 whenever 2048 is asked for: this server has a maximum", "to m@1024 or less"),
    ],
    ids=["floor", "more than trained", "cap"],
)
async def test_a_context_that_the_server_itself_gives_is_failed(
    ollama: Ollama, given: int, reason: str, action: str
) -> None:
    """F11: a context that further loads leave as it is, at once, is the server's own: no endless LOADING."""
    await gives(ollama, given)
    async with Agent(ollama.url) as agent:
        await agent.until("FAILED", reason)
        assert action in agent.controller.readiness.action


async def test_a_context_that_changes_after_ready_is_a_clients(ollama: Ollama) -> None:
    """Once the server has given the pinned context, another one is put on clients, and never ends in FAILED."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        await gives(ollama, 4096)
        await agent.until_true(
            lambda: agent.controller.observed.reloads["ContextDrifted"] >= 3, lambda: "three reloads with back-off"
        )
        assert agent.state == "LOADING"
        assert "clients" in agent.controller.readiness.action


async def test_a_context_that_each_load_changes_is_a_clients(ollama: Ollama) -> None:
    """A load that takes its time has reloaded something: the other context is put on clients."""
    await gives(ollama, 4096)
    ollama.app.faults.on("/api/generate", SlowBytes(60))
    async with Agent(ollama.url) as agent:
        await agent.until("LOADING", "loaded with a context of 4096")
        assert "clients" in agent.controller.readiness.action


def listed(ollama: Ollama, path: str) -> str:
    """Return what the server lists under a path."""
    return httpx.get(f"{ollama.url}{path}", verify=NO_TLS).text


@pytest.mark.parametrize("name", ["library/m", "M", "registry.ollama.ai/library/m:latest"])
async def test_every_spelling_of_a_name_gets_ready(ollama: Ollama, name: str) -> None:
    """F12: Ollama lists the short name, whatever spelling the operator uses and Ollama takes."""
    await ollama.client(prompt="")
    tags, running = listed(ollama, "/api/tags"), listed(ollama, "/api/ps")
    ollama.app.models.add(ServedModel(name, num_ctx=2048, trained_context=8192))
    ollama.app.faults.on("/api/tags", Status(200, tags))
    ollama.app.faults.on("/api/ps", Status(200, running))
    async with Agent(ollama.url, MODEL=f"{name}@2048") as agent:
        await agent.until("READY")


async def test_an_embedding_model_is_proven_by_a_vector(ollama: Ollama) -> None:
    """A model that only embeds is loaded and proven through /api/embed, and needs no chat to be warm."""
    ollama.app.models.add(ServedModel("e", num_ctx=2048, trained_context=2048, capabilities=("embedding",)))
    async with Agent(ollama.url, MODEL="e@2048") as agent:
        await agent.until("READY")
    assert [body["input"] for body in ollama.asked("/api/embed")][:2] == ["", "Hi"]
    assert ollama.asked("/api/chat") == []


async def test_an_old_ollama_shows_that_a_model_embeds(ollama: Ollama) -> None:
    """Where `/api/tags` does not tell capabilities, the refused load is explained by /api/show."""
    ollama.app.models.add(ServedModel("e", num_ctx=2048, trained_context=2048, capabilities=("embedding",)))
    ollama.app.faults.on("/api/tags", Status(200, tags_of_an_old_ollama(ollama)))
    async with Agent(ollama.url, MODEL="e@2048") as agent:
        await agent.until("READY")


async def test_a_model_that_cannot_be_shown_is_damaged(ollama: Ollama) -> None:
    """On an old Ollama, too, a refused load of a model that cannot be shown stays a failed load."""
    ollama.app.faults.on("/api/tags", Status(200, tags_of_an_old_ollama(ollama)))
    ollama.app.faults.on("/api/generate", Status(400, '{"error": "\\"m\\" does not support generate"}'))
    ollama.app.faults.on("/api/show", Status(500, "gone"))
    async with Agent(ollama.url) as agent:
        await agent.until("LOADING", "does not support generate")
        assert "damaged" in agent.controller.readiness.action


async def test_several_models_are_ready_together(ollama: Ollama) -> None:
    """Ready means that every model is loaded and proven."""
    ollama.app.models.add(ServedModel("e", num_ctx=1024, trained_context=2048, capabilities=("embedding",)))
    async with Agent(ollama.url, MODEL="m@2048,e@1024") as agent:
        await agent.until("READY")
        assert set(agent.controller.observed.running) == {"m", "e"}


async def test_a_runner_that_another_tag_started_is_recognised(ollama: Ollama) -> None:
    """Tags of one blob share a runner, listed under the first-loaded name: that is no eviction."""
    blob = ollama.app.models.find("m").blob
    ollama.app.models.add(ServedModel("twin", num_ctx=2048, trained_context=8192, blob=blob))
    await ollama.client(model="twin", prompt="")
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        assert agent.controller.observed.aliases == {"m": "twin:latest"}
        await agent.until_true(lambda: agent.controller.observed.checks >= 2, lambda: "two checks")
        assert agent.controller.readiness.ready
    assert len(ollama.engine.starts) == 1


async def test_models_that_push_each_other_out_are_not_ready() -> None:
    """Two models on a server that holds one: not ready, and the reason names the variable to raise."""
    server = Ollama(max_loaded_models=1)
    server.app.models.add(ServedModel("n", num_ctx=2048, trained_context=8192))
    with server.running:
        async with Agent(server.url, MODEL="m@2048,n@2048") as agent:
            await agent.until("LOADING", "model m is not loaded (loaded: n:latest)")
            assert "OLLAMA_MAX_LOADED_MODELS" in agent.controller.readiness.action


async def test_weights_outside_the_gpu_are_not_ready(ollama: Ollama) -> None:
    """With device gpu a spilled model is not ready, says how much lies outside, and gets ready when it fits."""
    ollama.engine.vram_fraction = 0.5
    async with Agent(ollama.url, DEVICE="gpu") as agent:
        await agent.until("LOADING", "lie outside GPU memory")
        ollama.app.spill("m", fraction_in_vram=1.0)
        await agent.until("READY")
        ollama.app.spill("m", fraction_in_vram=0.9)
        await agent.until("LOADING", "lie outside GPU memory")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Status(500, '{"error": "invalid api key"}'), "does not answer"),
        (Status(200, '{"model": "m", "response": "", "done": true}'), "generated nothing"),
    ],
)
async def test_loaded_is_not_taken_for_able_to_serve(
    ollama: Ollama, answer: Status, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that succeeds proves nothing: without a generated token the model is not ready."""
    async with Agent(ollama.url) as agent:
        monkeypatch.setattr(agent.server, "prove", _broken_proof(agent, ollama, answer))
        await agent.until("LOADING", reason)


def _broken_proof(agent: Agent, ollama: Ollama, answer: Status) -> Callable[..., Awaitable[int]]:
    """Let the server answer the proof, and only it, as told."""
    real = agent.server.prove

    async def prove(*given: Any, **named: Any) -> int:
        ollama.app.faults.on("/api/generate", answer)
        try:
            return await real(*given, **named)
        finally:
            ollama.app.faults.clear()

    return prove


async def test_warm_up_prompts_of_the_operator_fill_every_slot(ollama: Ollama, tmp_path: Path) -> None:
    """Three prompts on two slots are four requests, the first one again at the end."""
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(json.dumps({"messages": [{"role": "user", "content": word}]}) for word in "abc"))
    async with Agent(ollama.url, WARMUP_PROMPTS=str(file), OLLAMA_NUM_PARALLEL="2") as agent:
        await agent.until("READY")
    sent = sorted(chat["messages"][0]["content"] for chat in ollama.asked("/api/chat"))
    assert sent == ["a", "a", "b", "c"]


async def test_a_refused_warm_up_prompt_is_left_out(ollama: Ollama, caplog: pytest.LogCaptureFixture) -> None:
    """A prompt that Ollama refuses is no reason not to serve: it is logged and counted."""
    ollama.app.faults.on("/api/chat", Status(400, '{"error": "this model has no eyes"}'))
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        assert agent.controller.observed.warmup_refused == 1
    assert "no eyes" in caplog.text


async def test_a_prompt_that_always_breaks_is_left_out(ollama: Ollama) -> None:
    """A 500 may be the runner's fault or the prompt's: after a second one, on a new load, the prompt is left out."""
    ollama.app.faults.on("/api/chat", Status(500, '{"error": "option must be a number"}'))
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        assert agent.controller.observed.warmup_refused == 1
        assert agent.controller.readiness.epoch == 2


async def test_a_runner_that_breaks_in_the_warm_up_is_loaded_again(ollama: Ollama) -> None:
    """A 500 in the warm-up voids the proof: the load begins anew."""
    ollama.app.faults.on("/api/chat", Status(500, '{"error": "runner died"}'))
    async with Agent(ollama.url) as agent:
        await agent.until("LOADING", "runner died")
        ollama.app.faults.clear()
        await agent.until("READY")
        assert agent.controller.readiness.epoch > 1


async def test_what_was_proven_must_hold_after_the_warm_up(ollama: Ollama) -> None:
    """A model that spills out of GPU memory while it is warmed is not ready."""
    ollama.engine.vram_fraction = 1.0
    ollama.app.faults.on("/api/chat", Hang())
    async with Agent(ollama.url, DEVICE="gpu") as agent:
        await agent.until("WARMING")
        ollama.app.spill("m", fraction_in_vram=0.5)
        ollama.app.faults.clear()
        await agent.until("LOADING", "lie outside GPU memory")
