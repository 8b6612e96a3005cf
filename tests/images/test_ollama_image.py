"""The Ollama image, built from its Dockerfile with a real model in it, alone and beside the agent's."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from lab.images.buildah import Buildah, BuildahError
from lab.images.tree import ASKED
from lab.servers import LOOPBACK, NO_TLS, free_port, wait_until
from tests.images.conftest import HAS_RUNNER, MODEL, NUM_CTX, Built, build_ollama
from tests.images.test_agent_image import PROGRAM

pytestmark = pytest.mark.timeout(900)
# Seconds on an idle machine, all of them start-up of two interpreters and a runner.
READY_SECONDS = 120.0


class Pair:
    """Both containers, sharing the network and the folder /run/ollama as one instance's do."""

    def __init__(self, agent: Built, ollama: Built, folder: Path) -> None:
        self.runtime = folder / "runtime"
        self.logs = folder
        self.url, self.agent_url = (f"http://{LOOPBACK}:{free_port()}" for _ in range(2))
        self._agent, self._ollama = agent, ollama

    def __enter__(self) -> Self:
        self.runtime.mkdir()
        self.runtime.chmod(0o777)  # as an emptyDir is
        volume = (self.runtime, "/run/ollama")
        port = self.agent_url.rpartition(":")[2]
        with ExitStack() as stack:
            self.server = stack.enter_context(
                self._ollama.buildah.start(
                    self._ollama.container(),
                    "/usr/local/bin/entrypoint.sh",
                    environ={"OLLAMA_HOST": self.url.removeprefix("http://")},
                    volume=volume,
                    log=self.logs / "ollama.log",
                )
            )
            self.container = self._agent.container()
            self._environ = {
                "PROBE_AGENT_MODEL": f"{MODEL}@{NUM_CTX}",
                "PROBE_AGENT_OLLAMA_URL": self.url,
                "PROBE_AGENT_PORT": port,
                "PROBE_AGENT_DEVICE": "any",
                "PROBE_AGENT_RUNTIME_DIR": "/run/ollama",
                "OLLAMA_NUM_PARALLEL": "2",
            }
            stack.enter_context(
                self._agent.buildah.start(
                    self.container, PROGRAM, environ=self._environ, volume=volume, log=self.logs / "agent.log"
                )
            )
            wait_until(self._ready, READY_SECONDS, "readiness")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def check(self) -> int:
        """Ask as the agent's HEALTHCHECK does; returns the exit status."""
        return self._agent.buildah.status(self.container, PROGRAM, "check", environ=self._environ)

    def status(self) -> dict[str, Any]:
        """Return the agent's /status."""
        told: dict[str, Any] = httpx.get(f"{self.agent_url}/status", timeout=10, verify=NO_TLS).json()
        return told

    def post(self, path: str, fields: dict[str, Any], method: str = "POST") -> httpx.Response:
        """Ask Ollama."""
        return httpx.request(method, f"{self.url}{path}", json=fields, timeout=60, verify=NO_TLS)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.agent_url}/ready", timeout=5, verify=NO_TLS).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def pair(agent: Built, ollama: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both images, running and ready."""
    with Pair(agent, ollama, tmp_path_factory.mktemp("pair")) as running:
        yield running


def models_in(layer: Path) -> set[str]:
    """Return the files below /models in a layer."""
    with tarfile.open(layer) as tar:
        return {name for item in tar if item.isfile() and (name := item.name.removeprefix("./")).startswith("models/")}


def test_the_weights_have_a_layer_of_their_own(ollama: Built, tmp_path: Path) -> None:
    """One layer holds the weights and nothing else; the small files of the derived model lie in the next one."""
    found = [models for layer in ollama.buildah.layers(ollama.name, tmp_path / "oci") if (models := models_in(layer))]

    weights, rest = found
    assert len(weights) == 1
    assert next(iter(weights)).startswith("models/blobs/sha256-")
    assert {"models/manifest.json", "models/blobs.txt"} <= rest
    assert any(name.startswith("models/prompt-cache/sha256-") for name in rest) == HAS_RUNNER


def test_an_older_ollama_is_told_in_one_line(buildah: Buildah, debian: str, context: Path) -> None:
    """A base without a llama-server ends the build before anything is fetched."""
    with pytest.raises(BuildahError, match=r"OLLAMA_IMAGE: has no /usr/lib/ollama/llama-server; take Ollama 0\.30"):
        build_ollama(buildah, debian, context, "ollama-too-old")


def test_the_runtime_folder_needs_no_volume(ollama: Built) -> None:
    """The server's user may write its records there, so that a plain `docker run` waits for requests at a stop."""
    written = ollama.buildah.run(
        ollama.container(), "/bin/sh", "-c", "touch /run/ollama/file && stat -c %u /run/ollama"
    )

    assert written == "65532"


def test_the_weights_layer_is_the_same_in_every_build(
    ollama: Built, ollama_base: str, context: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second build of the same model, nothing cached, gives the layer of the weights the same digest."""
    again = build_ollama(ollama.buildah, ollama_base, context, "ollama-again")

    first, second = (
        next(layer.name for layer in built.buildah.layers(built.name, tmp_path / str(number)) if models_in(layer))
        for number, built in enumerate((ollama, again))
    )

    with capsys.disabled():
        sys.stdout.write(f"\nthe weights' layer of two builds: sha256:{first[:12]}… and sha256:{second[:12]}…\n")
    assert first == second


def test_nothing_of_the_build_is_left(ollama: Built) -> None:
    """No folder of the builder reaches the image, and of the model nothing that its user owns or may write to."""
    container = ollama.container()

    left = ollama.buildah.run(
        container, "/bin/sh", "-c", "ls -d /bake /import /build /out /root/.ollama 2>/dev/null; true"
    )
    writable = ollama.buildah.run(container, "/usr/bin/find", "/models", "-perm", "/222")
    owned = ollama.buildah.run(container, "/usr/bin/find", "/models", "-not", "-user", "root")

    assert (left, writable, owned) == ("", "", "")


def test_the_pair_becomes_ready_and_answers(pair: Pair) -> None:
    """From both images: the model is loaded, the prompt cache of the build restored, and a chat is answered."""
    status = pair.status()
    answer = pair.post("/v1/chat/completions", {"model": MODEL, "messages": ASKED, "max_tokens": 4}).json()

    if HAS_RUNNER:
        assert status["prompt_cache"]["restored_slots"] > 0, status["prompt_cache"]
    assert answer["choices"][0]["message"]["content"]
    assert pair.check() == 0


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("DELETE", "/api/delete", {"model": MODEL}),
        ("POST", "/api/create", {"model": MODEL, "from": MODEL, "parameters": {"num_ctx": 512}}),
        ("POST", "/api/copy", {"source": MODEL, "destination": "another"}),
    ],
)
def test_nothing_that_is_served_can_be_changed(pair: Pair, method: str, path: str, fields: dict[str, Any]) -> None:
    """The administrative routes answer, and the store is as the build left it."""
    before = pair.post("/api/tags", {}, "GET").json()

    refused = pair.post(path, fields, method)

    assert refused.is_error, refused.text
    assert pair.post("/api/tags", {}, "GET").json() == before
    assert pair.check() == 0
