"""A server whose latency and capacity are known exactly: N slots, one service time, one queue, first come first served.

python -m lab.known_server --port 0 --slots 4 --service 0.1 --tokens 10

It streams as Ollama does (`/api/chat`, JSON lines) and as its OpenAI route does. Each request's instants are decided
when it arrives: it starts when a slot is free, its first token comes `--first` seconds later, the others evenly until
the service time is over. No instant depends on the one before having been late. A client that leaves keeps its slot
for the service time. Port and slots are those of OLLAMA_HOST and OLLAMA_NUM_PARALLEL where these are set. With
`--token`, who does not send it gets 401; another model than `m` gets 404.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import random
from dataclasses import dataclass
from typing import Any

MODEL = "m"
HEAD = b"HTTP/1.1 %d X\r\nContent-Type: %s\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Options:
    """What is known of the server. Times in seconds."""

    slots: int = 4
    service: float = 0.1
    first: float = 0.02
    tokens: int = 10
    token: str | None = None
    expires_after: int | None = None
    fail_share: float = 0.0
    witness: bool = False


class Slots:
    """The one queue: when each request starts."""

    def __init__(self, count: int, service: float) -> None:
        self._service = service
        self._free = [0.0] * count

    def start(self, now: float) -> float:
        """Return the instant at which a request that arrives now starts."""
        start = max(now, heapq.heappop(self._free))
        heapq.heappush(self._free, start + self._service)
        return start


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, options: Options, slots: Slots, counted: list[int]) -> None:
        self._options = options
        self._slots = slots
        self._counted = counted
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            names = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
            headers = {name.strip(): value.strip() for name, _, value in names}
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            self._answer(head.split(b" ")[1].decode(), headers, body)

    def _answer(self, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        arrived = self._loop.time()
        if path == "/api/version":
            self._plain(200, {"version": "known"})
        elif not self._may(headers):
            self._plain(401, {"error": "unauthorized"})
        elif path not in ("/api/chat", "/v1/chat/completions"):
            self._plain(404, {"error": "not found"})
        elif (model := json.loads(body)["model"]) != MODEL:
            self._plain(404, {"error": f"model '{model}' not found"})
        elif random.random() < self._options.fail_share:  # noqa: S311 — no secret
            self._plain(500, {"error": "out of memory"})
        else:
            self._stream(arrived, openai=path.startswith("/v1"))

    def _may(self, headers: dict[bytes, bytes]) -> bool:
        self._counted[0] += 1
        if self._options.expires_after is not None and self._counted[0] > self._options.expires_after:
            return False
        token = self._options.token
        return token is None or headers.get(b"authorization") == f"bearer {token}".encode().lower()

    def _plain(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        head = HEAD % (status, b"application/json") + b"Content-Length: %d\r\n\r\n" % len(data)
        self._transport.write(head + data)

    def _stream(self, arrived: float, *, openai: bool) -> None:
        options = self._options
        start = self._slots.start(arrived)
        steps = max(1, options.tokens - 1)
        gap = (options.service - options.first) / steps
        for number in range(options.tokens):
            data = _chunk(_openai_token() if openai else _token(), openai=openai)
            if number == 0:
                data = HEAD % (200, b"text/event-stream" if openai else b"application/x-ndjson") + CHUNKED + data
            if number == options.tokens - 1:
                data += self._end(start - arrived, openai=openai)
            edge = "last" if number == options.tokens - 1 else "first" if number == 0 else None
            self._loop.call_at(start + options.first + number * gap, self._write, data, arrived, edge)

    def _end(self, waited: float, *, openai: bool) -> bytes:
        options = self._options
        if openai:
            usage = {"choices": [], "usage": {"prompt_tokens": 8, "completion_tokens": options.tokens}}
            return _chunk(usage, openai=True) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        ns = 1e9
        final = {
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "total_duration": int((waited + options.service) * ns),
            "load_duration": 0,
            "prompt_eval_count": 8,
            "prompt_eval_duration": int(options.first * ns),
            "eval_count": options.tokens,
            "eval_duration": int((options.service - options.first) * ns),
        }
        return _chunk(final, openai=False) + b"0\r\n\r\n"

    def _write(self, data: bytes, arrived: float, edge: str | None) -> None:
        now = self._loop.time()
        if not self._transport.is_closing():
            self._transport.write(data)
        if edge and self._options.witness:
            print(edge, f"{arrived:.6f} {now:.6f}", flush=True)


def _token() -> dict[str, Any]:
    return {"model": MODEL, "message": {"role": "assistant", "content": "word "}, "done": False}


def _openai_token() -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "word "}}]}


def _chunk(content: object, *, openai: bool) -> bytes:
    line = json.dumps(content, separators=(",", ":")).encode()  # as Ollama writes
    return _framed(b"data: " + line + b"\n\n" if openai else line + b"\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(port: int, options: Options) -> None:
    """Listen on loopback until cancelled; prints the address."""
    slots, counted = Slots(options.slots, options.service), [0]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(options, slots, counted), "127.0.0.1", port, backlog=1000)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    port_here = int(os.environ.get("OLLAMA_HOST", ":0").rpartition(":")[2])
    slots_here = int(os.environ.get("OLLAMA_NUM_PARALLEL", Options.slots))
    parser.add_argument("--port", type=int, default=port_here)
    parser.add_argument("--slots", type=int, default=slots_here)
    parser.add_argument("--service", type=float, default=Options.service, help="seconds")
    parser.add_argument("--first", type=float, default=Options.first, help="seconds")
    parser.add_argument("--tokens", type=int, default=Options.tokens)
    parser.add_argument("--token")
    parser.add_argument("--expires-after", type=int, metavar="REQUESTS")
    parser.add_argument("--fail-share", type=float, default=0.0)
    parser.add_argument("--witness", action="store_true", help="print when each request came and was answered")
    given = vars(parser.parse_args())
    port = given.pop("port")
    asyncio.run(serve(port, Options(**given)))


if __name__ == "__main__":
    main()
