"""The way up and the watch, against a server on loopback that behaves, and misbehaves, like Ollama."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.agent import Agent
from tests.servers import LoopbackServer

from ops.standin import (
    Hang,
    NotJson,
    Reset,
    ScriptedEngine,
    SlowBytes,
    StandIn,
    Status,
    StoredModel,
    Truncate,
)
from probe_agent.readiness import ReadinessState
from probe_agent.watch import UNDISTURBED_SECONDS
from probe_agent.waterfall import Phase

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio is what uvicorn runs the agent on."""
    return "asyncio"


class Ollama:
    """The stand-in with its scripted engine, one model `m`, and the loopback server that runs it."""

    def __init__(self, **options: Any) -> None:
        self.engine = ScriptedEngine(load_seconds=0.02)
        model = StoredModel("m", num_ctx=2048, trained_context=8192)
        given = {"num_parallel": 2, "context_length": 2048, "ping_timeout_seconds": 0.3, **options}
        self.app = StandIn(models=[model], engine=self.engine, **given)
        self.running = LoopbackServer(self.app)
        self.url = self.running.url

    def asked(self, path: str) -> list[dict[str, Any]]:
        """Return the bodies of the requests that arrived at a path."""
        return [asked.body or {} for asked in self.app.requests if asked.path == path]

    def looks(self) -> list[Any]:
        """Return the requests for the list of what is loaded."""
        return [asked for asked in self.app.requests if asked.path == "/api/ps"]

    async def client(self, **body: Any) -> None:
        """What a client of the service does: one generate request to the model."""
        async with httpx.AsyncClient(timeout=10) as http:
            await http.post(f"{self.url}/api/generate", json={"model": "m", "stream": False, **body})


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    """Run a server that behaves."""
    server = Ollama()
    with server.running:
        yield server


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
    assert agent.supervisor.readiness.proofs[0].tokens == 1


async def test_the_waterfall_has_every_phase_in_order(ollama: Ollama) -> None:
    """At READY every phase is marked, at times that never run backwards, and the gap spans them."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
    waterfall = agent.supervisor.record.waterfall
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
        assert [phase for phase, _ in agent.supervisor.record.waterfall.marks] == ["agent_up", "port_open"]
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


# period × threshold + one time-out, and a little for a busy machine's scheduling
PROMISE_SECONDS = 2 * 0.2 + 0.2 + 0.2
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
    """Whatever the state, a silent server is found out within the promised time, and mends when it answers."""
    release = stuck_at(state, ollama)
    async with Agent(ollama.url) as agent:
        await agent.until(state)
        began = time.monotonic()
        ollama.app.faults.on("*", Hang())
        await agent.until_true(lambda: agent.state != state, lambda: f"the end of {state}")
        # On the way up each sign of life waits its period and then its time-out.
        assert time.monotonic() - began < PROMISE_SECONDS + (state != "READY") * 2 * 0.2
        assert not agent.supervisor.readiness.ready
        assert agent.supervisor.alive()
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
        assert agent.supervisor.readiness.action
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
        assert (agent.supervisor.record.waterfall.seconds(Phase.MODEL_VERIFIED) or 0) > agent.settings.timeout_seconds


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
        await agent.until_true(lambda: agent.supervisor.record.unpinned == 1, lambda: "the model seen as un-pinned")


async def test_an_absent_model_is_waited_for(ollama: Ollama) -> None:
    """A model that is not in the store is named with what is there; once it is there it gets ready."""
    async with Agent(ollama.url, MODEL="other@2048") as agent:
        await agent.until("VERIFYING", "other is not in Ollama's store (which holds: m:latest)")
        ollama.app.models.add(StoredModel("other", num_ctx=2048, trained_context=8192))
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
        assert agent.supervisor.settled.is_set()
        assert agent.supervisor.alive()
    assert ollama.engine.starts == []


async def test_a_context_above_the_trained_one_is_failed(ollama: Ollama) -> None:
    """A pin that the model cannot attain is told before the load, with the longest context that it has."""
    async with Agent(ollama.url, MODEL="m@9000") as agent:
        await agent.until("FAILED", "trained with a context of 8192")
    assert ollama.engine.starts == []


def tags_of_an_old_ollama(ollama: Ollama) -> str:
    """What `/api/tags` says before 0.30: neither trained context nor capabilities."""
    listed = httpx.get(f"{ollama.url}/api/tags").json()
    for model in listed["models"]:
        model.pop("capabilities", None)
        model["details"].pop("context_length", None)
    return json.dumps(listed)


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "not shown"])
async def test_an_old_ollama_is_not_blamed_for_a_client(ollama: Ollama, shown: bool) -> None:
    """A client that drifts during the very first load is drift, not a model of short context."""
    ollama.app.faults.on("/api/tags", Status(200, tags_of_an_old_ollama(ollama)))
    ollama.app.faults.on("/api/ps", Hang())
    async with Agent(ollama.url) as agent:
        await agent.until_true(lambda: bool(ollama.looks()), lambda: "a look")
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        ollama.app.faults.clear()
        if not shown:
            ollama.app.faults.on("/api/show", Status(500, "gone"))
        await agent.until("LOADING", "loaded with a context of 1024")
        await agent.until("READY")


async def test_an_old_ollama_shows_an_unattainable_context_after_the_load(ollama: Ollama) -> None:
    """Where `/api/tags` does not tell the trained context, the capped one betrays it."""
    ollama.app.faults.on("/api/tags", Status(200, tags_of_an_old_ollama(ollama)))
    async with Agent(ollama.url, MODEL="m@9000") as agent:
        await agent.until("FAILED", "trained with a context of 8192")


async def test_an_embedding_model_is_proven_by_a_vector(ollama: Ollama) -> None:
    """A model that only embeds is loaded and proven through /api/embed, and needs no chat to be warm."""
    ollama.app.models.add(StoredModel("e", num_ctx=2048, trained_context=2048, capabilities=("embedding",)))
    async with Agent(ollama.url, MODEL="e@2048") as agent:
        await agent.until("READY")
    assert [body["input"] for body in ollama.asked("/api/embed")][:2] == ["", "Hi"]
    assert ollama.asked("/api/chat") == []


async def test_an_old_ollama_shows_that_a_model_embeds(ollama: Ollama) -> None:
    """Where `/api/tags` does not tell capabilities, the refused load is explained by /api/show."""
    ollama.app.models.add(StoredModel("e", num_ctx=2048, trained_context=2048, capabilities=("embedding",)))
    ollama.app.faults.on("/api/tags", Status(200, tags_of_an_old_ollama(ollama)))
    async with Agent(ollama.url, MODEL="e@2048") as agent:
        await agent.until("READY")


async def test_a_model_that_cannot_be_shown_is_damaged(ollama: Ollama) -> None:
    """A refused load of a model that cannot be shown stays a failed load."""
    ollama.app.faults.on("/api/generate", Status(400, '{"error": "\\"m\\" does not support generate"}'))
    ollama.app.faults.on("/api/show", Status(500, "gone"))
    async with Agent(ollama.url) as agent:
        await agent.until("LOADING", "does not support generate")
        assert "damaged" in agent.supervisor.readiness.action


async def test_several_models_are_ready_together(ollama: Ollama) -> None:
    """Ready means that every model is loaded and proven."""
    ollama.app.models.add(StoredModel("e", num_ctx=1024, trained_context=2048, capabilities=("embedding",)))
    async with Agent(ollama.url, MODEL="m@2048,e@1024") as agent:
        await agent.until("READY")
        assert [proof.model for proof in agent.supervisor.readiness.proofs] == ["m", "e"]


async def test_a_runner_that_another_tag_started_is_recognised(ollama: Ollama) -> None:
    """Tags of one blob share a runner, listed under the first-loaded name: that is no eviction."""
    blob = ollama.app.models.find("m").blob
    ollama.app.models.add(StoredModel("twin", num_ctx=2048, trained_context=8192, blob=blob))
    await ollama.client(model="twin", prompt="")
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        assert agent.supervisor.record.pins[0].alias == "twin:latest"
        await agent.until_true(lambda: agent.supervisor.record.checks >= 2, lambda: "two checks")
        assert agent.supervisor.readiness.ready
    assert len(ollama.engine.starts) == 1


async def test_models_that_push_each_other_out_are_not_ready() -> None:
    """Two models on a server that holds one: not ready, and the reason names the variable to raise."""
    server = Ollama(max_loaded_models=1)
    server.app.models.add(StoredModel("n", num_ctx=2048, trained_context=8192))
    with server.running:
        async with Agent(server.url, MODEL="m@2048,n@2048") as agent:
            await agent.until("LOADING", "model m is not loaded (loaded: n:latest)")
            assert "OLLAMA_MAX_LOADED_MODELS" in agent.supervisor.readiness.action


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
        assert agent.supervisor.record.warmup_refused == 1
    assert "no eyes" in caplog.text


async def test_a_prompt_that_always_breaks_is_left_out(ollama: Ollama) -> None:
    """A 500 may be the runner's fault or the prompt's: after a second one, on a new load, the prompt is left out."""
    ollama.app.faults.on("/api/chat", Status(500, '{"error": "option must be a number"}'))
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        assert agent.supervisor.record.warmup_refused == 1
        assert agent.supervisor.readiness.epoch == 2


async def test_a_runner_that_breaks_in_the_warm_up_is_loaded_again(ollama: Ollama) -> None:
    """A 500 in the warm-up voids the proof: the load begins anew."""
    ollama.app.faults.on("/api/chat", Status(500, '{"error": "runner died"}'))
    async with Agent(ollama.url) as agent:
        await agent.until("LOADING", "runner died")
        ollama.app.faults.clear()
        await agent.until("READY")
        assert agent.supervisor.readiness.epoch > 1


async def test_what_was_proven_must_hold_after_the_warm_up(ollama: Ollama) -> None:
    """A model that spills out of GPU memory while it is warmed is not ready."""
    ollama.engine.vram_fraction = 1.0
    ollama.app.faults.on("/api/chat", Hang())
    async with Agent(ollama.url, DEVICE="gpu") as agent:
        await agent.until("WARMING")
        ollama.app.spill("m", fraction_in_vram=0.5)
        ollama.app.faults.clear()
        await agent.until("LOADING", "lie outside GPU memory")


async def test_the_watch_disturbs_nobody(ollama: Ollama) -> None:
    """Checks of a healthy model are empty loads: nothing is generated and nothing reloads."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        before = len(ollama.asked("/api/generate"))
        await agent.until_true(lambda: agent.supervisor.record.checks >= 3, lambda: "three checks")
    assert all(body["prompt"] == "" for body in ollama.asked("/api/generate")[before:])
    assert len(ollama.engine.starts) == 1


async def test_a_runner_killed_while_idle_is_noticed_and_restarted(ollama: Ollama) -> None:
    """A dead runner stays listed, so the runner itself is asked: not ready while Ollama starts it again."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        ollama.engine.load_seconds = 0.6
        ollama.app.runner("m").kill()
        await agent.until("LOADING", "runner of model m was gone")
        await agent.until("READY")
    assert len(ollama.engine.starts) == 2


async def test_a_runner_killed_while_busy_is_noticed_and_restarted(
    ollama: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner that dies under a client's request is brought back as well."""
    ollama.engine.token_seconds = 5
    async with Agent(ollama.url) as agent:
        monkeypatch.setattr(agent.server, "prove", _instant_proof)
        monkeypatch.setattr(agent.server, "chat", _instant_chat)
        await agent.until("READY")
        client = asyncio.create_task(ollama.client(prompt="Tell."))
        await agent.until_true(
            lambda: ollama.asked("/api/generate")[-1].get("prompt") == "Tell.", lambda: "the request"
        )
        ollama.engine.load_seconds = 0.6
        ollama.app.runner("m").kill()
        await agent.until("LOADING")
        await agent.until("READY")
        await client


async def _instant_proof(*_: Any, **__: Any) -> int:
    return 1


async def _instant_chat(*_: Any, **__: Any) -> None:
    return None


async def test_a_hung_runner_is_noticed_and_replaced(ollama: Ollama) -> None:
    """A runner that does not answer counts as lost after the threshold; Ollama's own pings replace it."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        ollama.app.runner("m").hang()
        await agent.until("LOADING", "failures in a row")
        await agent.until("READY")
    assert len(ollama.engine.starts) == 2


async def test_an_evicted_model_is_loaded_again(ollama: Ollama) -> None:
    """A client's keep_alive 0 unloads the model; the agent says so and loads it again, pinned."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        await ollama.client(keep_alive=0)
        await agent.until("LOADING", "model m is not loaded")
        await agent.until("READY")


async def test_a_client_that_un_pins_is_undone_without_a_reload(ollama: Ollama) -> None:
    """A client's keep_alive lets the model expire; the next check pins it again, and it never leaves memory."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        await ollama.client(prompt="", keep_alive="300s")
        await agent.until_true(lambda: agent.supervisor.record.unpinned == 1, lambda: "the new pin")
        await agent.until_true(lambda: _pinned(ollama), lambda: "the pin to be seen")
        assert agent.supervisor.readiness.epoch == 1
    assert len(ollama.engine.starts) == 1


def _pinned(ollama: Ollama) -> bool:
    listed = httpx.get(f"{ollama.url}/api/ps").json()["models"]
    return bool(listed) and listed[0]["expires_at"] > "2100"


async def test_a_drifted_context_is_pinned_again(ollama: Ollama) -> None:
    """A client's num_ctx makes Ollama reload; with repin the agent loads the pinned context again."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        await agent.until("LOADING")
        await agent.until("READY")
    assert [start[1].num_ctx for start in ollama.engine.starts] == [2048, 1024, 2048]


async def test_re_pinning_does_not_fight(ollama: Ollama) -> None:
    """A client that drifts again and again is not answered request for request: the waits double."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        began, drifts = time.monotonic(), 0
        while time.monotonic() - began < 2.0:
            await ollama.client(prompt="x", options={"num_ctx": 1024})
            drifts += 1
    ours = [start for start in ollama.engine.starts[1:] if start[1].num_ctx == 2048]
    # Waits of 0, 0.2, 0.4 and 0.8 s fit into two seconds, the next one does not.
    assert 1 <= len(ours) <= 5
    assert drifts > 20


@pytest.mark.parametrize("keep_alive", [300.0, float("inf")], ids=["un-pinned", "pinned by the server"])
async def test_hidden_drift_is_not_fought_either(keep_alive: float) -> None:
    """A reload with options that /api/ps does not show is undone by the next question; the questions get rarer."""
    server = Ollama(keep_alive=keep_alive)
    server.engine.load_seconds = 0.15
    with server.running:
        async with Agent(server.url) as agent:
            await agent.until("READY")
            began = time.monotonic()
            while time.monotonic() - began < 5.0:
                await server.client(prompt="x", options={"num_thread": 1, "num_ctx": 2048})
                seen = agent.supervisor.record.checks
                await agent.until_true(lambda seen=seen: agent.supervisor.record.checks > seen, lambda: "a check")  # type: ignore[misc]
    # Four were seen, and six with a question each period, whose reloads only the evictions then slow down.
    assert 1 <= agent.supervisor.record.transitions[ReadinessState.READY, ReadinessState.LOADING] <= 5


async def test_a_client_that_un_pins_does_not_blind_the_watch(ollama: Ollama) -> None:
    """Pinning again costs no reload, so the runner is still asked each period: a killed one is noticed in time."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        for times in range(1, 4):
            await ollama.client(prompt="", keep_alive="300s")
            await agent.until_true(lambda times=times: agent.supervisor.record.unpinned == times, lambda: "the pin")  # type: ignore[misc]
        ollama.engine.load_seconds = 0.6
        ollama.app.runner("m").kill()
        began = time.monotonic()
        await agent.until("LOADING", "runner of model m was gone")
        assert time.monotonic() - began < PROMISE_SECONDS


async def test_drift_is_only_reported_on_request(ollama: Ollama) -> None:
    """With report the agent leaves the client's context alone, even while it loads for several periods."""
    ollama.engine.load_seconds = 0.8
    async with Agent(ollama.url, CONTEXT_DRIFT="report") as agent:
        await agent.until("READY")
        client = asyncio.create_task(ollama.client(prompt="x", options={"num_ctx": 1024}))
        await agent.until("LOADING", "loaded with a context of 1024, pinned is 2048")
        await client
        assert agent.supervisor.record.resident["m"].context_length == 1024
        looks = len(ollama.looks())
        await agent.until_true(lambda: len(ollama.looks()) >= looks + 5, lambda: "five more looks")
        assert [start[1].num_ctx for start in ollama.engine.starts] == [2048, 1024]
        ollama.engine.load_seconds = 0.02
        await ollama.client(prompt="", options={"num_ctx": 2048})
        await agent.until("READY")
        assert agent.supervisor.record.reloads["ContextDrifted"] == 0


async def test_a_pin_that_comes_back_ends_the_wait(ollama: Ollama) -> None:
    """While a re-pin waits for its turn, a client may restore the pinned context: READY without a reload of ours."""
    async with Agent(ollama.url, PERIOD_SECONDS="0.4") as agent:
        await agent.until("READY")
        agent.supervisor._limit.wait(time.monotonic())
        agent.supervisor._limit._count = 5  # the next wait is 12 periods, 4.8 s
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        await agent.until("LOADING", "pinned is 2048")
        began = time.monotonic()
        await ollama.client(prompt="", options={"num_ctx": 2048})
        await agent.until("READY")
        assert time.monotonic() - began < 3


async def test_a_server_that_dies_during_a_wait_is_noticed(ollama: Ollama) -> None:
    """The wait before a reload is not blind: a dead server is UNREACHABLE, not LOADING."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        agent.supervisor._limit.wait(time.monotonic())
        agent.supervisor._limit._count = 20
        ollama.app.faults.on("/api/generate", Status(500, '{"error": "runner lost"}'))
        await agent.until("LOADING")
        ollama.running.kill()
        await agent.until("UNREACHABLE")


async def test_a_context_that_nobody_chose_is_pinned_as_observed(ollama: Ollama) -> None:
    """Without a pin the model gets what Ollama gives it, and keeps that: another context is drift."""
    async with Agent(ollama.url, MODEL="m") as agent:
        await agent.until("READY")
        assert ollama.asked("/api/generate")[0]["options"] == {}
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        await agent.until("LOADING")
        await agent.until("READY")
    assert [start[1].num_ctx for start in ollama.engine.starts] == [2048, 1024, 2048]


async def test_an_eviction_is_repaired_under_report_too(ollama: Ollama) -> None:
    """Report is about contexts: a model that is simply gone is loaded again."""
    async with Agent(ollama.url, CONTEXT_DRIFT="report") as agent:
        await agent.until("READY")
        await ollama.client(keep_alive=0)
        await agent.until("LOADING", "model m is not loaded")
        await agent.until("READY")


async def test_a_model_deleted_under_the_watch_is_told(ollama: Ollama) -> None:
    """A runner that serves a deleted model answers its check with 404: not ready, then absent."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        ollama.app.models.remove("m")
        await agent.until("VERIFYING", "not found")


async def test_a_blocked_list_is_unknown_until_the_threshold(ollama: Ollama) -> None:
    """One time-out of /api/ps changes nothing; as many as the threshold allows end READY."""
    async with Agent(ollama.url, FAILURE_THRESHOLD="3") as agent:
        await agent.until("READY")
        ollama.app.faults.on("/api/ps", Hang())
        await agent.until_true(lambda: agent.supervisor.failures_in_a_row == 1, lambda: "a failure")
        assert agent.supervisor.readiness.ready
        ollama.app.faults.clear()
        await agent.until_true(lambda: agent.supervisor.failures_in_a_row == 0, lambda: "a success")
        ollama.app.faults.on("/api/ps", Hang())
        await agent.until("LOADING", "/api/ps got no whole answer")


async def test_a_fault_of_the_agent_is_told_as_one(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug ends in FAILED with its name, and liveness falls so that the platform restarts the instance."""
    async with Agent(ollama.url) as agent:

        async def broken(_: float) -> list[Any]:
            raise ZeroDivisionError

        monkeypatch.setattr(agent.server, "stored_models", broken)
        await agent.until("FAILED", "ZeroDivisionError")
        assert not agent.supervisor.alive()


async def test_a_bug_in_a_warm_up_is_not_swallowed(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is not Ollama's, in one of several requests at once, is a fault of the agent."""
    async with Agent(ollama.url) as agent:

        async def broken(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(agent.server, "chat", broken)
        await agent.until("FAILED", "ZeroDivisionError")


async def test_a_cancelled_supervisor_says_so(ollama: Ollama) -> None:
    """Cancelling without stop is passed on, as asyncio wants it."""
    agent = Agent(ollama.url)
    task = asyncio.create_task(agent.supervisor.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await agent.server.close()


async def test_a_stuck_supervisor_is_not_alive(ollama: Ollama) -> None:
    """Liveness falls when the supervisor has not moved for several checks."""
    now = 0.0
    agent = Agent(ollama.url)
    agent.supervisor.clock = lambda: now
    agent.supervisor._moved = 0.0
    assert agent.supervisor.alive()
    now = 5 * (0.2 + 2 * 0.2)
    assert not agent.supervisor.alive()
    await agent.server.close()


async def test_equal_failures_are_one_line(ollama: Ollama, caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of refused connections are one line with a count."""
    caplog.set_level("INFO")
    ollama.running.stop()
    async with Agent(ollama.url) as agent:
        await agent.until_true(lambda: agent.supervisor.failures_in_a_row > 20, lambda: "failures")
        ollama.running.start()
        await agent.until("READY")
    lines = [record.message for record in caplog.records if "no more of: connecting failed" in record.message]
    assert len(lines) == 1
    assert "times in" in lines[0]


async def test_a_slow_runner_is_still_a_runner(ollama: Ollama) -> None:
    """A check that takes long, but less than its time-out, is a success."""
    async with Agent(ollama.url, PERIOD_SECONDS="2", TIMEOUT_SECONDS="2") as agent:
        await agent.until("READY")
        ollama.app.faults.on("/api/generate", SlowBytes(400))
        await agent.until_true(lambda: agent.supervisor.record.checks >= 1, lambda: "a check")
        assert agent.supervisor.record.check_seconds > UNDISTURBED_SECONDS
        assert agent.supervisor.readiness.ready


async def test_a_change_of_reason_ends_the_line_of_the_former(ollama: Ollama, caplog: pytest.LogCaptureFixture) -> None:
    """Equal reasons in one state are one line with their count, written when another reason takes over."""
    caplog.set_level("INFO")
    ollama.app.faults.on("/api/generate", Status(500, '{"error": "first"}'))
    async with Agent(ollama.url, PERIOD_SECONDS="0.05", TIMEOUT_SECONDS="0.05") as agent:
        await agent.until_true(lambda: agent.supervisor.record.reloads["LoadFailed"] >= 3, lambda: "three failures")
        ollama.app.faults.on("/api/generate", Status(500, '{"error": "second"}'))
        await agent.until("LOADING", "second")
    told = [record.message for record in caplog.records if "500: first" in record.message]
    assert len(told) == 2
    assert "times in" in told[1]


async def test_a_fault_while_stopping_changes_nothing(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that shows while the agent stops is logged, and the state stays STOPPING."""
    agent = Agent(ollama.url)

    async def broken() -> None:
        agent.supervisor.stop("test")
        raise ZeroDivisionError

    monkeypatch.setattr(agent.supervisor, "_advance", broken)
    await asyncio.gather(asyncio.create_task(agent.supervisor.run()), return_exceptions=True)
    assert agent.state == "STOPPING"
    await agent.server.close()


async def test_a_supervisor_stopped_before_it_runs_does_nothing(ollama: Ollama) -> None:
    """Stopping first is final: the run ends before it asks anybody."""
    agent = Agent(ollama.url)
    agent.supervisor.stop("test")
    await agent.supervisor.run()
    assert agent.state == "STOPPING"
    assert ollama.app.requests == []
    await agent.server.close()
