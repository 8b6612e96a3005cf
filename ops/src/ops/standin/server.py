"""The stand-in as an ASGI application: the routes of Ollama over an engine, with faults on demand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from ops.standin.administration import Administration, refusals
from ops.standin.answers import ClientGone
from ops.standin.core import Asked, Core
from ops.standin.errors import ApiError
from ops.standin.native import Native
from ops.standin.openai import OpenAi
from ops.standin.origins import allowed

_V1_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


class StandIn(Core):
    """An Ollama API over an engine.

    A new start of the server (lifespan) begins with nothing loaded; models, faults and requests stay.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record the request, then answer it with its fault if there is one, else truly."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, replay = b"", receive
        if not scope["path"].startswith("/api/blobs/"):  # gigabytes, for their route to take in pieces
            body = await _body(receive)
            replay = _replay(body, receive)
        self.requests.append(Asked(scope["method"], scope["path"], _json(body)))
        fault = self.faults.take(scope["path"])
        if self.loopback and not allowed(Headers(scope=scope)):
            await Response(status_code=403)(scope, replay, send)
        elif fault is None:
            await self._app(scope, replay, send)
        else:
            await fault.answer(self._app, scope, replay, send)

    @cached_property
    def _app(self) -> Starlette:
        administration = Administration(self.models, self.disk).routes() if self.disk else refusals()
        return Starlette(
            routes=[Route("/", _root), *Native(self).routes(), *administration, *OpenAi(self).routes()],
            exception_handlers={ApiError: _api_error, HTTPException: _http_error, ClientGone: _client_gone},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.scheduler = self.new_scheduler()
        try:
            yield
        finally:
            await self.scheduler.close()


async def _root(_: Request) -> Response:
    return PlainTextResponse("Ollama is running")


async def _api_error(request: Request, error: Exception) -> Response:
    status, message = (error.status, error.message) if isinstance(error, ApiError) else (500, str(error))
    if not request.url.path.startswith("/v1/"):
        return JSONResponse({"error": message}, status)
    fields = {"message": message, "type": _V1_TYPES.get(status, "api_error"), "param": None, "code": None}
    return JSONResponse({"error": fields}, status)


async def _http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = {404: "404 page not found", 405: "405 method not allowed"}.get(status, str(error))
    return PlainTextResponse(text, status)


async def _client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _replay(body: bytes, receive: Receive) -> Receive:
    unread = [body]

    async def again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return again
