"""What changes the store: files taken in, models made of them and derived from each other, and their end."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.ollama_server import IMPORTED_WEIGHTS, PINNED, PLAIN, OllamaServer
from ops import smollm2
from probe_agent.ollama.store import manifest_path, read_manifest
from tests.contract.differences import has

IMPORTED, DERIVED = "shop/imported:one", "derived"
DERIVED_CONTEXT = 768
NO_BLOB = f"sha256:{'0' * 64}"


def digest_of(content: bytes) -> str:
    """Return the name of a blob in requests."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def create(server: OllamaServer, **body: Any) -> list[dict[str, str]]:
    """Create a model and return the lines of the answer."""
    response = server.post("/api/create", **body)
    assert response.headers["content-type"] == "application/x-ndjson", response.text
    return [json.loads(line) for line in response.text.splitlines()]


def delete(server: OllamaServer, model: str) -> int:
    """Delete a model and return the status."""
    return server.http.request("DELETE", "/api/delete", json={"model": model}).status_code


@pytest.fixture(scope="module")
def created(running: OllamaServer) -> Iterator[dict[str, list[dict[str, str]]]]:
    """What was told while the small model's file was imported, and another model derived from that."""
    content = smollm2.gguf_path().read_bytes()
    running.http.post(f"/api/blobs/{digest_of(content)}", content=content).raise_for_status()
    imported = create(running, model=IMPORTED, files={"m.gguf": digest_of(content)})
    derived = create(running, model=DERIVED, parameters={"num_ctx": DERIVED_CONTEXT}, **{"from": IMPORTED})
    yield {IMPORTED: imported, DERIVED: derived}
    assert {delete(running, model) for model in (IMPORTED, DERIVED)} == {200}
    assert {model["name"] for model in tags(running)} == {f"{PINNED}:latest", f"{PLAIN}:latest"}


def tags(server: OllamaServer) -> list[dict[str, Any]]:
    """Return the list of models."""
    models: list[dict[str, Any]] = server.http.get("/api/tags").json()["models"]
    return models


def store(server: OllamaServer) -> Path:
    """Return the folder of the store."""
    return server.process.log.parent / "models"


def test_a_blob_is_taken_in_once(running: OllamaServer) -> None:
    """A new file is 201, one that is there is 200 unread; HEAD tells which, and the store holds it under its digest."""
    content = secrets.token_bytes(100_000)
    path = f"/api/blobs/{digest_of(content)}"
    assert running.http.head(path).status_code == 404
    assert running.http.post(path, content=content).status_code == 201
    assert running.http.head(path).status_code == 200
    assert running.http.post(path, content=content).status_code == 200
    file = store(running) / "blobs" / digest_of(content).replace(":", "-")
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_blob_with_another_content_is_refused(running: OllamaServer) -> None:
    """The name is held against the content."""
    answer = running.http.post(f"/api/blobs/{NO_BLOB}", content=b"x")
    text = f'digest mismatch, expected "{NO_BLOB}", got "{digest_of(b"x")}"'
    assert (answer.status_code, answer.json()) == (400, {"error": text})
    assert running.http.head(f"/api/blobs/{NO_BLOB}").status_code == 404


@pytest.mark.parametrize("name", ["x", "sha256:abc", "md5:0123"])
def test_a_blob_of_another_name_is_refused(running: OllamaServer, name: str) -> None:
    """Only sha256 and 64 hex digits name a blob."""
    assert running.http.head(f"/api/blobs/{name}").status_code == 400
    answer = running.http.post(f"/api/blobs/{name}", content=b"x")
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid digest format"})


def test_an_import_tells_its_steps(running: OllamaServer, created: dict[str, list[dict[str, str]]]) -> None:
    """Parsing comes first, success last; each layer is reported with its digest."""
    statuses = [line["status"] for line in created[IMPORTED]]
    begin = ["parsing GGUF", "verifying conversion"] if has(running, "import rewrites") else ["parsing GGUF"]
    assert statuses[: len(begin)] == begin
    assert statuses[-2:] == ["writing manifest", "success"]
    assert any(re.fullmatch(r"(creating new|using existing) layer sha256:[0-9a-f]{64}", each) for each in statuses)


def test_a_derivation_tells_its_steps(created: dict[str, list[dict[str, str]]]) -> None:
    """The weights are there already, the parameters are new."""
    statuses = [line["status"] for line in created[DERIVED]]
    assert statuses[0].startswith("using existing layer sha256:")
    assert statuses[-3].startswith("creating new layer sha256:")
    assert statuses[-2:] == ["writing manifest", "success"]


@pytest.mark.usefixtures("created")
def test_imported_weights(running: OllamaServer) -> None:
    """Ollama stores an imported file in llama.cpp's own order from 0.32 on; before that, as it came."""
    expected = (
        IMPORTED_WEIGHTS
        if has(running, "import rewrites")
        else digest_of(smollm2.gguf_path().read_bytes()).removeprefix("sha256:")
    )
    for model in (IMPORTED, DERIVED):
        weights = read_manifest(model, (store(running) / manifest_path(model)).read_bytes()).weights
        assert weights is not None
        assert weights.sha256 == expected
        assert digest_of((store(running) / weights.path).read_bytes()) == f"sha256:{expected}"


@pytest.mark.usefixtures("created")
def test_manifests(running: OllamaServer) -> None:
    """Manifests have the same form: media types, sizes, and for what is derived where it comes from."""
    file = store(running) / manifest_path(DERIVED)
    manifest = read_manifest(DERIVED, file.read_bytes())
    listed = {model["name"]: model for model in tags(running)}[f"{DERIVED}:latest"]
    assert (listed["digest"], listed["size"]) == (manifest.digest, manifest.size_bytes)
    document = json.loads(manifest.content)
    assert file.read_bytes() == json.dumps(document, separators=(",", ":")).encode() + b"\n"
    assert list(document) == ["schemaVersion", "mediaType", "config", "layers"]
    by_type = {layer["mediaType"].rpartition(".")[2]: layer for layer in document["layers"]}
    assert list(by_type["model"]) == ["mediaType", "digest", "size", "from"]
    assert by_type["model"]["from"] == IMPORTED
    parameters = (store(running) / "blobs" / by_type["params"]["digest"].replace(":", "-")).read_bytes()
    assert json.loads(parameters)["num_ctx"] == DERIVED_CONTEXT
    config = json.loads((store(running) / "blobs" / document["config"]["digest"].replace(":", "-")).read_bytes())
    assert (config["model_format"], config["model_type"], config["file_type"]) == ("gguf", "134.52M", "Q4_1")


@pytest.mark.usefixtures("created")
def test_a_derived_model_has_its_context(server: OllamaServer) -> None:
    """The created parameter is shown, and is what the model is loaded with, in the other dialect too."""
    shown = server.post("/api/show", model=DERIVED).json()["parameters"]
    assert re.search(rf"^num_ctx\s+{DERIVED_CONTEXT}$", shown, re.MULTILINE)
    server.post("/v1/completions", model=DERIVED, prompt="Hi", max_tokens=1).raise_for_status()
    assert server.loaded()["context_length"] == DERIVED_CONTEXT


@pytest.mark.usefixtures("created")
def test_whole_answers(running: OllamaServer) -> None:
    """With stream false there is one object; a model may be made anew under its name."""
    answer = running.post(
        "/api/create", model=DERIVED, parameters={"num_ctx": DERIVED_CONTEXT}, stream=False, **{"from": IMPORTED}
    )
    assert (answer.status_code, answer.json()) == (200, {"status": "success"})


@pytest.mark.usefixtures("created")
def test_what_models_share_outlives_one(running: OllamaServer) -> None:
    """Deleting a model removes its manifest and the blobs that no other has."""
    create(running, model="short:lived", parameters={"num_ctx": 1111}, **{"from": DERIVED})
    manifest = read_manifest("short:lived", (store(running) / manifest_path("short:lived")).read_bytes())
    before = {blob for blob in manifest.blobs if (store(running) / blob.path).exists()}
    assert before == set(manifest.blobs)
    assert delete(running, "short:lived") == 200
    assert not (store(running) / manifest.path).parent.exists()
    gone = {blob.media_type for blob in manifest.blobs if not (store(running) / blob.path).exists()}
    # Before 0.32 the config names the parameters' layer too, and is another one for each model (seen in 0.24.0).
    own = {"application/vnd.docker.container.image.v1+json"} if running.release < (0, 32) else set()
    assert gone == {"application/vnd.ollama.image.params"} | own
    assert delete(running, "short:lived") == 404


REFUSED_AT_ONCE = [
    (b"", "missing request body"),
    (b"{", "unexpected EOF"),
    (b"{}", "invalid model name"),
    (b'{"model": "!!"}', "invalid model name"),
    (b'{"model": "n"}', "neither 'from' or 'files' was specified"),
    (b'{"model": "n", "from": "!!"}', "invalid model name"),
    (b'{"model": "n", "files": {}}', "unknown type"),
    (b'{"model": "n", "files": {"../m.gguf": "%b"}}' % NO_BLOB.encode(), "file path must be relative"),
    (
        b'{"model": "n", "files": []}',
        "json: cannot unmarshal array into Go struct field CreateRequest.files of type map[string]string",
    ),
    (
        b'{"model": "n", "from": "m", "parameters": 3}',
        "json: cannot unmarshal number into Go struct field CreateRequest.parameters of type map[string]interface {}",
    ),
]


@pytest.mark.parametrize(("body", "message"), REFUSED_AT_ONCE)
def test_creations_refused_at_once(running: OllamaServer, body: bytes, message: str) -> None:
    """What is wrong with the request itself is a 400."""
    answer = running.http.post("/api/create", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": message})


def test_creations_that_fail_under_way(running: OllamaServer) -> None:
    """What is found out after the first status is a line of its own, under status 200; with stream false a status."""
    running.http.post(f"/api/blobs/{digest_of(b'hello')}", content=b"hello")
    for digest, message in (
        (digest_of(b"hello"), "supplied file was not in GGUF format"),
        (NO_BLOB, "no such file or"),
    ):
        first, last = create(running, model="n", files={"m.gguf": digest})
        assert first == {"status": "parsing GGUF"}
        assert message in last["error"]
        whole = running.post("/api/create", model="n", files={"m.gguf": digest}, stream=False)
        assert whole.status_code == (500 if digest == NO_BLOB else 400)
        assert message in whole.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "missing request body"),
        (b"{}", 400, "model is required"),
        (b'{"model": "!!"}', 400, 'name "!!" is invalid'),
        (b'{"model": "nope"}', 404, "model 'nope' not found"),
    ],
)
def test_deletions_refused(running: OllamaServer, body: bytes, status: int, message: str) -> None:
    """What cannot be deleted is refused in one sentence."""
    if message == "model is required" and not has(running, "deletion names"):
        message = 'name "" is invalid'
    answer = running.http.request("DELETE", "/api/delete", content=body)
    assert (answer.status_code, answer.json()) == (status, {"error": message})


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/create"), ("POST", "/api/delete"), ("GET", "/api/blobs/x")])
def test_wrong_verbs(running: OllamaServer, method: str, path: str) -> None:
    """A wrong verb is a 405."""
    assert running.http.request(method, path).status_code == 405
