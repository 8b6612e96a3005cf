"""The last handler: sends the request to Ollama and its answer back, piece by piece, and says so when it breaks."""

import asyncio
import json
import re
from http import HTTPStatus

from probe_agent.gateway.exchange import Exchange, Fields
from probe_agent.gateway.refusal import Protocol, Refusal, error_object
from probe_agent.gateway.upstream import Answer, Upstream, UpstreamError

# Fields of one connection, not of the message (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
# What of a request is never passed on: its credentials are the gateway's, and the gateway writes the others anew.
NOT_UPSTREAM = HOP_BY_HOP | frozenset(b"host content-length expect authorization x-api-key cookie origin".split())
# How an answer that streams ends when it is whole; the last kilobytes are looked at.
TAIL_BYTES = 4096
WHOLE = {
    Protocol.OLLAMA: re.compile(rb'"done"\s*:\s*true|"error"\s*:'),
    Protocol.OPENAI: re.compile(rb'data: \[DONE\]|"type"\s*:\s*"(response\.(completed|incomplete|failed)|error)"'),
    Protocol.ANTHROPIC: re.compile(rb'"type"\s*:\s*"(message_stop|error)"'),
}
COUNTS = {
    "prompt_tokens": re.compile(rb'"(?:prompt_eval_count|prompt_tokens|input_tokens)"\s*:\s*([0-9]{1,9})'),
    "answer_tokens": re.compile(rb'"(?:eval_count|completion_tokens|output_tokens)"\s*:\s*([0-9]{1,9})'),
}
STREAMS = (b"application/x-ndjson", b"text/event-stream")
LOOK = "Look at the log of the ollama container"
AWAY = "Try again; if it stays, look at the log of the ollama container"


class Relay:
    """Forwards to `upstream`. Nothing is buffered: what one read returns is one write."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def close(self) -> None:
        """Close the idle connections."""
        self._upstream.close()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer the client; raises `Refusal` as long as no part of an answer was sent."""
        try:
            async with asyncio.timeout(exchange.deadline - exchange.clock()):
                await self._forward(exchange)
        except TimeoutError:
            await self.broken(exchange, "deadline", 504, "the answer was not complete within the deadline", LOOK)

    async def _forward(self, exchange: Exchange) -> None:
        route = exchange.route
        assert route is not None  # noqa: S101 — the chain begins with the routes
        try:
            answer = await self._upstream.request(
                route.method, route.path.encode(), request_fields(exchange.scope["headers"]), exchange.body
            )
        except UpstreamError as error:
            raise Refusal(502, "upstream", f"Ollama did not answer: {error.reason}", AWAY, retry_after=1) from None
        try:
            await self._pass_on(exchange, answer)
        except UpstreamError as error:
            await self.broken(exchange, "upstream", 502, f"Ollama's answer broke off: {error.reason}", LOOK)
        finally:
            answer.close()

    async def _pass_on(self, exchange: Exchange, answer: Answer) -> None:
        fields = answer_fields(answer.fields)
        if exchange.pinned is not None and exchange.pinned.changed:
            fields.append((b"x-probe-agent-changed", "; ".join(exchange.pinned.changed).encode("ascii", "replace")))
        exchange.streams = dict(answer.fields).get(b"content-type", b"").startswith(STREAMS)
        await exchange.start(answer.status, fields)
        tail = b""
        while piece := await answer.read():
            await exchange.send(piece)
            tail = piece[-TAIL_BYTES:] if len(piece) >= TAIL_BYTES else (tail + piece)[-TAIL_BYTES:]
        self._count(exchange, tail)
        if exchange.streams and answer.status == HTTPStatus.OK and not WHOLE[exchange.protocol].search(tail):
            # Ollama ends a /v1 stream without an error and without [DONE] when its runner dies.
            await self.broken(exchange, "runner", 502, "Ollama ended the answer before it was complete", LOOK)
            return
        await exchange.end()

    def _count(self, exchange: Exchange, tail: bytes) -> None:
        for name, pattern in COUNTS.items():
            if found := pattern.findall(tail):
                setattr(exchange, name, int(found[-1]))

    async def broken(self, exchange: Exchange, kind: str, status: int, reason: str, action: str) -> None:
        """Refuse if nothing was sent yet; else send an error if the answer is a stream, and no proper end."""
        if exchange.status is None:
            raise Refusal(status, kind, reason, action, retry_after=1)
        exchange.outcome = kind
        if exchange.streams:
            await exchange.send(error_event(exchange.protocol, status, f"{reason}. {action}", kind))


def error_event(protocol: Protocol, status: int, message: str, kind: str) -> bytes:
    """Return an error as a part of a stream that has begun: a line of NDJSON, or a server-sent event."""
    text = json.dumps(error_object(protocol, status, message, kind)).encode()
    match protocol:
        case Protocol.OPENAI:
            return b"\n\ndata: " + text + b"\n\n"
        case Protocol.ANTHROPIC:
            return b"\n\nevent: error\ndata: " + text + b"\n\n"
        case _:
            return b"\n" + text + b"\n"


def request_fields(fields: Fields) -> Fields:
    """Return a request's fields as Ollama gets them; names are lower case."""
    gone = NOT_UPSTREAM | _named_by_connection(fields)
    return [(name, value) for name, value in fields if name not in gone]


def answer_fields(fields: Fields) -> Fields:
    """Return an answer's fields as the client gets them."""
    gone = HOP_BY_HOP | _named_by_connection(fields)
    return [(name, value) for name, value in fields if name not in gone]


def _named_by_connection(fields: Fields) -> frozenset[bytes]:
    lists = (value.lower().split(b",") for name, value in fields if name == b"connection")
    return frozenset(item.strip() for items in lists for item in items)
