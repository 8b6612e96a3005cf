"""A gateway before a scripted upstream."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lab.raw_server import RawServer, Script
from lab.servers import NO_TLS, LoopbackServer, wait_until
from probe_agent.gateway.admission import Admission
from probe_agent.gateway.app import Gateway, Ingress, Policy
from probe_agent.gateway.metrics import GatewayMetrics
from probe_agent.gateway.pinning import Pins
from probe_agent.gateway.relay import Relay
from probe_agent.gateway.routes import RouteTable
from probe_agent.gateway.upstream import Upstream
from probe_agent.ollama.names import canonical_name
from probe_agent.ollama.types import ModelSpec

OWL = ModelSpec("owl", 4096)
PINS = Pins(models={canonical_name("owl"): OWL}, aliases={canonical_name("gpt-4o-mini"): canonical_name("owl")})


@dataclass
class Stand:
    """A gateway, its parts, and what stands behind it."""

    upstream: RawServer
    admission: Admission
    view: SimpleNamespace
    url: str = ""
    gateway: Any = None
    calls: list[Callable[[], object]] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10, verify=NO_TLS))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def post(self, path: str = "/api/chat", /, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Ask the gateway."""
        return self.http.post(self.url + path, json={"model": "owl", **fields}, headers=headers)

    def loop_call(self, call: Callable[[], object]) -> None:
        """Call something in the gateway's event loop, at the next look at the view."""
        self.calls.append(call)
        self.http.get(self.url + "/call")

    def counts(self, sample: str, value: float) -> None:
        """Wait until a sample has a value: an exchange is counted after its answer."""
        wanted = f"{sample} {float(value)}"
        wait_until(lambda: wanted in generate_latest(self.registry).decode().splitlines(), 5, wanted)


@pytest.fixture
def stand() -> Iterator[Callable[..., Stand]]:
    """Start a gateway before an upstream with this script; the policy's fields and the slots may be given."""
    with ExitStack() as stack:

        def start(script: Script, *, slots: int = 2, queue: int = 4, **policy: Any) -> Stand:
            raw = stack.enter_context(RawServer(script))
            upstream = Upstream("127.0.0.1", raw.port)
            admission = Admission(slots, queue, time.monotonic)
            made = Stand(raw, admission, SimpleNamespace(ready=True, reason="", action=""))
            given = {"pins": PINS, "routes": RouteTable(), "keys": None, "body_bytes": 1 << 20, "deadline_seconds": 5.0}
            gateway = Gateway(
                Policy(**{**given, **policy}),
                admission,
                Relay(upstream),
                GatewayMetrics(made.registry, admission, upstream),
                lambda: made.view,  # type: ignore[arg-type, return-value]
            )
            made.gateway = gateway

            async def called(_: Request) -> Response:
                made.calls.pop()()
                return Response()

            made.url = stack.enter_context(
                LoopbackServer(Ingress(Starlette(routes=[Route("/call", called)]), gateway, ["/health", "/call"]))
            )
            stack.callback(made.http.close)
            return made

        yield start
