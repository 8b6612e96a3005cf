"""The stand-in as an ASGI application: the routes of Ollama over an engine, with faults on demand."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ops.standin import wire
from ops.standin.administration import Administration, refusals
from ops.standin.answers import ClientGone, while_connected
from ops.standin.engine import LoadOptions
from ops.standin.errors import ApiError
from ops.standin.faults import Faults
from ops.standin.models import Store
from ops.standin.native import Native
from ops.standin.openai import OpenAi
from ops.standin.origins import allowed
from ops.standin.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send

    from ops.standin.disk import DiskStore
    from ops.standin.engine import Engine, Runner
    from ops.standin.models import StoredModel
    from ops.standin.scheduler import Lease

VERSION = "0.32.15-standin"
"""The Ollama that the stand-in was compared with."""

_SMALLEST_CONTEXT = 4
_V1_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


class Asked(NamedTuple):
    """One request as it arrived; `body` is None unless it was JSON."""

    method: str
    path: str
    body: Any


class StandIn:
    """An Ollama API over `engine`. Everything public may be used from another thread while it serves.

    A new start of the server (lifespan) begins with nothing loaded; models, faults and requests stay.
    """

    def __init__(
        self,
        *,
        models: Iterable[StoredModel],
        engine: Engine,
        context_length: int = 4096,
        num_parallel: int = 1,
        keep_alive: float = 300.0,
        max_queue: int = 512,
        max_loaded_models: int = 3,
        ping_timeout_seconds: float = 10.0,
        version: str = VERSION,
        loopback: bool = True,
        disk: DiskStore | None = None,
    ) -> None:
        self.models = Store([*(disk.models() if disk else ()), *models])
        self.disk = disk
        """Where models may be created and removed, if anywhere; it is read now, the other models come on top."""
        self.engine = engine
        self.context_length = context_length
        self.num_parallel = num_parallel
        self.keep_alive = keep_alive
        self.max_queue = max_queue
        self.max_loaded_models = max_loaded_models
        self.ping_timeout_seconds = ping_timeout_seconds
        """Seconds until a runner that does not answer is given up; Ollama takes 10, and asks twice."""
        self.version = version
        self.loopback = loopback
        """Whether it listens on loopback alone, where foreign hosts and origins are refused."""
        self.faults = Faults()
        self.requests: list[Asked] = []
        self.scheduler = self._new_scheduler()
        self._vram_fractions: dict[str, float] = {}
        self._app = self._routes()

    def runner(self, name: str) -> Runner:
        """Return the runner of a loaded model, to kill, hang or resume; KeyError when it is not loaded."""
        loaded = self.scheduler.find(self.models.find(name))
        if loaded is None:
            raise KeyError(f"{name} is not loaded")
        return loaded.runner

    def spill(self, name: str, fraction_in_vram: float) -> None:
        """Report `fraction_in_vram` (0 to 1) of the model's memory on the GPU from now on."""
        self._vram_fractions[wire.full_name(name)] = fraction_in_vram

    async def processes(self) -> list[dict[str, Any]]:
        """Return the entries of /api/ps."""
        entries = []
        for loaded in self.scheduler.loaded:
            async with loaded.lock:
                if not loaded.gone:
                    entries.append(loaded.status(self._vram_fractions.get(loaded.model.name)))
        return entries

    async def acquire(
        self, model: StoredModel, options: object, keep_alive: float | None, body: dict[str, Any]
    ) -> Lease:
        """Return a lease of `model`, loaded with what the request, the Modelfile and the server say."""
        if "completion" not in model.capabilities:
            raise ApiError(400, f'"{body.get("model", model.name)}" does not support generate')
        wanted = self._load_options(model, options, shift=body.get("shift") is not False)
        return await self.scheduler.acquire(model, wanted, keep_alive)

    async def embed(
        self, request: Request, model: StoredModel, body: dict[str, Any], texts: list[str]
    ) -> tuple[list[list[float]], int]:
        """Return vectors of `texts` and the tokens read; no texts is a load."""
        keep_alive = wire.keep_alive_seconds(body.get("keep_alive"))
        wanted = self._load_options(model, body.get("options"))
        lease = await while_connected(request, self.scheduler.acquire(model, wanted, keep_alive))
        try:
            if not texts:
                return [], 0
            async with lease.loaded.slots:
                return await while_connected(request, lease.loaded.runner.embed(texts))
        finally:
            lease.release()

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

    def _load_options(self, model: StoredModel, options: object, *, shift: bool = True) -> LoadOptions:
        asked = {**model.parameters, **(options if isinstance(options, dict) else {})}
        for name in ("num_ctx", "num_batch", "num_thread"):
            if not isinstance(asked.get(name, 0), int | float):
                raise ApiError(500, f'option "{name}" must be of type integer')
        num_ctx = int(asked.get("num_ctx") or model.num_ctx or self.context_length)
        return LoadOptions(
            num_ctx=min(max(num_ctx, _SMALLEST_CONTEXT), model.trained_context),
            num_batch=asked.get("num_batch"),
            num_thread=asked.get("num_thread"),
            shift=shift,
        )

    def _new_scheduler(self) -> Scheduler:
        return Scheduler(
            self.engine,
            num_parallel=self.num_parallel,
            keep_alive=self.keep_alive,
            max_queue=self.max_queue,
            max_loaded_models=self.max_loaded_models,
            ping_timeout_seconds=self.ping_timeout_seconds,
        )

    def _routes(self) -> Starlette:
        administration = Administration(self, self.disk).routes() if self.disk else refusals()
        handlers = {ApiError: _api_error, HTTPException: _http_error, ClientGone: _client_gone}
        return Starlette(
            routes=[Route("/", _root), *Native(self).routes(), *administration, *OpenAi(self).routes()],
            exception_handlers=handlers,
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.scheduler = self._new_scheduler()
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
