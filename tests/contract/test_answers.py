"""The forms of answers: native and OpenAI, whole and streamed, and how requests are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.ollama_server import LOAD_SECONDS, PINNED, OllamaServer
from tests.contract.differences import has

QUESTION = [{"role": "user", "content": "Say hello."}]
# llama.cpp rounds smaller ones up to this.
SMALL_CONTEXT = 256
SHORT = {"num_predict": 3, "temperature": 0}
COUNTS = {"total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"}


def events(text: str) -> list[Any]:
    """Decode server-sent events, the closing [DONE] excepted."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_generate_streams_lines(warm: OllamaServer) -> None:
    """Native answers stream by default: one JSON object a line, the last one with the counts."""
    response = warm.post("/api/generate", model=PINNED, prompt="Say hello.", options=SHORT)
    assert response.headers["content-type"] == "application/x-ndjson"
    *parts, last = map(json.loads, response.text.splitlines())
    assert all(part["done"] is False and part["response"] for part in parts)
    assert last["done"] is True
    assert last["done_reason"] in {"stop", "length"}
    assert set(last) >= COUNTS
    assert last["model"] == PINNED


def test_generate_whole(warm: OllamaServer) -> None:
    """With stream false the answer is one object, with durations in nanoseconds."""
    response = warm.post("/api/generate", model=PINNED, prompt="Say hello.", options=SHORT, stream=False)
    answer = response.json()
    assert answer["response"]
    assert set(answer) >= COUNTS
    assert answer["total_duration"] >= answer["eval_duration"] > 1000
    assert answer["eval_count"] <= 3


def test_chat(warm: OllamaServer) -> None:
    """Chat answers are messages of the assistant, whole and streamed."""
    body = {"model": PINNED, "messages": QUESTION, "options": SHORT}
    whole = warm.post("/api/chat", **body, stream=False).json()
    assert whole["message"]["role"] == "assistant"
    streamed = [json.loads(line) for line in warm.post("/api/chat", **body).text.splitlines()]
    assert "".join(part["message"]["content"] for part in streamed) == whole["message"]["content"] != ""
    assert [part["done"] for part in streamed] == [False] * (len(streamed) - 1) + [True]


def test_openai_chat(warm: OllamaServer) -> None:
    """A chat completion has choices, a finish reason and usage."""
    response = warm.post("/v1/chat/completions", model=PINNED, messages=QUESTION, max_tokens=2, temperature=0)
    answer = response.json()
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 2
    assert usage["total_tokens"] == usage["prompt_tokens"] + 2


def test_openai_chat_stream(warm: OllamaServer) -> None:
    """A streamed chat completion ends with a finish reason, the usage where asked for, and [DONE]."""
    body = {"model": PINNED, "messages": QUESTION, "max_tokens": 2, "temperature": 0, "stream": True}
    response = warm.post("/v1/chat/completions", **body, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *parts, end, usage = events(response.text)
    assert parts[0]["object"] == "chat.completion.chunk"
    assert parts[0]["choices"][0]["delta"]["role"] == "assistant"
    assert all(part["choices"][0]["delta"]["content"] for part in parts)
    assert end["choices"][0]["finish_reason"] == "length"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 2


def test_openai_completions(warm: OllamaServer) -> None:
    """Plain completions have text, whole and streamed."""
    body = {"model": PINNED, "prompt": "Say hello.", "max_tokens": 2, "temperature": 0}
    whole = warm.post("/v1/completions", **body).json()
    assert whole["object"] == "text_completion"
    streamed = events(warm.post("/v1/completions", **body, stream=True).text)
    text = "".join(part["choices"][0]["text"] for part in streamed)
    assert text == whole["choices"][0]["text"] != ""


def test_a_long_prompt_is_truncated_silently(warm: OllamaServer) -> None:
    """A prompt above the context is cut without a word."""
    options = SHORT | {"num_ctx": SMALL_CONTEXT}
    answer = warm.post("/api/generate", model=PINNED, prompt="word " * 2 * SMALL_CONTEXT, options=options, stream=False)
    assert answer.status_code == 200
    assert answer.json()["prompt_eval_count"] <= SMALL_CONTEXT


def test_a_long_prompt_is_refused_on_request(warm: OllamaServer) -> None:
    """With truncate false a prompt above the context is a 400, even of a stream."""
    options = SHORT | {"num_ctx": SMALL_CONTEXT}
    answer = warm.post(
        "/api/generate", model=PINNED, prompt="word " * 2 * SMALL_CONTEXT, options=options, truncate=False
    )
    assert answer.status_code == 400
    assert "exceeds the" in answer.json()["error"]


def test_a_chat_model_gives_no_vectors(warm: OllamaServer) -> None:
    """Newer versions refuse embeddings of a model that was not made for them."""
    status = 501 if has(warm, "vectors refused") else 200
    assert warm.post("/api/embed", model=PINNED, input="x").status_code == status
    assert warm.post("/v1/embeddings", model=PINNED, input="x").status_code == status


NATIVE_REFUSALS = [
    ("/api/generate", b'{"model": "nope"}', 404, "model 'nope' not found"),
    ("/api/chat", b'{"model": "nope"}', 404, "model 'nope' not found"),
    ("/api/generate", b"{}", 404, "model '' not found"),
    ("/api/chat", b"{}", 400, "model is required"),
    ("/api/show", b"{}", 400, "model is required"),
    ("/api/generate", b"", 400, "missing request body"),
    ("/api/chat", b"{", 400, "unexpected EOF"),
    ("/api/generate", b'{"model": "!!"}', 400, "invalid model name"),
    ("/api/generate", b'{"model": "pinned", "keep_alive": "-1"}', 400, 'time: missing unit in duration "-1"'),
    ("/api/generate", b'{"model": "pinned", "keep_alive": "abc"}', 400, 'time: invalid duration "abc"'),
    (
        "/api/generate",
        b'{"model": "pinned", "options": {"num_ctx": "x"}}',
        500,
        'option "num_ctx" must be of type integer',
    ),
    ("/api/embed", b'{"model": "pinned", "input": 3}', 400, "invalid input type"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), NATIVE_REFUSALS)
def test_native_refusals(running: OllamaServer, path: str, body: bytes, status: int, message: str) -> None:
    """Native refusals have a status and one sentence."""
    if message == "invalid model name" and not has(running, "invalid names"):
        status, message = 404, "model '!!' not found"
    response = running.http.post(path, content=body)
    assert (response.status_code, response.json()) == (status, {"error": message})


OPENAI_REFUSALS = [
    (b'{"model": "nope", "messages": [{"role": "user", "content": "x"}]}', 404, "not_found_error"),
    (b'{"model": "pinned", "messages": []}', 400, "invalid_request_error"),
    (b"{", 400, "invalid_request_error"),
]


@pytest.mark.parametrize(("body", "status", "kind"), OPENAI_REFUSALS)
def test_openai_refusals(running: OllamaServer, body: bytes, status: int, kind: str) -> None:
    """Refusals of the OpenAI dialect are objects with a type."""
    if kind == "not_found_error" and not has(running, "typed not found"):
        kind = "api_error"
    response = running.http.post("/v1/chat/completions", content=body)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.json()["error"]["type"] == kind


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/generate"), ("POST", "/api/tags"), ("GET", "/v1/chat/completions")]
)
def test_wrong_verbs(running: OllamaServer, method: str, path: str) -> None:
    """A wrong verb is a 405."""
    assert running.http.request(method, path, timeout=LOAD_SECONDS).status_code == 405


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_foreign_hosts_and_origins(running: OllamaServer, headers: dict[str, str]) -> None:
    """On a loopback bind a foreign Host or Origin is refused with 403."""
    assert running.http.get("/api/tags", headers=headers).status_code == 403
