"""Which requests pass, and where they go: an exact table of (method, raw path). Pure.

The client's path is never forwarded. A raw path that is not in the table to the letter is unknown, so that no
spelling (`//api/delete`, `/v1/../api/delete`, `/api/%64elete`) reaches another route. Inference routes take no query.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from probe_agent.gateway.refusal import Protocol, Refusal
from probe_agent.parse import CLOSED_ROUTES


class Access(StrEnum):
    """What a route does, and so whether it is open."""

    INFERENCE = "inference"
    READ = "read"
    ADMINISTRATION = "administration"


@dataclass(frozen=True, slots=True)
class Route:
    """One route of Ollama. `operation` is OpenTelemetry's name for it; `path` is what goes upstream."""

    method: str
    path: str
    access: Access
    protocol: Protocol = Protocol.OLLAMA
    operation: str = ""
    names_model: bool = False

    @property
    def has_json(self) -> bool:
        """Whether the gateway reads the body: it holds what may be pinned or refused."""
        return self.access is Access.INFERENCE or self.names_model


def _inference(path: str, operation: str, protocol: Protocol = Protocol.OLLAMA) -> Route:
    return Route("POST", path, Access.INFERENCE, protocol, operation, names_model=True)


def _closed(method: str, path: str) -> Route:
    return Route(method, path, Access.ADMINISTRATION)


# Ollama 0.33 (server/routes.go). What is not here does not pass.
ROUTES: tuple[Route, ...] = (
    _inference("/api/generate", "text_completion"),
    _inference("/api/chat", "chat"),
    _inference("/api/embed", "embeddings"),
    _inference("/api/embeddings", "embeddings"),
    _inference("/v1/chat/completions", "chat", Protocol.OPENAI),
    _inference("/v1/completions", "text_completion", Protocol.OPENAI),
    _inference("/v1/embeddings", "embeddings", Protocol.OPENAI),
    _inference("/v1/responses", "chat", Protocol.OPENAI),
    _inference("/v1/messages", "chat", Protocol.ANTHROPIC),
    Route("POST", "/api/show", Access.READ, names_model=True),
    *(Route(method, path, Access.READ) for method in ("GET", "HEAD") for path in ("/api/version", "/api/tags")),
    Route("GET", "/api/ps", Access.READ),
    Route("GET", "/v1/models", Access.READ, Protocol.OPENAI),
    *(_closed(method, path) for path, method in CLOSED_ROUTES.items()),
)
# A blob's path has its digest in it, so this family is known by its beginning, and closed like the others.
BLOBS = b"/api/blobs/"


class RouteTable:
    """The table, with the administrative routes that the operator opened (`opened`: their paths)."""

    def __init__(self, opened: Iterable[str] = ()) -> None:
        self._opened = frozenset(opened)
        self._routes = {(route.method, route.path.encode()): route for route in ROUTES}
        self._methods: dict[bytes, list[str]] = {}
        for route in ROUTES:
            self._methods.setdefault(route.path.encode(), []).append(route.method)

    def find(self, method: str, raw_path: bytes, query: bytes) -> Route:
        """Return the route; raises `Refusal`: 403 closed, 404 unknown, 405 wrong method, 400 with a query."""
        route = self._routes.get((method, raw_path))
        if route is None:
            raise self._unknown(method, raw_path)
        if route.access is Access.ADMINISTRATION and route.path not in self._opened:
            raise _refuse_closed(method, route.path)
        if query:
            reason = f"{method} {route.path} takes no query string"
            raise Refusal(400, "query_string", reason, "Send the parameters in the JSON body")
        return route

    def _unknown(self, method: str, raw_path: bytes) -> Refusal:
        path = ascii(raw_path[:100].decode("latin-1"))[1:-1]
        if raw_path.startswith(BLOBS):
            return _refuse_closed(method, path)
        if methods := self._methods.get(raw_path):
            return Refusal(405, "method", f"{path} does not take {method}", f"Use {' or '.join(methods)}")
        return Refusal(404, "unknown_route", f"no route {method} {path}", "Use a route of Ollama's inference API")


def _refuse_closed(method: str, path: str) -> Refusal:
    reason = f"{method} {path} is closed: this gateway serves inference, and its models are fixed"
    return Refusal(403, "closed_route", reason, "Ask the operator (PROBE_AGENT_GATEWAY_OPEN_ROUTES) if you need it")
