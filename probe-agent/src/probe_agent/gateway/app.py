"""The chain of handlers, composed: limits, routes, keys, request, pins, admission, relay."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Container
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from probe_agent import logs
from probe_agent.gateway.access_log import access_line
from probe_agent.gateway.admission import Admission
from probe_agent.gateway.exchange import ClientLeft, Exchange, until_client_leaves
from probe_agent.gateway.keys import ANYONE, KeyFile
from probe_agent.gateway.metrics import GatewayMetrics
from probe_agent.gateway.pinning import Pins, apply
from probe_agent.gateway.refusal import Refusal
from probe_agent.gateway.relay import Relay
from probe_agent.gateway.request import read_object
from probe_agent.gateway.routes import Access, RouteTable
from probe_agent.readiness.view import ReadinessView

log = logging.getLogger(__name__)


# Without Ollama's own word for it: what a client of an instance that is not ready may wait before trying again.
RETRY_UNREADY_SECONDS = 5
TRY_AGAIN = "Try again: another instance will answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decides. Seconds and bytes; `keys` None: no key is asked for."""

    pins: Pins
    routes: RouteTable
    keys: KeyFile | None
    body_bytes: int
    deadline_seconds: float


class Gateway:
    """The ASGI application that stands in front of Ollama. `view` says whether the model answers."""

    def __init__(
        self,
        policy: Policy,
        admission: Admission,
        relay: Relay,
        metrics: GatewayMetrics,
        view: Callable[[], ReadinessView],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._admission = admission
        self._relay = relay
        self._metrics = metrics
        self._view = view
        self._clock = clock
        self._answering: dict[asyncio.Task[None], Exchange] = {}

    def drain(self, seconds: float) -> None:
        """Admit nobody any more, and break off what still runs after some seconds."""
        self._admission.close("this instance ends")
        asyncio.get_running_loop().call_later(seconds, self._break_off)

    def _break_off(self) -> None:
        for task, exchange in self._answering.items():
            exchange.drained = True
            task.cancel()

    def close(self) -> None:
        """Close the connections to Ollama."""
        self._relay.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and log and count it whatever comes of it."""
        now = self._clock()
        exchange = Exchange(scope, receive, send, self._clock, now, now + self._policy.deadline_seconds)
        exchange.headers = dict(scope["headers"])
        refused = False
        try:
            await self._routed(exchange)
        except Refusal as refusal:
            refused = True
            await exchange.refuse(refusal)
        except ClientLeft:
            exchange.outcome = "client_left"
        finally:
            exchange.ended = self._clock()
            self._metrics.observe(exchange, refused=refused)
            log.info("%s", access_line(exchange), extra=logs.trace_of(_text(exchange.headers)))

    async def _routed(self, exchange: Exchange) -> None:
        """Find the route, the tenant and the body; then answer for as long as the client stays."""
        scope = exchange.scope
        exchange.route = self._policy.routes.find(scope["method"], scope["raw_path"], scope["query_string"])
        exchange.tenant = self._policy.keys.tenant(exchange.headers) if self._policy.keys else ANYONE
        exchange.body = await self._body(exchange)
        answering = asyncio.create_task(self._pinned(exchange))
        self._answering[answering] = exchange
        leaving = asyncio.create_task(until_client_leaves(exchange, answering))
        try:
            await answering
        except asyncio.CancelledError:
            if exchange.client_left:
                raise ClientLeft from None
            if not exchange.drained:
                raise
            await self._relay.broken(exchange, "draining", 503, "this instance ends", TRY_AGAIN)
        finally:
            del self._answering[answering]
            answering.cancel()
            leaving.cancel()

    async def _body(self, exchange: Exchange) -> bytes:
        try:
            async with asyncio.timeout(exchange.deadline - self._clock()):
                return await exchange.read_body(self._policy.body_bytes)
        except TimeoutError:
            reason = "the request's body did not arrive within the deadline"
            raise Refusal(408, "slow_body", reason, "Send it faster") from None

    async def _pinned(self, exchange: Exchange) -> None:
        """Hold the request against the pins, and forward the client's own bytes where nothing changed."""
        route = exchange.route
        assert route is not None  # noqa: S101 — `_routed` has found it
        if route.has_json:
            fields = read_object(exchange.body)
            exchange.pinned = apply(fields, self._policy.pins)
            if exchange.pinned.changed:
                exchange.body = json.dumps(exchange.pinned.fields, separators=(",", ":")).encode()
        if route.access is Access.INFERENCE:
            await self._admitted(exchange)
        else:
            await self._relay(exchange)

    async def _admitted(self, exchange: Exchange) -> None:
        """Wait for a slot of Ollama's, and give it back."""
        view = self._view()
        if not view.ready:
            raise Refusal(503, "not_ready", view.reason, view.action, retry_after=RETRY_UNREADY_SECONDS)
        exchange.queue_seconds = await self._admission.enter(exchange.tenant, exchange.deadline)
        began, served = self._clock(), None
        try:
            await self._relay(exchange)
            served = self._clock() - began
        finally:
            self._admission.leave(served)


class Ingress:
    """The application of the ingress container: `paths` are the agent's own, all others go through the gateway."""

    def __init__(self, endpoints: ASGIApp, gateway: Gateway, paths: Container[str]) -> None:
        self._endpoints = endpoints
        self._gateway = gateway
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; health checks are never forwarded."""
        if scope["type"] == "lifespan":
            await self._endpoints(scope, receive, send)
            self._gateway.close()
        elif scope["path"] in self._paths:
            await self._endpoints(scope, receive, send)
        else:
            await self._gateway(scope, receive, send)


def _text(headers: dict[bytes, bytes]) -> dict[str, str]:
    names = (b"traceparent", b"x-cloud-trace-context")
    return {name.decode(): headers[name].decode("latin-1") for name in names if name in headers}
