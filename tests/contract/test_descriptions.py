"""What a server says of itself and its models, loaded or not."""

from __future__ import annotations

import re

import pytest

from lab.ollama_server import PINNED, PINNED_CONTEXT, PLAIN, TRAINED_CONTEXT, OllamaServer
from tests.contract.differences import has


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags", "/api/ps"])
def test_answers_without_a_model(server: OllamaServer, path: str) -> None:
    """Every descriptive route answers 200 with no model loaded: none of them proves readiness."""
    assert server.http.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags"])
def test_head(running: OllamaServer, path: str) -> None:
    """HEAD answers like GET."""
    assert running.http.head(path).status_code == 200


def test_root(running: OllamaServer) -> None:
    """The root says that Ollama is running, which says nothing of a model."""
    assert running.http.get("/").text == "Ollama is running"


@pytest.mark.parametrize("path", ["/health", "/healthz", "/metrics"])
def test_no_health_endpoint(running: OllamaServer, path: str) -> None:
    """There is no health endpoint of Ollama's own."""
    assert running.http.get(path).status_code == 404


def test_tags(running: OllamaServer) -> None:
    """The list of stored models has format, quantization and digest."""
    models = {model["name"]: model for model in running.http.get("/api/tags").json()["models"]}
    assert set(models) == {f"{PINNED}:latest", f"{PLAIN}:latest"}
    pinned = models[f"{PINNED}:latest"]
    assert pinned["model"] == pinned["name"]
    assert re.fullmatch(r"[0-9a-f]{64}", pinned["digest"])
    assert pinned["digest"] != models[f"{PLAIN}:latest"]["digest"]
    assert pinned["size"] > 90_000_000
    assert pinned["details"]["format"] == "gguf"
    assert pinned["details"]["family"] == "llama"
    assert pinned["details"]["quantization_level"] == "Q4_1"
    assert pinned["details"]["parameter_size"] == "134.52M"


def test_tags_of_newer_versions(running: OllamaServer) -> None:
    """Newer versions list the trained context and the capabilities; older ones neither."""
    model = running.http.get("/api/tags").json()["models"][0]
    expected = (TRAINED_CONTEXT, ["completion"]) if has(running, "tags describe") else (None, None)
    assert (model["details"].get("context_length"), model.get("capabilities")) == expected


def test_show(running: OllamaServer) -> None:
    """The description of a model has its details, trained context, parameters and capabilities."""
    shown = running.post("/api/show", model=PINNED).json()
    assert shown["details"]["format"] == "gguf"
    assert shown["details"]["quantization_level"] == "Q4_1"
    assert shown["model_info"]["general.architecture"] == "llama"
    assert shown["model_info"]["llama.context_length"] == TRAINED_CONTEXT
    assert "completion" in shown["capabilities"]
    assert re.search(rf"^num_ctx\s+{PINNED_CONTEXT}$", shown["parameters"], re.MULTILINE)


def test_openai_models(running: OllamaServer) -> None:
    """The OpenAI dialect lists the same models."""
    listed = {model["id"] for model in running.http.get("/v1/models").json()["data"]}
    assert listed == {f"{PINNED}:latest", f"{PLAIN}:latest"}
    assert running.http.get(f"/v1/models/{PINNED}").json()["object"] == "model"
