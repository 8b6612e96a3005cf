"""One request on its way through the gateway: what is known of it so far, and the answer to its client."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from probe_agent.gateway.pinning import Pinned
from probe_agent.gateway.refusal import Protocol, Refusal
from probe_agent.gateway.routes import Route

Fields = list[tuple[bytes, bytes]]
Message = MutableMapping[str, Any]


class ClientLeft(Exception):
    """The client hung up before its request was whole: there is nobody to answer."""


@dataclass(slots=True, eq=False)
class Exchange:
    """A request and its answer. Instants are seconds of the agent's monotonic clock; None: not reached.

    `began` is the arrival, `first_byte` the first part of the answer's body, `ended` its end. `queue_seconds` is the
    wait for a slot. `outcome` is what the metrics call the end: "ok", a refusal's kind, or a fault.
    """

    scope: MutableMapping[str, Any]
    receive: Callable[[], Awaitable[Message]]
    transmit: Callable[[Message], Awaitable[None]]
    clock: Callable[[], float]
    began: float
    deadline: float
    headers: dict[bytes, bytes] = field(default_factory=dict)
    route: Route | None = None
    tenant: str = ""
    body: bytes = b""
    pinned: Pinned | None = None
    queue_seconds: float = 0.0
    first_byte: float | None = None
    ended: float | None = None
    status: int | None = None
    outcome: str = "ok"
    client_left: bool = False
    # The answer is a stream, which an error can follow; drained: it was broken off because the agent ends.
    streams: bool = False
    drained: bool = False
    prompt_tokens: int | None = None
    answer_tokens: int | None = None

    @property
    def protocol(self) -> Protocol:
        """Whose error format the client understands, as far as its path tells."""
        if self.route is not None:
            return self.route.protocol
        return Protocol.OPENAI if self.scope["raw_path"].startswith(b"/v1/") else Protocol.OLLAMA

    @property
    def model(self) -> str:
        """The served model's name, or "" where the request has none."""
        return "" if self.pinned is None else self.pinned.spec.name

    async def read_body(self, most_bytes: int) -> bytes:
        """Return the whole body; raises `Refusal` (413) and `ClientLeft`."""
        if int(self.headers.get(b"content-length", b"0")) > most_bytes:
            raise _too_large(most_bytes)
        pieces, size = [], 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            if piece := message.get("body", b""):
                pieces.append(piece)
                size += len(piece)
            if size > most_bytes:
                raise _too_large(most_bytes)
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def start(self, status: int, fields: Fields) -> None:
        """Send status and header."""
        self.status = status
        await self.transmit({"type": "http.response.start", "status": status, "headers": fields})

    async def send(self, piece: bytes) -> None:
        """Send a part of the body at once; waits while the client takes nothing."""
        if self.first_byte is None:
            self.first_byte = self.clock()
        await self.transmit({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Say that the body is complete. Without this the connection is cut, so that nothing broken looks whole."""
        await self.transmit({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: Refusal) -> None:
        """Send the gateway's own answer."""
        self.outcome = refusal.kind
        body = refusal.body(self.protocol)
        await self.start(refusal.status, [*refusal.headers(), (b"content-length", b"%d" % len(body))])
        await self.transmit({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})


async def until_client_leaves(exchange: Exchange, answering: asyncio.Task[None]) -> None:
    """Cancel the answering when the client hangs up. The request is whole by now: nothing else can come."""
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    exchange.client_left = True
    answering.cancel()


def _too_large(most_bytes: int) -> Refusal:
    reason = f"the request's body is larger than {most_bytes:,} bytes"
    return Refusal(413, "body_size", reason, "Send a smaller body (PROBE_AGENT_GATEWAY_BODY_BYTES)")
