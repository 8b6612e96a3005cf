"""The gateway, made from the settings."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from probe_agent.gateway.admission import Admission
from probe_agent.gateway.app import Gateway, Policy
from probe_agent.gateway.keys import KeyFile
from probe_agent.gateway.metrics import GatewayMetrics
from probe_agent.gateway.pinning import Pins
from probe_agent.gateway.relay import Relay
from probe_agent.gateway.routes import RouteTable
from probe_agent.gateway.upstream import Upstream
from probe_agent.ollama.names import canonical_name
from probe_agent.readiness.view import ReadinessView
from probe_agent.settings import Settings

HTTP_PORT = 80


def compose(settings: Settings, view: Callable[[], ReadinessView], registry: CollectorRegistry) -> Gateway:
    """Return the gateway; its metrics go into `registry`."""
    address = urlsplit(settings.ollama_url)
    upstream = Upstream(address.hostname or "", address.port or HTTP_PORT)
    admission = Admission(settings.num_parallel * len(settings.models), settings.gateway_queue, time.monotonic)
    aliases = settings.gateway_aliases.items()
    policy = Policy(
        pins=Pins(
            models={canonical_name(spec.name): spec for spec in settings.models},
            aliases={canonical_name(alias): canonical_name(model) for alias, model in aliases},
            num_ctx=settings.gateway_num_ctx,
            runner_options=settings.gateway_runner_options,
            keep_alive=settings.gateway_keep_alive,
        ),
        routes=RouteTable(settings.gateway_open_routes),
        keys=_keys(settings.gateway_api_keys_file),
        body_bytes=settings.gateway_body_bytes,
        deadline_seconds=settings.gateway_deadline_seconds,
    )
    return Gateway(policy, admission, Relay(upstream), GatewayMetrics(registry, admission, upstream), view)


def _keys(path: str) -> KeyFile | None:
    return KeyFile(Path(path), time.monotonic) if path else None
