"""The stand-in with a store on disk: what it serves of one that is there, and what it does not do.

How a store is changed, as a real Ollama changes it, is in tests/contract.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.ggufs import FIELDS, gguf, write_model
from lab.servers import NO_TLS, LoopbackServer, hang_up_after, wait_until
from ops.standin import ScriptedEngine, ServedModel, StandIn
from ops.standin.disk import DiskStore
from ops.standin.prompt import Prompt
from probe_agent.ollama.store import manifest_path, read_manifest

GGUF = gguf()
DIGEST = f"sha256:{hashlib.sha256(GGUF).hexdigest()}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with one model of every kind of layer."""
    root = tmp_path / "models"
    params = b'{"num_ctx": 512, "stop": ["<a>", "<b>"], "temperature": 0.5, "num_batch": 64}'
    write_model(
        root, "full:one", {"model": GGUF, "template": b"{{ .Prompt }}", "system": b"Be brief.", "params": params}
    )
    return root


@pytest.fixture
def engine() -> ScriptedEngine:
    """An engine that is done at once."""
    return ScriptedEngine()


@pytest.fixture
def server(root: Path, engine: ScriptedEngine) -> StandIn:
    """A server over the store, and with a model that is not in it."""
    return StandIn(models=[ServedModel("beside")], engine=engine, disk=DiskStore(root))


def names(http: httpx.Client) -> set[str]:
    """Return the names in the list of models."""
    return {model["name"] for model in http.get("/api/tags").json()["models"]}


def refusal(answer: httpx.Response, status: int) -> str:
    """Return the error of an answer that has this status."""
    assert answer.status_code == status, answer.text
    return str(answer.json()["error"])


def test_what_lies_in_the_store_is_served(root: Path, http: httpx.Client) -> None:
    """A model is listed as its manifest and its file tell it, beside the others."""
    assert names(http) == {"full:one", "beside:latest"}
    model = http.get("/api/tags").json()["models"][0]
    manifest = read_manifest("full:one", (root / manifest_path("full:one")).read_bytes())
    assert (model["digest"], model["size"]) == (manifest.digest, manifest.size_bytes)
    assert model["details"]["quantization_level"] == "Q4_K_M"
    assert model["details"]["context_length"] == 4096


def test_layers_are_shown(http: httpx.Client) -> None:
    """Parameters are shown one a line, a list's values each; template and system message as they are."""
    shown = http.post("/api/show", json={"model": "full:one"}).json()
    lines = [line.split() for line in shown["parameters"].splitlines()]
    assert lines == [
        ["num_batch", "64"],
        ["num_ctx", "512"],
        ["stop", '"<a>"'],
        ["stop", '"<b>"'],
        ["temperature", "0.5"],
    ]
    assert (shown["template"], shown["system"]) == ("{{ .Prompt }}", "Be brief.")


@pytest.mark.parametrize("name", ["full:one", "library/full:one", "registry.ollama.ai/library/full:one", "FULL:one"])
def test_every_spelling_of_a_name_finds_the_model(http: httpx.Client, name: str) -> None:
    """As Ollama does, the stand-in takes a name with or without its default parts, in any case (F12)."""
    assert http.post("/api/show", json={"model": name}).status_code == 200


def test_parameters_hold_for_loads(http: httpx.Client, engine: ScriptedEngine) -> None:
    """The model's own num_ctx and num_batch are those of its runner, unless a request says otherwise."""
    for options in ({}, {"num_batch": 128, "num_ctx": 256}):
        http.post("/api/generate", json={"model": "full:one", "options": options}).raise_for_status()
    assert [(start.options.num_ctx, start.options.num_batch) for start in engine.starts] == [(512, 64), (256, 128)]


def test_what_the_modelfile_adds_to_a_prompt(server: StandIn) -> None:
    """Parameters lie below the request's options; the system message comes first unless the request brings one."""
    model = server.models.find("full:one")
    user, own = {"role": "user", "content": "Hi"}, {"role": "system", "content": "Be long."}
    told = model.completed(Prompt(messages=[user], options={"temperature": 0, "seed": 1}))
    assert told.messages == [{"role": "system", "content": "Be brief."}, user]
    assert told.options == {"stop": ["<a>", "<b>"], "temperature": 0, "num_batch": 64, "seed": 1}
    assert model.completed(Prompt(messages=[own, user])).messages == [own, user]
    assert model.completed(Prompt(text="raw")).messages == ()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("m:latest", "manifests/registry.ollama.ai/library/m/latest"),
        ("someone/m:t", "manifests/registry.ollama.ai/someone/m/t"),
        ("hf.co/someone/m:t", "manifests/hf.co/someone/m/t"),
        ("localhost:5000/library/m:t", "manifests/localhost:5000/library/m/t"),
    ],
)
def test_names(tmp_path: Path, name: str, path: str) -> None:
    """A model's name follows from where its manifest lies."""
    write_model(tmp_path, name, {"model": GGUF})
    assert (tmp_path / path).is_file()
    assert [model.name for model in DiskStore(tmp_path).models()] == [name]


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ({"model": b"PK\3\4 a zip file"}, "not a GGUF file"),
        ({"model": GGUF[:100]}, "not a whole GGUF file"),
        ({"model": None}, "No such file"),
        ({"tensor": GGUF}, "no weights"),
        ({"model": GGUF, "params": b"3"}, "not iterable"),
        ({"model": GGUF, "system": b"\xff"}, "can't decode"),
    ],
)
def test_what_cannot_be_served_is_told(
    root: Path, capsys: pytest.CaptureFixture[str], layers: dict[str, bytes | None], why: str
) -> None:
    """A model without a whole GGUF file is left out, with the reason; the others are served."""
    write_model(root, "odd", layers)
    assert [model.name for model in DiskStore(root).models()] == ["full:one"]
    said = capsys.readouterr().err
    assert said.startswith("ops.standin: model odd:latest is left out: ")
    assert why in said


def test_a_damaged_manifest_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So is a model whose manifest is none; deleting it is refused."""
    path = root / manifest_path("odd")
    path.parent.mkdir()
    path.write_text("{}")
    server = StandIn(models=[], engine=ScriptedEngine(), disk=DiskStore(root))
    assert "the manifest of model odd:latest is none of Ollama's" in capsys.readouterr().err
    with LoopbackServer(server) as url, httpx.Client(base_url=url, verify=NO_TLS) as client:
        assert "none of Ollama's" in refusal(client.request("DELETE", "/api/delete", json={"model": "odd"}), 500)
        assert client.request("DELETE", "/api/delete", json={"model": "full:one"}).status_code == 200


def test_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    """A folder that does not exist is an empty store, made by the first file."""
    root = tmp_path / "new" / "models"
    server = StandIn(models=[], engine=ScriptedEngine(), disk=DiskStore(root))
    with LoopbackServer(server) as url, httpx.Client(base_url=url, verify=NO_TLS) as client:
        assert names(client) == set()
        assert not root.exists()
        assert client.post(f"/api/blobs/{DIGEST}", content=GGUF).status_code == 201
    assert [path.name for path in root.rglob("*") if path.is_file()] == [DIGEST.replace(":", "-")]


@pytest.mark.parametrize(
    "more",
    [
        {"quantize": "q4_K_M"},
        {"adapters": {"a.gguf": DIGEST}},
        {"template": "{{ .Prompt }}"},
        {"system": "Be brief."},
        {"files": {"model.safetensors": DIGEST}},
        {"files": {"a.gguf": DIGEST, "b.gguf": DIGEST}},
    ],
)
def test_what_is_not_done(http: httpx.Client, more: dict[str, Any]) -> None:
    """What the stand-in does not do is a 400 that says so, and a way out."""
    answer = http.post("/api/create", json={"model": "n", "files": {"m.gguf": DIGEST}, **more})
    assert "not part of the stand-in: set the model up with a real Ollama" in refusal(answer, 400)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gguf({**FIELDS, "general.type": "adapter"}), "of the type adapter is not part of the stand-in"),
        (gguf({**FIELDS, "split.count": 2}), "one of the 2 files"),
        (GGUF[:100], "not a whole GGUF file"),
        (GGUF[:-200], "not a whole GGUF file"),
    ],
)
def test_files_that_are_no_model(http: httpx.Client, root: Path, content: bytes, why: str) -> None:
    """A GGUF file that is no whole model is refused, and leaves nothing behind but itself."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    http.post(f"/api/blobs/{digest}", content=content).raise_for_status()
    before = {path.name for path in root.rglob("*")}
    answer = http.post("/api/create", json={"model": "n", "files": {"m.gguf": digest}})
    assert why in answer.text.splitlines()[-1]
    assert {path.name for path in root.rglob("*")} == before
    assert names(http) == {"full:one", "beside:latest"}


def test_a_base_that_is_no_gguf(root: Path, http: httpx.Client) -> None:
    """What is derived from a model that cannot be served cannot be served either: the last line says why."""
    write_model(root, "stub", {"tensor": b"{}"})
    answer = http.post("/api/create", json={"model": "n", "from": "stub", "stream": False})
    assert "no weights" in refusal(answer, 500)
    assert names(http) == {"full:one", "beside:latest"}


def test_nothing_is_pulled(http: httpx.Client) -> None:
    """A base that is not in the store ends the creation, as it does without a registry."""
    answer = http.post("/api/create", json={"model": "n", "from": "beside"})
    assert answer.text.splitlines()[0] == '{"status":"pulling manifest"}'
    assert "the stand-in pulls nothing" in answer.text.splitlines()[-1]
    assert "OLLAMA_STANDIN_MODELS" in refusal(http.post("/api/pull", json={"model": "m"}), 403)


def test_an_upload_that_breaks_off_leaves_nothing(loopback: LoopbackServer, root: Path, server: StandIn) -> None:
    """Of a file whose sender hangs up there is no half in the store."""
    digest = f"sha256:{'0' * 64}"

    def is_coming() -> bool:
        return bool(list(root.glob("blobs/incoming-*")))

    before = {path.name for path in root.rglob("*")}
    hang_up_after(loopback.port, f"/api/blobs/{digest}", GGUF, is_coming, missing=1)
    wait_until(lambda: not is_coming(), what="the end of the half file")
    assert {path.name for path in root.rglob("*")} == before
    assert server.requests[-1] == ("POST", f"/api/blobs/{digest}", None)
