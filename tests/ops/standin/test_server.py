"""The stand-in with its scripted engine: what only a test double has, and what a real server shows too slowly.

The behaviour that it shares with a real Ollama is in tests/live.
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from lab.servers import NO_TLS, LoopbackServer, hang_up_after, wait_until
from ops.standin import (
    ApiError,
    Hang,
    LoadFailed,
    NotJson,
    Reset,
    ScriptedEngine,
    ServedModel,
    SlowBytes,
    StandIn,
    Status,
    Truncate,
)


@pytest.fixture
def engine() -> ScriptedEngine:
    """An engine that is done at once."""
    return ScriptedEngine(vram_fraction=1.0)


@pytest.fixture
def server(engine: ScriptedEngine) -> StandIn:
    """Two models, two slots, and little patience with hung runners."""
    models = [ServedModel("m", num_ctx=2048), ServedModel("other"), ServedModel("e", capabilities=("embedding",))]
    return StandIn(
        models=models,
        engine=engine,
        num_parallel=2,
        max_queue=1,
        max_loaded_models=1,
        ping_timeout_seconds=0.05,
    )


def load(http: httpx.Client, model: str = "m", **fields: Any) -> httpx.Response:
    """Ask for a load."""
    return http.post("/api/generate", json={"model": model, **fields})


def listed(http: httpx.Client) -> list[dict[str, Any]]:
    """Ask what is loaded."""
    models: list[dict[str, Any]] = http.get("/api/ps").json()["models"]
    return models


def test_requests_are_recorded(server: StandIn, http: httpx.Client) -> None:
    """Every request is kept with its method, path and JSON body, in the order of arrival."""
    http.get("/api/ps")
    load(http, keep_alive=-1)
    assert server.requests == [("GET", "/api/ps", None), ("POST", "/api/generate", {"model": "m", "keep_alive": -1})]


def test_status_fault(server: StandIn, http: httpx.Client) -> None:
    """A status fault answers its path, and no other, as told."""
    server.faults.on("/api/ps", Status(500, "boom"))
    answer = http.get("/api/ps")
    assert (answer.status_code, answer.text) == (500, "boom")
    assert http.get("/api/version").status_code == 200


def test_counted_fault(server: StandIn, http: httpx.Client) -> None:
    """A fault with a count ends by itself."""
    server.faults.on("*", NotJson(), times=2)
    answers = [http.get("/api/ps").headers["content-type"] for _ in range(3)]
    assert answers == ["text/html", "text/html", "application/json"]


@pytest.mark.parametrize("fault", [Truncate(), Reset()])
def test_broken_connections(server: StandIn, http: httpx.Client, fault: Truncate | Reset) -> None:
    """Truncated and reset answers are transport errors for the client."""
    server.faults.on("/api/ps", fault)
    with pytest.raises(httpx.TransportError):
        http.get("/api/ps")
    server.faults.clear()
    assert listed(http) == []


def test_hang_until_the_client_gives_up(server: StandIn, http: httpx.Client) -> None:
    """A hanging path answers nothing."""
    server.faults.on("/api/version", Hang())
    with pytest.raises(httpx.ReadTimeout):
        http.get("/api/version", timeout=0.05)


def test_hang_until_cleared(server: StandIn, http: httpx.Client) -> None:
    """A request that hangs is answered truly once the faults are cleared."""
    server.faults.on("/api/version", Hang())

    def clear() -> None:
        wait_until(lambda: server.requests, what="the request")
        server.faults.clear()

    clearing = threading.Thread(target=clear)
    clearing.start()
    assert http.get("/api/version").json()["version"] == server.version
    clearing.join()


def test_slow_bytes(server: StandIn, http: httpx.Client) -> None:
    """A slow answer is the true one, later."""
    server.faults.on("/api/version", SlowBytes(500))
    begun = time.monotonic()
    assert http.get("/api/version").json()["version"] == server.version
    assert time.monotonic() - begun > 0.05


def test_load_failure(engine: ScriptedEngine, http: httpx.Client) -> None:
    """A load that fails answers the engine's status and sentence, and lists nothing."""
    engine.load_error = LoadFailed("tensor exceeds file size")
    answer = load(http)
    assert (answer.status_code, answer.json()) == (500, {"error": "tensor exceeds file size"})
    assert listed(http) == []


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
def test_loaded_is_not_serving(engine: ScriptedEngine, http: httpx.Client, path: str) -> None:
    """A model may load and yet refuse every token: the status says so, streamed or not."""
    engine.complete_error = ApiError(500, "no token")
    assert load(http).status_code == 200
    for stream in (True, False):
        answer = http.post(path, json={"model": "m", "prompt": "Hi", "stream": stream})
        assert answer.status_code == 500
        assert "no token" in answer.text


def test_spill(server: StandIn, http: httpx.Client) -> None:
    """Memory can be moved off the GPU under a loaded model."""
    load(http)
    assert listed(http)[0]["size_vram"] == 200_000_000
    server.spill("m", fraction_in_vram=0.5)
    assert listed(http)[0]["size_vram"] == 100_000_000


def test_the_store_changes_under_way(server: StandIn, http: httpx.Client) -> None:
    """Models may come, go and change while the server runs; what is loaded keeps its digest."""
    load(http)
    before = listed(http)[0]["digest"]
    server.models.change("m", digest="ab" * 32)
    server.models.remove("other")
    server.models.add(ServedModel("new"))
    tags = {model["name"]: model["digest"] for model in http.get("/api/tags").json()["models"]}
    assert set(tags) == {"m:latest", "new:latest", "e:latest"}
    assert tags["m:latest"] == "ab" * 32
    assert listed(http)[0]["digest"] == before


def test_a_model_for_embeddings_only(http: httpx.Client) -> None:
    """A model made for embeddings gives vectors, the same for the same text, and refuses to generate."""
    answer = load(http, "e")
    assert (answer.status_code, answer.json()) == (400, {"error": '"e" does not support generate'})
    first, again = (http.post("/api/embed", json={"model": "e", "input": ["a", "b"]}).json() for _ in range(2))
    assert first["embeddings"] == again["embeddings"]
    older = http.post("/api/embeddings", json={"model": "e", "prompt": "a"}).json()
    assert older["embedding"] == first["embeddings"][0]
    openai = http.post("/v1/embeddings", json={"model": "e", "input": "a"}).json()
    assert openai["data"][0]["embedding"] == first["embeddings"][0]


def test_one_loaded_model_at_most(http: httpx.Client) -> None:
    """Another model evicts the loaded one, pinned or not, where only one may be loaded."""
    load(http, keep_alive=-1)
    load(http, "other")
    assert [entry["name"] for entry in listed(http)] == ["other:latest"]


def test_parallel_slots(engine: ScriptedEngine, loopback: LoopbackServer, http: httpx.Client) -> None:
    """As many requests as slots are answered at once; the others wait, without bound."""
    engine.reply, engine.token_seconds = "one two", 0.05
    load(http)
    ends: list[float] = []

    def ask() -> None:
        body = {"model": "m", "prompt": "x"}
        httpx.post(f"{loopback.url}/api/generate", json=body, timeout=5, verify=NO_TLS).raise_for_status()
        ends.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(6)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends)[1] - begun < 0.3
    assert max(ends) - begun > 0.29


def test_a_killed_runner_mid_stream(server: StandIn, engine: ScriptedEngine, http: httpx.Client) -> None:
    """A runner killed under an answer: an error line natively, a clean end without [DONE] in the other dialect."""
    engine.reply, engine.token_seconds = "word " * 1000, 0.002
    for path in ("/api/generate", "/v1/completions"):
        body = {"model": "m", "prompt": "x", "stream": True}
        with http.stream("POST", path, json=body) as response:
            lines = response.iter_lines()
            next(lines)
            server.runner("m").kill()
            rest = [line for line in lines if line]
        if path.startswith("/v1"):
            assert "data: [DONE]" not in rest
        else:
            assert set(json.loads(rest[-1])) == {"error"}


def test_a_hung_runner(server: StandIn, engine: ScriptedEngine, http: httpx.Client) -> None:
    """A hung runner is listed, and replaced by the next load; one that goes on in time is kept."""
    load(http, keep_alive=-1)
    server.runner("m").hang()
    assert listed(http)[0]["name"] == "m:latest"
    assert load(http).status_code == 200
    assert len(engine.starts) == 2
    server.runner("m").hang()
    server.runner("m").resume()
    assert load(http).status_code == 200
    assert len(engine.starts) == 2


def test_a_start_after_a_stop(server: StandIn, loopback: LoopbackServer, http: httpx.Client) -> None:
    """A server that was stopped refuses; started again on its port, it has nothing loaded."""
    load(http, keep_alive=-1)
    loopback.kill()
    with pytest.raises(httpx.ConnectError):
        http.get("/api/version")
    loopback.start()
    assert listed(http) == []
    with pytest.raises(KeyError, match="not loaded"):
        server.runner("m")


def test_a_client_that_hangs_up_aborts_the_load(
    engine: ScriptedEngine, loopback: LoopbackServer, http: httpx.Client
) -> None:
    """A load whose client goes away is given up, and the next one begins anew."""
    engine.load_seconds = 60
    hang_up_after(loopback.port, "/api/generate", b'{"model": "m"}', lambda: engine.starts)
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(load, http)
        wait_until(lambda: len(engine.starts) == 2, what="the second load")
        engine.load_seconds = 0
        assert again.result().status_code == 200


def test_administrative_routes_are_refused(http: httpx.Client) -> None:
    """What would change the store is refused, with the way out."""
    answer = http.post("/api/pull", json={"model": "m"})
    assert answer.status_code == 403
    assert "OLLAMA_STANDIN_MODELS" in answer.json()["error"]
