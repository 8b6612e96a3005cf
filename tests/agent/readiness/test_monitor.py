"""The watch over what is READY, its repairs, and the end of it."""

import asyncio
import json
import time
from itertools import accumulate
from typing import Any

import httpx
import pytest

from lab.agent import Agent
from lab.scripted import Ollama
from lab.servers import NO_TLS
from ops.standin import (
    Hang,
    SlowBytes,
    Status,
)
from probe_agent.endpoints.status import status
from probe_agent.readiness.loading import UNDISTURBED_SECONDS

pytestmark = pytest.mark.anyio


async def test_the_watch_disturbs_nobody(ollama: Ollama) -> None:
    """Checks of a healthy model are empty loads: nothing is generated and nothing reloads."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        before = len(ollama.asked("/api/generate"))
        await agent.until_true(lambda: agent.controller.observed.checks >= 3, lambda: "three checks")
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
        await agent.until_true(lambda: agent.controller.observed.unpinned == 1, lambda: "the new pin")
        await agent.until_true(lambda: _pinned(ollama), lambda: "the pin to be seen")
        assert agent.controller.readiness.epoch == 1
    assert len(ollama.engine.starts) == 1


def _pinned(ollama: Ollama) -> bool:
    listed = httpx.get(f"{ollama.url}/api/ps", verify=NO_TLS).json()["models"]
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
        while drifts < 25 or time.monotonic() - began < 2.0:
            await ollama.client(prompt="x", options={"num_ctx": 1024})
            drifts += 1
        took = time.monotonic() - began
    ours = [start for start in ollama.engine.starts[1:] if start[1].num_ctx == 2048]
    # Of periods; the first re-pin comes at once, the next ones wait the longer: two seconds hold 0, 0.2, 0.6 and 1.4.
    waits = accumulate([0, 1, 2, 4, 8, *[12] * 1000])
    assert 1 <= len(ours) <= sum(0.2 * wait <= took for wait in waits) + 1


@pytest.mark.parametrize("keep_alive", [300.0, float("inf")], ids=["un-pinned", "pinned by the server"])
async def test_hidden_drift_is_not_fought_either(keep_alive: float) -> None:
    """A reload with options that /api/ps does not show is undone by a question; what it costs delays the next one."""
    server = Ollama(keep_alive=keep_alive)
    server.engine.load_seconds = 0.15
    with server.running:
        async with Agent(server.url) as agent:
            await agent.until("READY")
            let_reloads_wait(agent)  # the second question delays the third beyond this test
            for _ in range(14):
                await server.client(prompt="x", options={"num_thread": 1, "num_ctx": 2048})
                seen = agent.controller.observed.checks
                await agent.until_true(lambda seen=seen: agent.controller.observed.checks > seen, lambda: "a check")  # type: ignore[misc]
    # One more may be a check that a busy machine made late. With a question at each check it is one in two.
    assert 1 <= agent.controller.observed.reloads["RunnerLost"] <= 3


async def test_a_client_that_un_pins_does_not_blind_the_watch(ollama: Ollama) -> None:
    """Pinning again costs no reload, so the runner is asked each period: a killed one is noticed at the next."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        for times in range(1, 4):
            await ollama.client(prompt="", keep_alive="300s")
            await agent.until_true(lambda times=times: agent.controller.observed.unpinned == times, lambda: "the pin")  # type: ignore[misc]
        ollama.engine.load_seconds = 0.6
        ollama.app.runner("m").kill()
        seen = agent.controller.observed.checks
        await agent.until("LOADING", "runner of model m was gone")
        assert agent.controller.observed.checks - seen <= 2


async def test_drift_is_only_reported_on_request(ollama: Ollama) -> None:
    """With report the agent leaves the client's context alone, even while it loads for several periods."""
    ollama.engine.load_seconds = 0.8
    async with Agent(ollama.url, CONTEXT_DRIFT="report") as agent:
        await agent.until("READY")
        client = asyncio.create_task(ollama.client(prompt="x", options={"num_ctx": 1024}))
        await agent.until("LOADING", "loaded with a context of 1024, pinned is 2048")
        await client
        assert agent.controller.observed.running["m"].context_length == 1024
        looks = len(ollama.looks())
        await agent.until_true(lambda: len(ollama.looks()) >= looks + 5, lambda: "five more looks")
        assert [start[1].num_ctx for start in ollama.engine.starts] == [2048, 1024]
        ollama.engine.load_seconds = 0.02
        await ollama.client(prompt="", options={"num_ctx": 2048})
        await agent.until("READY")
        assert agent.controller.observed.reloads["ContextDrifted"] == 0


def let_reloads_wait(agent: Agent) -> None:
    """Let every reload but the first wait an hour: a test ends only when something ends the wait."""
    limit = agent.controller._policy.back_off
    limit.base = limit.longest = limit.calm = 3600


def let_the_next_reload_wait(agent: Agent) -> None:
    """Let even the next one wait, as after a loss."""
    let_reloads_wait(agent)
    agent.controller._policy.back_off.wait(time.monotonic())


async def test_a_pin_that_comes_back_ends_the_wait(ollama: Ollama) -> None:
    """While a re-pin waits for its turn, a client may restore the pinned context: READY without a reload of ours."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_the_next_reload_wait(agent)
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        await agent.until("LOADING", "pinned is 2048")
        await ollama.client(prompt="", options={"num_ctx": 2048})
        await agent.until("READY")


async def test_a_model_that_a_client_loads_again_ends_the_wait(ollama: Ollama) -> None:
    """While a reload of an evicted model waits for its turn a client may load it: READY at the next look."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_the_next_reload_wait(agent)
        await ollama.client(keep_alive=0)
        await agent.until("LOADING", "model m is not loaded")
        await ollama.client(prompt="", options={"num_ctx": 2048})
        await agent.until("READY")
    assert len(ollama.engine.starts) == 2


async def test_a_lost_runner_that_a_client_starts_again_ends_the_wait(ollama: Ollama) -> None:
    """A lost runner is gone from the list, then back: somebody has loaded it since, and its proof waits no longer."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_the_next_reload_wait(agent)
        ollama.app.faults.on("/api/generate", Status(500, '{"error": "runner lost"}'))
        await agent.until("LOADING", "runner lost")
        await ollama.client("/api/chat", messages=[], keep_alive=0)
        await agent.until_true(lambda: not agent.controller.observed.running, lambda: "a look at the empty list")
        ollama.app.faults.clear()
        await ollama.client(prompt="", options={"num_ctx": 2048})
        await agent.until("READY")
    assert len(ollama.engine.starts) == 2


async def test_a_list_that_answers_again_ends_the_wait(ollama: Ollama) -> None:
    """Where readiness fell because the list did not answer, a list that does, and is as wanted, is all to wait for."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_the_next_reload_wait(agent)
        ollama.app.faults.on("/api/ps", Hang())
        await agent.until("LOADING", "/api/ps got no whole answer")
        ollama.app.faults.clear()
        await agent.until("READY")
    assert len(ollama.engine.starts) == 1


async def test_a_lost_runner_that_is_only_listed_does_not_end_the_wait(ollama: Ollama) -> None:
    """A dead runner stays listed, so that to ask it would be to reload it: that waits for its turn."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_the_next_reload_wait(agent)
        ollama.app.faults.on("/api/generate", Status(500, '{"error": "runner lost"}'))
        await agent.until("LOADING", "runner lost")
        ollama.app.faults.clear()
        asked, looks = len(ollama.asked("/api/generate")), len(ollama.looks())
        await agent.until_true(lambda: len(ollama.looks()) >= looks + 4, lambda: "four more looks")
        assert len(ollama.asked("/api/generate")) == asked
        assert agent.state == "LOADING"


async def test_a_server_that_dies_during_a_wait_is_noticed(ollama: Ollama) -> None:
    """The wait before a reload is not blind: a dead server is UNREACHABLE, not LOADING."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_the_next_reload_wait(agent)
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


async def test_an_eviction_remembers_what_was_seen_before(ollama: Ollama) -> None:
    """B7: a model that is gone after a client's context is explained by that client, not by too little memory."""
    async with Agent(ollama.url, PERIOD_SECONDS="0.5") as agent:
        await agent.until("READY")
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        await agent.until("LOADING", "pinned is 2048")
        await agent.until("READY")
        await ollama.client(keep_alive=0)
        await agent.until(
            "LOADING", "not loaded (loaded: none); shortly before: model m is loaded with a context of 1024"
        )
        assert "num_ctx" in agent.controller.readiness.action


async def test_an_old_cause_no_longer_explains_an_eviction(ollama: Ollama) -> None:
    """B7: what was seen more than twelve periods ago is forgotten."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        await agent.until("LOADING", "pinned is 2048")
        await agent.until("READY")
        agent.controller._running._remember_seconds = 0.0
        await ollama.client(keep_alive=0)
        await agent.until("LOADING", "not loaded")
        assert "shortly before" not in agent.reason


async def test_drift_seen_during_a_wait_becomes_the_reason(ollama: Ollama) -> None:
    """B7: a client that loads its own context while a reload waits is a better reason than the eviction before."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_the_next_reload_wait(agent)
        await ollama.client(keep_alive=0)
        await agent.until("LOADING", "not loaded")
        await ollama.client(prompt="x", options={"num_ctx": 1024})
        await agent.until("LOADING", "loaded with a context of 1024")
        assert agent.controller.observed.reloads == {"ModelEvicted": 1}


async def test_a_failed_load_is_tried_again_soon_after_a_reload_had_to_wait(ollama: Ollama) -> None:
    """B13: loads that fail at once are tried each period, whatever the back-off between reloads says."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        let_reloads_wait(agent)
        ollama.app.faults.on("/api/generate", Status(500, '{"error": "tensor exceeds file size"}'))
        await agent.until_true(lambda: agent.controller.observed.reloads["LoadFailed"] >= 4, lambda: "four failures")
        ollama.app.faults.clear()
        await agent.until("READY")


async def test_the_version_is_read_with_each_check(ollama: Ollama) -> None:
    """B5: an Ollama that comes back as another version within a check is shown as that version."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        ollama.app.faults.on("/api/version", Status(200, '{"version": "9.9.9"}'))
        await agent.until_true(lambda: agent.controller.view().ollama_version == "9.9.9", lambda: "the new version")
        assert agent.state == "READY"


async def test_a_version_that_cannot_be_read_again_stays(ollama: Ollama) -> None:
    """B5: the runner answers, so that a failing version request is no failed check."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        version, checks = agent.controller.view().ollama_version, agent.controller.observed.checks
        ollama.app.faults.on("/api/version", Status(500, "gone"))
        await agent.until_true(lambda: agent.controller.observed.checks > checks + 2, lambda: "three checks")
        assert (agent.state, agent.controller.view().ollama_version) == ("READY", version)


async def test_a_model_replaced_under_its_name_is_noticed(ollama: Ollama) -> None:
    """B5: another digest under the name ends READY, and the new model is loaded and proven."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        ollama.app.models.change("m", digest="ff" * 32)
        await agent.until("LOADING", "was replaced under its name: it has digest ffffffffffff")
        await agent.until("READY")
        stored = agent.controller.view().models[0].stored
        assert stored is not None
        assert stored.digest == "ff" * 32


async def test_a_replaced_model_with_an_expected_digest_is_failed(ollama: Ollama) -> None:
    """B5: where a digest is expected, a model replaced in the store ends in FAILED at the next check."""
    async with Agent(ollama.url, MODEL_DIGEST=ollama.app.models.find("m").digest) as agent:
        await agent.until("READY")
        ollama.app.models.change("m", digest="ff" * 32)
        await agent.until("FAILED", "has digest ffffffffffff")


async def test_a_model_missing_from_the_list_of_stored_ones_is_no_loss(ollama: Ollama) -> None:
    """A runner that answers serves its model, whatever `/api/tags` lists."""
    async with Agent(ollama.url) as agent:
        await agent.until("READY")
        ollama.app.faults.on("/api/tags", Status(200, '{"models": []}'))
        checks = agent.controller.observed.checks
        await agent.until_true(lambda: agent.controller.observed.checks > checks + 2, lambda: "three checks")
        assert agent.state == "READY"


async def test_odd_text_from_the_server_is_made_printable(ollama: Ollama) -> None:
    """B2, B11: line breaks, terminal escapes and halves of surrogate pairs cannot reach a reason or an answer."""
    ollama.app.faults.on("/api/version", Status(200, r'{"version": "1\r\n2\u001b[31m\ud83d"}'))
    ollama.app.faults.on("/api/generate", Status(500, r'{"error": "bad\u001b[2J\ud83d\nline"}'))
    async with Agent(ollama.url) as agent:
        await agent.until("LOADING", r"bad\x1b[2J\ud83d line")
        assert agent.controller.view().ollama_version == r"1\r\n2\x1b[31m\ud83d"
        json.dumps(status(agent.controller.view()), ensure_ascii=False).encode()


async def test_a_blocked_list_is_unknown_until_the_threshold(ollama: Ollama) -> None:
    """One time-out of /api/ps changes nothing; as many as the threshold allows end READY."""
    async with Agent(ollama.url, FAILURE_THRESHOLD="3") as agent:
        await agent.until("READY")
        ollama.app.faults.on("/api/ps", Hang())
        await agent.until_true(lambda: agent.controller.health.failures_in_a_row == 1, lambda: "a failure")
        assert agent.controller.readiness.ready
        ollama.app.faults.clear()
        await agent.until_true(lambda: agent.controller.health.failures_in_a_row == 0, lambda: "a success")
        ollama.app.faults.on("/api/ps", Hang())
        await agent.until("LOADING", "/api/ps got no whole answer")


async def test_a_fault_of_the_agent_is_told_as_one(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug ends in FAILED with its name, and liveness falls so that the platform restarts the instance."""
    async with Agent(ollama.url) as agent:

        async def broken(_: float) -> list[Any]:
            raise ZeroDivisionError

        monkeypatch.setattr(agent.server, "stored_models", broken)
        await agent.until("FAILED", "ZeroDivisionError")
        assert not agent.controller.view().alive


async def test_a_bug_in_a_warm_up_is_not_swallowed(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is not Ollama's, in one of several requests at once, is a fault of the agent."""
    async with Agent(ollama.url) as agent:

        async def broken(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(agent.server, "chat", broken)
        await agent.until("FAILED", "ZeroDivisionError")


async def test_a_cancelled_controller_says_so(ollama: Ollama) -> None:
    """Cancelling without stop is passed on, as asyncio wants it."""
    agent = Agent(ollama.url)
    task = asyncio.create_task(agent.controller.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await agent.server.close()


async def test_a_stuck_controller_is_not_alive(ollama: Ollama) -> None:
    """Liveness falls when the controller has not moved for several checks."""
    now = 0.0
    agent = Agent(ollama.url)
    agent.controller._clock = lambda: now
    agent.controller._moved = agent.controller.health.last_progress = 0.0
    assert agent.controller.view().alive
    now = 5 * (0.2 + 2 * 0.2)
    assert not agent.controller.view().alive
    await agent.server.close()


async def test_equal_failures_are_one_line(ollama: Ollama, caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of refused connections are one line with a count."""
    caplog.set_level("INFO")
    ollama.running.stop()
    async with Agent(ollama.url) as agent:
        await agent.until_true(lambda: agent.controller.health.failures_in_a_row > 20, lambda: "failures")
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
        await agent.until_true(lambda: agent.controller.observed.checks >= 1, lambda: "a check")
        assert agent.controller.observed.check_seconds > UNDISTURBED_SECONDS
        assert agent.controller.readiness.ready


async def test_a_change_of_reason_ends_the_line_of_the_former(ollama: Ollama, caplog: pytest.LogCaptureFixture) -> None:
    """Equal reasons in one state are one line with their count, written when another reason takes over."""
    caplog.set_level("INFO")
    ollama.app.faults.on("/api/generate", Status(500, '{"error": "first"}'))
    async with Agent(ollama.url, PERIOD_SECONDS="0.05", TIMEOUT_SECONDS="0.05") as agent:
        await agent.until_true(lambda: agent.controller.observed.reloads["LoadFailed"] >= 3, lambda: "three failures")
        ollama.app.faults.on("/api/generate", Status(500, '{"error": "second"}'))
        await agent.until("LOADING", "second")
    told = [record.message for record in caplog.records if "500: first" in record.message]
    assert len(told) == 2
    assert "times in" in told[1]


async def test_a_fault_while_stopping_changes_nothing(ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that shows while the agent stops is logged, and the state stays STOPPING."""
    agent = Agent(ollama.url)

    async def broken() -> None:
        agent.controller.stop("test")
        raise ZeroDivisionError

    monkeypatch.setattr(agent.controller, "_advance", broken)
    await asyncio.gather(asyncio.create_task(agent.controller.run()), return_exceptions=True)
    assert agent.state == "STOPPING"
    await agent.server.close()


async def test_a_controller_stopped_before_it_runs_does_nothing(ollama: Ollama) -> None:
    """Stopping first is final: the run ends before it asks anybody."""
    agent = Agent(ollama.url)
    agent.controller.stop("test")
    await agent.controller.run()
    assert agent.state == "STOPPING"
    assert ollama.app.requests == []
    await agent.server.close()
