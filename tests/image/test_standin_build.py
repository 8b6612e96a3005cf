"""The build's step and the container with the stand-in as their Ollama: what a machine without a real one can try."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from lab.images.tree import FLAGS, IMAGE, ROOT, assemble, bake
from lab.servers import NO_TLS, ServerProcess
from probe_agent.ollama.blobs import check_blob
from probe_agent.ollama.store import manifest_path, read_manifest
from probe_agent.prompt_cache.image_manifest import ImageManifest

LOAD_SECONDS = 50.0
QUESTION = [{"role": "user", "content": "Say hello."}]
# Root may write everywhere, as the user of the image may not: without its capabilities it is held to the modes too.
BOUND = [] if os.geteuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


class StandInImage(NamedTuple):
    """The wrapper that is called as `ollama`, what the build laid out, and the store put together from it."""

    ollama: Path
    out: Path
    models: Path


@pytest.fixture(scope="module")
def image(folder: Path, gguf: Path) -> StandInImage:
    """The small model, baked by the stand-in without a prompt cache."""
    # A new folder each time: a worker that takes tests from another may set this up twice.
    wrapper = Path(tempfile.mkdtemp(dir=folder)) / "ollama"
    wrapper.parent.chmod(0o755)
    sources = f"{ROOT / 'ops' / 'src'}:{ROOT / 'probe-agent' / 'src'}"
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(sources)} exec {shlex.quote(sys.executable)} -m ops.standin "$@"\n'
    )
    wrapper.chmod(0o755)
    out = wrapper.with_name("out")
    done = bake(out, gguf, wrapper, {"PROMPT_CACHE": "0", "WARMUP": str(IMAGE / "warmup.jsonl")})
    assert done.returncode == 0, done.stderr
    return StandInImage(wrapper, out, assemble(out, wrapper.with_name("models")))


@pytest.fixture(scope="module")
def container(image: StandInImage) -> Iterator[httpx.Client]:
    """A client of the container: `entrypoint.sh` over the assembled store, as a user who may not write to it."""
    home = image.ollama.with_name("home")
    home.mkdir()
    environ = {**FLAGS, "OLLAMA_MODELS": str(image.models), "OLLAMA_BINARY": str(image.ollama)}
    environ |= {"OLLAMA_CONTEXT_LENGTH": "1024", "OLLAMA_KEEP_ALIVE": "-1", "RUNTIME_DIR": str(home)}
    with (
        ServerProcess([*BOUND, "bash", str(IMAGE / "entrypoint.sh")], home, environ) as process,
        httpx.Client(base_url=process.url, timeout=LOAD_SECONDS, verify=NO_TLS) as client,
    ):
        yield client


def test_the_tree_is_complete(image: StandInImage) -> None:
    """The served model alone is laid out, whole, and described as a build with a real Ollama describes it."""
    described = ImageManifest.read((image.models / "manifest.json").read_text())
    model = read_manifest(described.model, (image.models / manifest_path(described.model)).read_bytes())
    assert (described.model, described.quantization, described.num_ctx) == ("served:one", "Q4_1", 2048)
    assert (described.trained_context, described.parameter_size) == (8192, "134.52M")
    assert (described.prompt_cache, described.flags) == ((), ())
    assert described.digest == model.digest
    assert {path.name for path in (image.models / "blobs").iterdir()} == set(described.blobs)
    assert set(described.blobs) == {blob.file_name for blob in model.blobs}
    for blob in model.blobs:
        check_blob(image.models / blob.path, blob)
    assert not image.out.with_name("out-work").exists()


def test_the_weights_are_the_source(image: StandInImage, gguf: Path) -> None:
    """The layer that images share holds one file, the one that was imported."""
    (weights,) = (image.out / "model" / "models" / "blobs").iterdir()
    assert weights.read_bytes() == gguf.read_bytes()


def test_the_container_answers_with_the_pinned_context(container: httpx.Client) -> None:
    """A chat of the dialect that knows no options is answered under the context of the build."""
    body = {"model": "served:one", "messages": QUESTION, "max_tokens": 3}
    answer = container.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    (loaded,) = container.get("/api/ps").json()["models"]
    assert (loaded["name"], loaded["context_length"]) == ("served:one", 2048)


def test_the_served_digest_is_that_of_the_build(image: StandInImage, container: httpx.Client) -> None:
    """What the agent compares: the list of models has the digest of manifest.json, and no other model."""
    described = ImageManifest.read((image.models / "manifest.json").read_text())
    models = {model["name"]: model["digest"] for model in container.get("/api/tags").json()["models"]}
    assert models == {"served:one": described.digest}


def test_the_store_cannot_be_changed(image: StandInImage, container: httpx.Client) -> None:
    """Creating, deleting and uploading end with 500 and the refusal of the file system; everything is still there."""
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    answers = [
        container.post(f"/api/blobs/{empty}"),
        container.post("/api/create", json={"model": "n", "from": "served:one", "parameters": {"num_ctx": 512}}),
        container.request("DELETE", "/api/delete", json={"model": "served:one"}),
    ]
    for answer in answers:
        assert answer.status_code == 500
        assert answer.json()["error"].endswith(("permission denied", "operation not permitted"))
    assert (image.models / manifest_path("served:one")).is_file()
    assert len(container.get("/api/tags").json()["models"]) == 1
