"""The two wire formats: what is sent, and what a line of the answer says. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ops.loadtest.workload import Request

NANOSECONDS = 1e-9


class Api(StrEnum):
    """Which of Ollama's chat routes is driven."""

    NATIVE = "native"
    OPENAI = "openai"

    @property
    def path(self) -> str:
        """The route."""
        return "/api/chat" if self is Api.NATIVE else "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Said:
    """What one line said. `text` is a piece of the answer; durations are seconds, Ollama's own."""

    text: str = ""
    done: bool = False
    error: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    total: float | None = None
    load: float | None = None
    prompt: float | None = None
    answer: float | None = None


NOTHING = Said()


def body(api: Api, model: str, request: Request, *, seed: int, temperature: float) -> bytes:
    """Return a streaming chat's body.

    Of Ollama's options only sampling is sent: `num_ctx` and the like would reload the model.
    """
    common: dict[str, Any] = {"model": model, "messages": list(request.messages), "stream": True}
    if api is Api.NATIVE:
        options: dict[str, Any] = {"seed": seed, "temperature": temperature}
        if request.answer_tokens is not None:
            options["num_predict"] = request.answer_tokens
        return json.dumps(common | {"options": options}).encode()
    common |= {"seed": seed, "temperature": temperature, "stream_options": {"include_usage": True}}
    if request.answer_tokens is not None:
        common["max_tokens"] = request.answer_tokens
    return json.dumps(common).encode()


def goes_on(api: Api, line: bytes) -> bool:
    """Say whether a line of the native format is a piece in the midst: most lines are, and need not be parsed."""
    return api is Api.NATIVE and b'"done":false' in line


def said(api: Api, line: bytes) -> Said:
    """Read one line of the answer's stream.

    Raises:
        ValueError: it is none of the format.

    """
    if api is Api.NATIVE:
        return _native(json.loads(line))
    if not line.startswith(b"data:"):
        return NOTHING  # a comment or another field of server-sent events
    data = line[5:].strip()
    return Said(done=True) if data == b"[DONE]" else _openai(json.loads(data))


def _native(chunk: Mapping[str, Any]) -> Said:
    if "error" in chunk:
        return Said(error=str(chunk["error"]))
    message = chunk.get("message") or {}
    text = (message.get("content") or "") + (message.get("thinking") or "")
    if not chunk.get("done"):
        return Said(text=text)
    return Said(
        text=text,
        done=True,
        prompt_tokens=chunk.get("prompt_eval_count"),
        output_tokens=chunk.get("eval_count"),
        total=_seconds(chunk, "total_duration"),
        load=_seconds(chunk, "load_duration"),
        prompt=_seconds(chunk, "prompt_eval_duration"),
        answer=_seconds(chunk, "eval_duration"),
    )


def _seconds(chunk: Mapping[str, Any], name: str) -> float | None:
    return chunk[name] * NANOSECONDS if name in chunk else None


def _openai(chunk: Mapping[str, Any]) -> Said:
    if "error" in chunk:
        error = chunk["error"]
        return Said(error=str(error.get("message", error) if isinstance(error, dict) else error))
    text = ""
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        text += (delta.get("content") or "") + (delta.get("reasoning") or "")
    usage = chunk.get("usage") or {}
    return Said(text=text, prompt_tokens=usage.get("prompt_tokens"), output_tokens=usage.get("completion_tokens"))


def model_names(answer: Mapping[str, Any]) -> list[str]:
    """Return the models that a server lists: Ollama's `models`, or `data` of `/v1/models`."""
    listed = answer.get("models") or answer.get("data") or []
    return [str(each.get("name") or each.get("id")) for each in listed]


def refusal(content: bytes) -> str:
    """Return the words of an answer that refuses, at most 200 characters, from JSON of either format or from text."""
    try:
        error = json.loads(content)["error"]
        words = error["message"] if isinstance(error, dict) else error
    except (ValueError, TypeError, KeyError):
        words = content.decode(errors="replace")
    return " ".join(str(words).split())[:200]
