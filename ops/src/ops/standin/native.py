"""Ollama's own routes, under /api/."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.standin import wire
from ops.standin.answers import Completion, respond, while_connected
from ops.standin.core import Core
from ops.standin.engine import Piece
from ops.standin.errors import ApiError, not_found
from ops.standin.models import ServedModel
from ops.standin.prompt import Prompt

Fields = Callable[[str], dict[str, Any]]

LINES = "application/x-ndjson"
_MISSING = "missing request body"


class Native:
    """The routes over one core."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def routes(self) -> list[Route]:
        """Every native route but the administrative ones."""
        return [
            Route("/api/version", self.version),
            Route("/api/tags", self.tags),
            Route("/api/ps", self.ps),
            Route("/api/show", self.show, methods=["POST"]),
            Route("/api/generate", self.generate, methods=["POST"]),
            Route("/api/chat", self.chat, methods=["POST"]),
            Route("/api/embed", self.embed, methods=["POST"]),
            Route("/api/embeddings", self.embeddings, methods=["POST"]),
        ]

    async def version(self, _: Request) -> Response:
        """GET /api/version."""
        return JSONResponse({"version": self._core.version})

    async def tags(self, _: Request) -> Response:
        """GET /api/tags: every stored model, damaged ones too."""
        return JSONResponse({"models": [model.tag() for model in self._core.models]})

    async def ps(self, _: Request) -> Response:
        """GET /api/ps: every loaded model, dead ones too; waits while a runner is pinged."""
        return JSONResponse({"models": await self._core.processes()})

    async def show(self, request: Request) -> Response:
        """POST /api/show."""
        body = wire.json_object(await request.body(), empty=_MISSING)
        name = wire.text_field(body, "model") or wire.text_field(body, "name")
        if not name:
            raise ApiError(400, "model is required")
        return JSONResponse(self._core.models.find(wire.full_name(name)).show())

    async def generate(self, request: Request) -> Response:
        """POST /api/generate: without a prompt only a load, or an unload."""
        body = wire.json_object(await request.body(), empty=_MISSING)
        name = wire.text_field(body, "model")
        if not name:
            raise not_found("")
        model = self._core.models.find(name)
        text = wire.text_field(body, "prompt")
        messages: list[dict[str, Any]] = []
        if text and not body.get("raw"):
            system = wire.text_field(body, "system")
            messages = [{"role": "system", "content": system}] if system else []
            messages.append({"role": "user", "content": text})
        prompt = _prompt(body, messages, text)
        return await self._answer(request, model, body, prompt, lambda part: {"response": part})

    async def chat(self, request: Request) -> Response:
        """POST /api/chat: without messages only a load, or an unload."""
        body = wire.json_object(await request.body(), empty=_MISSING)
        model = self._required(body)
        prompt = _prompt(body, body.get("messages") or [], "")
        fields: Fields = lambda part: {"message": {"role": "assistant", "content": part}}  # noqa: E731 -- two of a kind
        return await self._answer(request, model, body, prompt, fields)

    async def embed(self, request: Request) -> Response:
        """POST /api/embed: with an empty input only a load."""
        begun = time.monotonic_ns()
        body = wire.json_object(await request.body(), empty=_MISSING)
        model = self._required(body)
        texts = _inputs(body.get("input"))
        vectors, tokens = await self._core.embed(request, model, body, texts)
        answer: dict[str, Any] = {"model": body["model"], "embeddings": vectors}
        if texts:
            answer |= {"total_duration": time.monotonic_ns() - begun, "prompt_eval_count": tokens}
        return JSONResponse(answer)

    async def embeddings(self, request: Request) -> Response:
        """POST /api/embeddings, the older form: one text, one vector."""
        body = wire.json_object(await request.body(), empty=_MISSING)
        model = self._required(body)
        vectors, _ = await self._core.embed(request, model, body, _inputs(wire.text_field(body, "prompt")))
        return JSONResponse({"embedding": vectors[0] if vectors else []})

    def _required(self, body: dict[str, Any]) -> ServedModel:
        name = wire.text_field(body, "model")
        if not name:
            raise ApiError(400, "model is required")
        return self._core.models.find(name)

    async def _answer(
        self, request: Request, model: ServedModel, body: dict[str, Any], prompt: Prompt, fields: Fields
    ) -> Response:
        begun = time.monotonic_ns()
        keep_alive = wire.keep_alive_seconds(body.get("keep_alive"))
        empty = not prompt.text and not prompt.messages
        if empty and keep_alive == 0:
            await self._core.scheduler.expire(model)
            return JSONResponse(_head(body) | fields("") | {"done": True, "done_reason": "unload"})
        lease = await while_connected(request, self._core.acquire(model, body.get("options"), keep_alive, body))
        if empty:
            lease.release()
            return JSONResponse(_head(body) | fields("") | {"done": True, "done_reason": "load"})
        loaded_ns = time.monotonic_ns() - begun

        def lines(completion: Completion) -> AsyncGenerator[str, None]:
            return _lines(completion, body, fields, begun, loaded_ns)

        def whole(text: str, last: Piece) -> dict[str, Any]:
            return _head(body) | fields(text) | _counts(last, begun, loaded_ns)

        shown = lines if body.get("stream", True) else None
        return await respond(request, lease, model.completed(prompt), whole, shown, LINES)


async def _lines(
    completion: Completion, body: dict[str, Any], fields: Fields, begun: int, loaded_ns: int
) -> AsyncGenerator[str, None]:
    """One JSON line a piece; what fails under way is a line too, for the status is sent already."""
    try:
        async for piece in completion.pieces():
            end = {"done": False} if piece.done_reason is None else _counts(piece, begun, loaded_ns)
            yield json.dumps(_head(body) | fields(piece.text) | end) + "\n"
    except ApiError as error:
        yield json.dumps({"error": error.message}) + "\n"


def _prompt(body: dict[str, Any], messages: list[dict[str, Any]], text: str) -> Prompt:
    options = _options(body.get("options"))
    return Prompt(messages=messages, text=text, options=options, truncate=body.get("truncate") is not False)


def _options(options: object) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, dict):
        found = wire.json_type(options)
        raise ApiError(
            400,
            f"json: cannot unmarshal {found} into Go struct field .options of type map[string]interface {{}}",
        )
    return options


def _inputs(value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ApiError(400, "invalid input type")
    return [text for text in texts if text]


def _head(body: dict[str, Any]) -> dict[str, Any]:
    return {"model": body["model"], "created_at": wire.now()}


def _counts(last: Piece, begun: int, loaded_ns: int) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": last.done_reason or "stop",
        "total_duration": time.monotonic_ns() - begun,
        "load_duration": loaded_ns,
        "prompt_eval_count": last.prompt_tokens,
        "prompt_eval_duration": last.prompt_ns,
        "eval_count": last.tokens,
        "eval_duration": last.eval_ns,
    }
