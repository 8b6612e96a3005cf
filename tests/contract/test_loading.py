"""When a model is loaded, with which context, for how long, and what undoes it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from lab.ollama_server import (
    DEFAULT_CONTEXT,
    LOAD_SECONDS,
    PINNED,
    PINNED_CONTEXT,
    PLAIN,
    TRAINED_CONTEXT,
    OllamaServer,
)
from lab.servers import NO_TLS, hang_up_after, wait_until
from tests.contract.differences import has

ANOTHER_CONTEXT = 512


def ahead(entry: dict[str, Any]) -> timedelta:
    """How far ahead a loaded model's end lies."""
    text = entry["expires_at"]
    # Go writes nanoseconds, which Python does not read: the second is enough.
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC) - datetime.now(UTC)


def is_pinned(entry: dict[str, Any]) -> bool:
    """Whether a loaded model stays for ever."""
    return ahead(entry) > timedelta(days=200 * 365)


def test_a_request_without_prompt_loads(server: OllamaServer) -> None:
    """A generate request without a prompt loads the model and says so."""
    answer = server.load(keep_alive=-1)
    assert answer["done"] is True
    assert answer["done_reason"] == "load"
    assert answer["response"] == ""
    entry = server.loaded()
    assert entry["name"] == entry["model"] == f"{PINNED}:latest"
    assert entry["context_length"] == PINNED_CONTEXT
    assert entry["size"] > 90_000_000
    assert 0 <= entry["size_vram"] <= entry["size"]
    assert entry["details"]["quantization_level"] == "Q4_1"


def test_the_loaded_digest_is_the_stored_one(server: OllamaServer) -> None:
    """What is loaded has the digest under which it is stored."""
    server.load()
    stored = {model["name"]: model["digest"] for model in server.http.get("/api/tags").json()["models"]}
    assert server.loaded()["digest"] == stored[f"{PINNED}:latest"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"messages": []}),
        ("/api/embed", {"input": []}),
        ("/api/embeddings", {"prompt": ""}),
    ],
)
def test_other_empty_requests_load(server: OllamaServer, path: str, body: dict[str, Any]) -> None:
    """An empty chat and an empty embedding are loads too."""
    response = server.post(path, model=PINNED, **body)
    assert response.status_code == 200
    assert response.json().get("done_reason", "load") == "load"
    assert server.loaded()["name"] == f"{PINNED}:latest"


def test_a_repeated_load_keeps_the_runner(server: OllamaServer) -> None:
    """A load of what is loaded answers from the same runner."""
    server.load()
    runner = server.runner()
    server.load()
    assert server.runner() == runner


@pytest.mark.parametrize(
    ("model", "options", "context"),
    [
        (PLAIN, {}, DEFAULT_CONTEXT),
        (PINNED, {}, PINNED_CONTEXT),
        (PINNED, {"num_ctx": ANOTHER_CONTEXT}, ANOTHER_CONTEXT),
        (PINNED, {"num_ctx": 99_999}, TRAINED_CONTEXT),
    ],
    ids=["environment", "Modelfile before environment", "request before Modelfile", "capped as trained"],
)
def test_context_precedence(server: OllamaServer, model: str, options: dict[str, int], context: int) -> None:
    """The context comes from the request, else the Modelfile, else the environment; newer versions cap it."""
    if context == TRAINED_CONTEXT and not has(server, "context capped"):
        context = options["num_ctx"]
    server.load(model, options=options)
    assert server.loaded()["context_length"] == context


@pytest.mark.parametrize("keep_alive", [-1, "-1m", -5.0])
def test_a_negative_keep_alive_pins(server: OllamaServer, keep_alive: object) -> None:
    """A negative keep_alive, number or duration, keeps the model for centuries."""
    server.load(keep_alive=keep_alive)
    assert is_pinned(server.loaded())


def test_keep_alive_comes_from_the_environment(server: OllamaServer) -> None:
    """A request without keep_alive on a fresh runner gets the server's default."""
    server.load()
    assert timedelta(minutes=9) < ahead(server.loaded()) < timedelta(minutes=11)


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
def test_requests_without_the_field_keep_the_pin(server: OllamaServer, path: str) -> None:
    """A request that does not speak of keep_alive leaves the pin as it is, in both dialects."""
    server.load(keep_alive=-1)
    server.post(path, model=PINNED, prompt="Hi", max_tokens=1, options={"num_predict": 1}).raise_for_status()
    assert is_pinned(server.loaded())


def test_a_client_can_unpin(server: OllamaServer) -> None:
    """A short keep_alive of any client unloads a pinned model when it is over."""
    server.load(keep_alive=-1)
    server.load(keep_alive="300ms")
    wait_until(lambda: not server.ps(), what="the model to be gone")


def test_zero_unloads_at_once(server: OllamaServer) -> None:
    """keep_alive 0 without a prompt unloads at once, and says so, loaded or not."""
    server.load(keep_alive=-1)
    assert server.load(keep_alive=0)["done_reason"] == "unload"
    wait_until(lambda: not server.ps(), what="the model to be gone")
    assert server.load(keep_alive=0)["done_reason"] == "unload"


def test_another_context_restarts_and_drops_the_pin(server: OllamaServer) -> None:
    """A request with another num_ctx starts a new runner, which has the default keep_alive."""
    server.load(keep_alive=-1)
    runner = server.runner()
    server.load(options={"num_ctx": ANOTHER_CONTEXT})
    assert server.runner() != runner
    assert server.loaded()["context_length"] == ANOTHER_CONTEXT
    assert not is_pinned(server.loaded())


@pytest.mark.parametrize("options", [{"num_batch": 64}, {"num_thread": 2}])
def test_runner_options_restart_and_drop_the_pin(server: OllamaServer, options: dict[str, int]) -> None:
    """So do the other options that belong to the runner."""
    server.load(keep_alive=-1)
    runner = server.runner()
    server.load(options=options)
    assert server.runner() != runner
    assert not is_pinned(server.loaded())


def test_shift_restarts(server: OllamaServer) -> None:
    """In newer versions a request that says "shift": false restarts a runner that was started without it."""
    server.load(keep_alive=-1)
    runner = server.runner()
    server.load(shift=False)
    assert (server.runner() != runner) is has(server, "shift restarts")
    assert is_pinned(server.loaded()) is not has(server, "shift restarts")


def test_sampling_options_do_not_restart(server: OllamaServer) -> None:
    """Sampling and unknown options leave the runner and its pin alone."""
    server.load(keep_alive=-1)
    runner = server.runner()
    server.load(options={"temperature": 0.1, "seed": 7, "no_such_option": 1})
    assert server.runner() == runner
    assert is_pinned(server.loaded())


def test_the_openai_dialect_undoes_a_pin_of_the_request(server: OllamaServer) -> None:
    """A /v1 request knows the Modelfile alone: it reloads what a load request had pinned otherwise."""
    server.load(keep_alive=-1, options={"num_ctx": ANOTHER_CONTEXT})
    server.post("/v1/completions", model=PINNED, prompt="Hi", max_tokens=1).raise_for_status()
    assert server.loaded()["context_length"] == PINNED_CONTEXT
    assert not is_pinned(server.loaded())


def test_the_openai_dialect_ignores_native_fields(server: OllamaServer) -> None:
    """Options and keep_alive in a /v1 request have no effect."""
    server.load(keep_alive=-1)
    native = {"options": {"num_ctx": ANOTHER_CONTEXT}, "keep_alive": 0}
    server.post("/v1/completions", model=PINNED, prompt="Hi", max_tokens=1, **native).raise_for_status()
    assert server.loaded()["context_length"] == PINNED_CONTEXT
    assert is_pinned(server.loaded())


def test_tags_of_one_blob_share_a_runner(server: OllamaServer) -> None:
    """A second tag of the loaded blob uses its runner, listed under the name that was loaded first."""
    server.load(PINNED)
    runner = server.runner()
    server.load(PLAIN, options={"num_ctx": PINNED_CONTEXT})
    assert server.runner() == runner
    assert server.loaded()["name"] == f"{PINNED}:latest"


def test_a_client_that_hangs_up_aborts_the_load(server: OllamaServer) -> None:
    """A load whose client goes away is given up: nothing is listed, no runner is left."""
    body = f'{{"model": "{PINNED}"}}'.encode()
    hang_up_after(server.process.port, "/api/generate", body, server.runners)
    wait_until(lambda: not server.runners(), what="the runner to be gone")
    assert server.ps() == []


def test_nothing_is_listed_while_loading(server: OllamaServer) -> None:
    """While a model loads, /api/ps is empty; it lists the model no later than the load is answered."""
    seen: list[tuple[bool, int]] = []
    load = threading.Thread(target=server.load)
    load.start()
    while load.is_alive():
        entries = len(server.ps())
        seen.append((load.is_alive(), entries))
    assert (True, 0) in seen
    assert len(server.ps()) == 1


def test_a_reload_waits_for_requests_in_flight(server: OllamaServer) -> None:
    """A request with another num_ctx lets the present answer end first, still listed, then reloads."""
    server.load()
    with server.counting(60) as lines:
        reload = threading.Thread(target=server.load, kwargs={"options": {"num_ctx": ANOTHER_CONTEXT}})
        reload.start()
        next(lines)
        assert [entry["context_length"] for entry in server.ps()] == [PINNED_CONTEXT]
        *_, last = lines
    assert last["done_reason"] == "length"
    reload.join(LOAD_SECONDS)
    assert server.loaded()["context_length"] == ANOTHER_CONTEXT


def test_a_full_queue_refuses(server: OllamaServer) -> None:
    """Only so many requests may wait for a (re)load; the next is refused with 503 and no Retry-After."""
    answers: list[httpx.Response] = []

    def reload(num_ctx: int) -> None:
        body = {"model": PINNED, "options": {"num_ctx": num_ctx}}
        answers.append(httpx.post(f"{server.process.url}/api/generate", json=body, timeout=LOAD_SECONDS, verify=NO_TLS))

    server.load()
    with server.counting(2000):
        threads = [threading.Thread(target=reload, args=(256 + 64 * number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        wait_until(lambda: answers, what="a refusal")
    for thread in threads:
        thread.join(LOAD_SECONDS)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert refused[0].json()["error"] == "server busy, please try again.  maximum pending requests exceeded"
    assert "retry-after" not in refused[0].headers
    assert [answer.status_code for answer in answers if answer not in refused] == [200] * (5 - len(refused))
