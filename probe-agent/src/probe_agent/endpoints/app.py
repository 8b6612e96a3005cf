"""The agent's HTTP endpoints. They read views and do no I/O of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from probe_agent import logs
from probe_agent.endpoints import metrics
from probe_agent.endpoints.paths import PATHS
from probe_agent.endpoints.status import status, summary
from probe_agent.readiness.view import ReadinessView, Views

OK, NOT_FOUND, UNAVAILABLE = 200, 404, 503
# Answers change from one moment to the next: nothing between the agent and the prober may keep one.
NO_STORE = {"Cache-Control": "no-store"}


class Endpoints:
    """The functions behind the routes. All they know is in the views."""

    def __init__(self, views: Views, registry: CollectorRegistry | None = None) -> None:
        self._views = views
        self._registry = registry or metrics.registry_of(views.view)
        self._held = metrics.held_probes(self._registry)
        self._page = files("probe_agent.endpoints").joinpath("page.html").read_text(encoding="utf-8")

    async def startup(self, request: Request) -> Response:
        """Return 200 once READY was first reached; an earlier probe is held until then, or until the hold ends."""
        view = self._views.view()
        if view.startup_hold_seconds and not view.settled:
            with self._held.track_inprogress():
                await _first_of(view.startup_hold_seconds, self._views.settled(), _hung_up(request.receive))
            view = self._views.view()
        return _answer(request, view, view.startup_passed)

    async def ready(self, request: Request) -> Response:
        """Return 200 while the model answers."""
        view = self._views.view()
        return _answer(request, view, view.ready)

    async def live(self, request: Request) -> Response:
        """Return 200 while the agent itself makes progress, whatever Ollama does."""
        view = self._views.view()
        return _answer(request, view, view.alive)

    async def status(self, _request: Request) -> Response:
        """Return everything the agent knows."""
        return JSONResponse(status(self._views.view()), headers=NO_STORE)

    async def metrics(self, _request: Request) -> Response:
        """Return the Prometheus text format."""
        return Response(metrics.exposition(self._registry), media_type=metrics.CONTENT_TYPE)

    async def page(self, _request: Request) -> Response:
        """Return the status page."""
        return HTMLResponse(self._page, headers=NO_STORE)


def _answer(request: Request, view: ReadinessView, passed: bool) -> Response:
    code, body = OK if passed else UNAVAILABLE, summary(view)
    log = BackgroundTask(logs.probe_answered, request.url.path, code, request.headers, body)
    return JSONResponse(body, code, headers=NO_STORE, background=log)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first_of(seconds: float, *waiting: Awaitable[object]) -> None:
    """Wait for the first of several things, at most some seconds, and forget the others."""
    tasks = [asyncio.ensure_future(each) for each in waiting]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _error(_request: Request, error: Exception) -> Response:
    """Say in JSON what is wrong with a request, and which paths there are."""
    assert isinstance(error, HTTPException)  # noqa: S101 — it is registered for these
    known = [path for paths in PATHS.values() for path in paths]
    action = f"GET one of: {', '.join([*known, '/status', '/metrics', '/'])}."
    return JSONResponse({"reason": error.detail, "action": action}, error.status_code, headers=error.headers)


def build(
    views: Views, run: Callable[[], Coroutine[Any, Any, None]], registry: CollectorRegistry | None = None
) -> Starlette:
    """Return the application; `run` is what it keeps running for as long as it serves.

    `registry` holds the agent's metrics, and perhaps others; None: a new one.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    endpoints = Endpoints(views, registry)
    checks: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "startup": endpoints.startup,
        "ready": endpoints.ready,
        "live": endpoints.live,
    }
    routes = [Route(path, check) for name, check in checks.items() for path in PATHS[name]]
    routes += [
        Route("/status", endpoints.status),
        Route("/metrics", endpoints.metrics),
        Route("/", endpoints.page),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _error})
