"""The OpenAI dialect: /v1/…  It knows no options and no keep_alive: the Modelfile and the server decide."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.standin import wire
from ops.standin.answers import Completion, respond, while_connected
from ops.standin.core import Core
from ops.standin.engine import Piece
from ops.standin.errors import ApiError
from ops.standin.models import ServedModel
from ops.standin.prompt import Prompt

_SAMPLING = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
}
EVENTS = "text/event-stream"
_DEFAULT_SAMPLING = {"temperature": 1.0, "top_p": 1.0}


@dataclass(frozen=True)
class _Dialect:
    """What differs between chat and plain completions."""

    prefix: str
    whole_object: str
    part_object: str
    whole: Callable[[str], dict[str, Any]]
    part: Callable[[str, bool], dict[str, Any]]


def _delta(text: str, first: bool) -> dict[str, Any]:
    role = {"role": "assistant"} if first else {}
    return {"delta": role | ({"content": text} if text else {})}


_CHAT = _Dialect(
    prefix="chatcmpl",
    whole_object="chat.completion",
    part_object="chat.completion.chunk",
    whole=lambda text: {"message": {"role": "assistant", "content": text}},
    part=_delta,
)
_TEXT = _Dialect(
    prefix="cmpl",
    whole_object="text_completion",
    part_object="text_completion",
    whole=lambda text: {"text": text},
    part=lambda text, _: {"text": text},
)


class OpenAi:
    """The routes over one core."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def routes(self) -> list[Route]:
        """Every /v1 route."""
        return [
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.completions, methods=["POST"]),
            Route("/v1/embeddings", self.embeddings, methods=["POST"]),
        ]

    async def models(self, _: Request) -> Response:
        """GET /v1/models."""
        entries = [_entry(model.name, model) for model in self._core.models]
        return JSONResponse({"object": "list", "data": entries})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/NAME."""
        name = request.path_params["name"]
        return JSONResponse(_entry(name, self._core.models.find(wire.full_name(name))))

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        body = wire.json_object(await request.body(), empty="EOF")
        messages = body.get("messages") or []
        if not messages:
            raise ApiError(400, "[] is too short - 'messages'")
        prompt = Prompt(messages=messages, options=_sampling(body))
        return await self._answer(request, body, prompt, _CHAT)

    async def completions(self, request: Request) -> Response:
        """POST /v1/completions."""
        body = wire.json_object(await request.body(), empty="EOF")
        messages = [{"role": "user", "content": wire.text_field(body, "prompt")}]
        prompt = Prompt(messages=messages, options=_sampling(body))
        return await self._answer(request, body, prompt, _TEXT)

    async def embeddings(self, request: Request) -> Response:
        """POST /v1/embeddings."""
        body = wire.json_object(await request.body(), empty="EOF")
        value = body.get("input")
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts:
            raise ApiError(400, "invalid input")
        model = self._core.models.find(wire.text_field(body, "model"))
        vectors, tokens = await self._core.embed(request, model, {}, texts)
        data = [{"object": "embedding", "embedding": each, "index": index} for index, each in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": body["model"], "usage": usage})

    async def _answer(self, request: Request, body: dict[str, Any], prompt: Prompt, dialect: _Dialect) -> Response:
        model = self._core.models.find(wire.text_field(body, "model"))
        lease = await while_connected(request, self._core.acquire(model, None, None, {}))
        head = {
            "id": f"{dialect.prefix}-{secrets.randbelow(1000)}",
            "object": dialect.part_object if body.get("stream") else dialect.whole_object,
            "created": int(time.time()),
            "model": body["model"],
            "system_fingerprint": "fp_ollama",
        }
        usage = bool((body.get("stream_options") or {}).get("include_usage"))

        def lines(completion: Completion) -> AsyncGenerator[str, None]:
            return _events(completion, head, dialect, usage=usage)

        def whole(text: str, last: Piece) -> dict[str, Any]:
            choice = dialect.whole(text) | {"index": 0, "finish_reason": last.done_reason}
            return head | {"choices": [choice], "usage": _usage(last)}

        shown = lines if body.get("stream") else None
        return await respond(request, lease, model.completed(prompt), whole, shown, EVENTS)


async def _events(
    completion: Completion, head: dict[str, Any], dialect: _Dialect, *, usage: bool
) -> AsyncGenerator[str, None]:
    """Server-sent events. A runner that dies under way ends them without a word, as Ollama's do."""
    first = True
    try:
        async for piece in completion.pieces():
            if piece.text:
                yield _event(head, dialect.part(piece.text, first), None)
                first = False
            if piece.done_reason is not None:
                yield _event(head, dialect.part("", False), piece.done_reason)
                if usage:
                    yield f"data: {json.dumps(head | {'choices': [], 'usage': _usage(piece)})}\n\n"
    except ApiError:
        return
    yield "data: [DONE]\n\n"


def _event(head: dict[str, Any], part: dict[str, Any], reason: str | None) -> str:
    choice = part | {"index": 0, "finish_reason": reason}
    return f"data: {json.dumps(head | {'choices': [choice]})}\n\n"


def _entry(name: str, model: ServedModel) -> dict[str, Any]:
    created = int(datetime.fromisoformat(model.modified_at).timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": "library"}


def _usage(last: Piece) -> dict[str, int]:
    total = last.prompt_tokens + last.tokens
    return {"prompt_tokens": last.prompt_tokens, "completion_tokens": last.tokens, "total_tokens": total}


def _sampling(body: dict[str, Any]) -> dict[str, Any]:
    asked = {ours: body[theirs] for theirs, ours in _SAMPLING.items() if body.get(theirs) is not None}
    return _DEFAULT_SAMPLING | asked
