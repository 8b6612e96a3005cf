"""Models that are not in the image: checked on a mount, pulled by Ollama; and the build's prompt cache."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lab.agent import Agent
from lab.scripted import Ollama
from lab.servers import NO_TLS, LoopbackServer, closed_port
from lab.stores import IMAGE, damage, weights_of, write_store
from probe_agent.endpoints import app
from probe_agent.endpoints.status import status
from probe_agent.errors import BlobDamaged, ServerTimeout, SourceError
from probe_agent.ollama.client import OllamaClient
from probe_agent.sources import fetch, pull
from probe_agent.sources.mount import MountSource
from probe_agent.sources.pull import PullSource

pytestmark = pytest.mark.anyio


def on_mount(ollama: Ollama, folder: Path) -> Agent:
    """Make an agent whose model lies on a mounted volume."""
    return Agent(ollama.url, MODEL_SOURCE="mount", MODEL_STORE=str(folder))


async def test_a_whole_model_on_a_mount_becomes_ready(ollama: Ollama, tmp_path: Path) -> None:
    """Every blob is read and checked before the load; status, metrics and the waterfall tell of it."""
    manifest = write_store(tmp_path)
    ollama.serves(manifest)
    async with on_mount(ollama, tmp_path) as agent:
        await agent.until("READY")
        told = status(agent.controller.view())["source"]
        assert (told["source"], told["done_bytes"], told["total_bytes"]) == (
            "mount",
            manifest.size_bytes,
            manifest.size_bytes,
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app.build(agent.controller, agent.controller.run)), base_url="http://agent"
        ) as client:
            assert f"probe_agent_fetch_done_bytes {float(manifest.size_bytes)}" in (await client.get("/metrics")).text


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
async def test_a_damaged_blob_is_failed_by_name(ollama: Ollama, tmp_path: Path, how: str) -> None:
    """One flipped bit, a cut or a missing blob: FAILED, never READY, no load asked for, the blob in the reason."""
    manifest = write_store(tmp_path)
    path = weights_of(tmp_path, manifest)
    damage(path, how)
    async with on_mount(ollama, tmp_path) as agent:
        await agent.until("FAILED", path.name)
        assert not agent.controller.readiness.startup_passed
    assert ollama.asked("/api/generate") == []


async def test_a_model_that_comes_late_onto_the_mount_is_waited_for(ollama: Ollama, tmp_path: Path) -> None:
    """A missing model is reported and looked for again; once it is there the start goes on."""
    async with on_mount(ollama, tmp_path) as agent:
        await agent.until("FETCHING", "not on the volume")
        ollama.serves(write_store(tmp_path))
        await agent.until("READY")


async def test_another_model_than_the_checked_one_is_not_served(ollama: Ollama, tmp_path: Path) -> None:
    """What Ollama lists must be what was checked; once it is, the start goes on."""
    manifest = write_store(tmp_path)
    async with on_mount(ollama, tmp_path) as agent:
        await agent.until("FETCHING", f"source mount has checked {manifest.digest[:12]}")
        assert ollama.asked("/api/generate") == []
        ollama.serves(manifest)
        await agent.until("READY")


async def test_a_manifest_that_is_none_is_told(tmp_path: Path) -> None:
    """A damaged manifest on the volume is an error of the source that says what to do."""
    manifest = write_store(tmp_path)
    (tmp_path / manifest.path).write_bytes(b"{")

    with pytest.raises(SourceError, match="model m") as caught:
        await MountSource(tmp_path).fetch(("m",))

    assert "manifest and blobs" in caught.value.action


async def test_a_volume_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A fault of the volume itself is an error of the source, not of the agent."""
    manifest = write_store(tmp_path)
    place = tmp_path / manifest.path
    place.unlink()
    place.mkdir()

    with pytest.raises(SourceError, match="cannot be read"):
        await MountSource(tmp_path).fetch(("m",))


async def test_a_check_that_is_cancelled_ends_soon(tmp_path: Path) -> None:
    """Who stops waiting leaves no reader behind that reads on to the end of a large file."""
    manifest = write_store(tmp_path, weights=b"")
    path = weights_of(tmp_path, manifest)
    path.unlink()
    os.mkfifo(path)  # a file of length 0, as the manifest says, that gives its content when told to
    source = MountSource(tmp_path)
    task = asyncio.create_task(source.fetch(("m",)))
    with await asyncio.to_thread(path.open, "wb", buffering=0) as pipe:  # opened once the reader is there
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pipe.write(b"late")
    assert task.cancelled()
    assert source.progress.snapshot().done_bytes <= 2


class Registry:
    """An Ollama whose only route is the pull; `lines` are sent one after the other, then it waits if told to."""

    def __init__(self, *lines: Any, code: int = 200, endless: bool = False) -> None:
        self.lines = lines
        self.code = code
        self.endless = endless
        self.app = Starlette(routes=[Route("/api/pull", self.pull, methods=["POST"])])

    async def pull(self, _request: Request) -> Response:
        """Answer as told."""
        if self.code != 200:
            return JSONResponse({"error": "refused"}, self.code)
        return StreamingResponse(self.body(), media_type="application/x-ndjson")

    async def body(self) -> AsyncIterator[str]:
        """Yield the lines."""
        for line in self.lines:
            yield json.dumps(line) + "\n"
        if self.endless:
            await asyncio.Event().wait()


LAYER = {"digest": "sha256:1", "total": 100}


async def pulled(registry: Registry, silence: float | None = None, store: Path = Path("/nonexistent")) -> PullSource:
    """Pull `m` from a registry, and return the source for its progress."""
    with LoopbackServer(registry.app) as url:
        server = OllamaClient(url, keep_alive=-1)
        source = PullSource(server, store)
        try:
            if silence is None:
                await source.fetch(("m",))
            else:
                await server.pull("m", silence, lambda _: silence)
        finally:
            await server.close()
        return source


async def test_a_pull_counts_what_comes() -> None:
    """Ollama's own lines give the progress."""
    lines = [{"status": "pulling manifest"}, {**LAYER, "completed": 40}, {**LAYER, "completed": 100}]

    source = await pulled(Registry(*lines, {"status": "success"}))

    now = source.progress.snapshot()
    assert (now.total_bytes, now.done_bytes, now.resumed_bytes) == (100, 100, 0)


async def test_a_pull_that_succeeds_is_counted_whole() -> None:
    """Ollama tells of a layer every 60 ms, and not when it is whole: success says that all is there."""
    lines = [{**LAYER, "completed": 0}, {**LAYER, "completed": 80}, {"status": "verifying sha256 digest"}]

    source = await pulled(Registry(*lines, {"status": "success"}))

    now = source.progress.snapshot()
    assert (now.total_bytes, now.done_bytes, now.resumed_bytes) == (100, 100, 0)


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
async def test_what_a_pull_left_is_checked(tmp_path: Path, how: str) -> None:
    """Ollama believes a blob that an earlier try left: where the agent sees the store, it does not."""
    path = weights_of(tmp_path, write_store(tmp_path))
    await pulled(Registry({"status": "success"}), store=tmp_path)
    damage(path, how)

    with pytest.raises(BlobDamaged, match=path.name):
        await pulled(Registry({"status": "success"}), store=tmp_path)


async def test_a_damaged_blob_is_not_fetched_for_ever(tmp_path: Path) -> None:
    """What no other try mends is reported to whoever asks next, too, and not begun anew."""
    damage(weights_of(tmp_path, write_store(tmp_path)), "flipped")
    one = fetch.Fetch(MountSource(tmp_path), ("m",))
    first = one.begin()
    await asyncio.wait({first})

    assert one.begin() is first
    with pytest.raises(BlobDamaged):
        await one.done()


@pytest.mark.parametrize(
    ("registry", "words"),
    [
        (Registry({"error": "pull model manifest: file does not exist"}), "file does not exist"),
        (Registry({"status": "pulling manifest"}), "without success"),
        (Registry(), "without success"),
        (Registry(code=500), "refused"),
    ],
)
async def test_a_pull_that_fails_says_why(registry: Registry, words: str) -> None:
    """Ollama's word for what went wrong is in the reason, and what to do beside it."""
    with pytest.raises(SourceError, match=words) as caught:
        await pulled(registry)

    assert "Cloud NAT" in caught.value.action


async def test_a_silent_pull_is_given_up() -> None:
    """A registry that says nothing any more does not hold the agent for ever."""
    with pytest.raises(ServerTimeout):
        await pulled(Registry({"status": "pulling manifest"}, endless=True), silence=0.1)


@pytest.mark.parametrize(
    ("status", "words", "action"),
    [("verifying sha256 digest", "verifying its digest", "disk"), ("pulling manifest", "could not be", "Cloud NAT")],
)
async def test_a_pull_that_verifies_in_silence_is_no_network_fault(
    monkeypatch: pytest.MonkeyPatch, status: str, words: str, action: str
) -> None:
    """Regression: a digest that took more than a minute to verify was called a network fault."""
    monkeypatch.setattr(pull, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(pull, "VERIFY_SECONDS", 0.6)
    with pytest.raises(SourceError, match=words) as caught:
        await pulled(Registry({"status": status}, endless=True))
    assert action in caught.value.action


async def test_a_model_that_ollama_pulls_becomes_ready(ollama: Ollama) -> None:
    """FETCHING lasts until Ollama has pulled; the model is loaded then. Gone later, it is pulled again."""
    routes = [Route("/api/pull", Registry({"status": "success"}).pull, methods=["POST"])]

    class Both:
        """The stand-in, with a pull in front."""

        pulls = 0

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            """Send the pull one way, everything else the other."""
            pull = scope.get("path") == "/api/pull"
            self.pulls += pull
            await (Starlette(routes=routes) if pull else ollama.app)(scope, receive, send)

    both = Both()
    with LoopbackServer(both) as url:
        async with Agent(url, MODEL_SOURCE="pull") as agent:
            await agent.until("READY")
            assert "model_fetched" in str(agent.controller.observed.waterfall)
            (model,) = ollama.app.models
            ollama.app.models.remove("m")
            async with httpx.AsyncClient(verify=NO_TLS) as client:
                await client.post(f"{url}/api/generate", json={"model": "m", "keep_alive": 0})
            await agent.until_true(lambda: both.pulls >= 2, lambda: "a second pull")
            ollama.app.models.add(model)
            await agent.until("READY")


async def test_an_agent_that_stops_ends_its_fetch(tmp_path: Path) -> None:
    """Without a server the check of a mount begins all the same, and nothing of it is left when the agent stops."""
    write_store(tmp_path)
    with closed_port() as port:
        async with Agent(f"http://127.0.0.1:{port}", MODEL_SOURCE="mount", MODEL_STORE=str(tmp_path)) as agent:
            await agent.until_true(
                lambda: (
                    agent.controller.source is not None and agent.controller.source.progress.snapshot().done_bytes > 0
                ),
                lambda: "bytes read before the server is up",
            )
            await agent.until("UNREACHABLE")


async def test_a_long_fetch_tells_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While a fetch goes on there is a line of progress now and then."""
    monkeypatch.setattr(fetch, "REPORT_SECONDS", 0.01)
    caplog.set_level("INFO")
    source = MountSource(tmp_path)

    async def slow(_models: tuple[str, ...]) -> None:
        while "fetching from mount" not in caplog.text:  # noqa: ASYNC110 — the log has no event to wait for
            await asyncio.sleep(0.01)

    monkeypatch.setattr(source, "fetch", slow)
    async with asyncio.timeout(10):
        await fetch.Fetch(source, ["m"]).done()
    assert "fetched from mount" in caplog.text


async def test_a_fetch_that_failed_unheard_is_begun_anew(tmp_path: Path) -> None:
    """A failure that nobody waited for is out of date: whoever waits next gets a new try."""
    one = fetch.Fetch(MountSource(tmp_path), ["m"])
    await one.abandon()  # nothing was begun: nothing to end
    with pytest.raises(SourceError):
        await one.done()
    write_store(tmp_path)
    await one.done()
    await one.done()
    assert one.delivered
    one.forget()
    one.begin()
    await one.abandon()
    one.begin()
    await one.done()


class Runner:
    """A llama-server as far as its slots go."""

    def __init__(self, code: int = 200) -> None:
        self.code = code
        self.restored: list[tuple[int, str]] = []
        self.app = Starlette(routes=[Route("/slots/{slot:int}", self.restore, methods=["POST"])])

    async def restore(self, request: Request) -> Response:
        """Note what was asked for."""
        self.restored.append((request.path_params["slot"], (await request.json())["filename"]))
        return JSONResponse({"n_restored": 12}, self.code)


def tell(folder: Path, digest: str, port: int, *flags: str, **changes: Any) -> None:
    """Write what entrypoint and wrapper of the image put into the runtime directory."""
    (folder / "manifest.json").write_text(replace(IMAGE, digest=digest, **changes).as_text())
    (folder / "runners").mkdir(exist_ok=True)
    lines = [
        *(flags or ("LLAMA_ARG_SWA_FULL=1", "-c", "4096")),
        "--port",
        str(port),
        "--model",
        "/models/blobs/sha256-cd",
    ]
    (folder / "runners" / str(port)).write_text("\n".join(lines) + "\n")
    (folder / "runners" / ".aside").write_text("")


def digest_of(ollama: Ollama) -> str:
    """Return the digest that the stand-in lists."""
    (model,) = ollama.app.models
    return str(model.digest)


async def warmed(ollama: Ollama, folder: Path) -> int:
    """Let an agent start with a runtime directory; return how many slots it restored."""
    async with Agent(ollama.url, RUNTIME_DIR=str(folder), OLLAMA_NUM_PARALLEL="2") as agent:
        await agent.until("READY")
        return agent.controller.observed.restored_slots


async def test_the_builds_prompt_cache_fills_every_slot(ollama: Ollama, tmp_path: Path) -> None:
    """With the build's model and flags each slot is restored, and the build's own prompts are the warm-up."""
    runner = Runner()
    with LoopbackServer(runner.app) as url:
        tell(tmp_path, digest_of(ollama), int(url.rpartition(":")[2]))
        assert await warmed(ollama, tmp_path) == 2
    assert runner.restored == [(0, "0.bin"), (1, "0.bin")]
    assert [asked["messages"][0]["content"] for asked in ollama.asked("/api/chat")] == ["Hello.", "Hello."]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("other model", "not the one of the build"),
        ("other flags", "-c 4096 at build, 8192 now"),
        ("no record", "no record of a runner"),
        ("dead runner", "does not answer"),
        ("refusal", "refused with 400"),
        ("no manifest", None),
        ("bad manifest", "cannot be used"),
        ("no cache", None),
        ("other name", None),
    ],
)
async def test_a_cache_that_does_not_fit_is_done_without(
    ollama: Ollama, tmp_path: Path, case: str, words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with the cache costs a line in the log, never the start; no cache, no line."""
    runner = Runner(400 if case == "refusal" else 200)
    digest = "00" * 32 if case == "other model" else digest_of(ollama)
    flags = ("LLAMA_ARG_SWA_FULL=1", "-c", "8192") if case == "other flags" else ()
    changed: dict[str, dict[str, Any]] = {"no cache": {"prompt_cache": ()}, "other name": {"model": "else"}}
    changes = changed.get(case, {})
    with LoopbackServer(runner.app) as url, closed_port() as closed:
        port = closed if case == "dead runner" else int(url.rpartition(":")[2])
        tell(tmp_path, digest, port, *flags, **changes)
        match case:
            case "no record":
                (tmp_path / "runners" / str(port)).unlink()
                (tmp_path / "runners" / ".aside").unlink()
                (tmp_path / "runners").rmdir()
            case "no manifest":
                (tmp_path / "manifest.json").unlink()
            case "bad manifest":
                (tmp_path / "manifest.json").write_text("{")
        assert await warmed(ollama, tmp_path) == 0
    assert words in caplog.text if words else "prompt cache" not in caplog.text
