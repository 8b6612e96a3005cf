"""The load test's client against servers that close connections, and its search for a model."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from lab.servers import LoopbackServer
from ops.loadtest import wire
from ops.loadtest.client import Client
from ops.loadtest.record import Record
from ops.loadtest.wire import Api

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LINES = b'data: {"choices":[{"delta":{"content":"owl"}}]}\n\ndata: [DONE]\n\n'
ANSWER = HEAD + b"%x\r\n%s\r\n0\r\n\r\n" % (len(LINES), LINES)


@contextlib.asynccontextmanager
async def serving(answers: list[bytes]) -> AsyncIterator[str]:
    """Run a server whose connections answer one request each; `answers` are used up, then each gets `ANSWER`.

    A second request on a connection is read, and the connection closed without a byte, as a server does that had
    closed an idle connection when the request came.
    """

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        answer = answers.pop(0) if answers else ANSWER
        writer.write(answer)
        await writer.drain()
        if answer == ANSWER:
            await request(reader)
        writer.close()

    async def request(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split()[0]
            await reader.readexactly(int(length))

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def chats(answers: list[bytes], count: int) -> list[Record]:
    """Return the records of so many chats, one after the other."""

    async def main() -> list[Record]:
        async with serving(answers) as url, Client(url, Api.OPENAI, 5) as client:
            return [await client.chat(b"{}", 0.0) for _ in range(count)]

    return asyncio.run(main())


def test_a_reused_connection_that_is_closed_is_no_failure() -> None:
    """The request is sent once more on a new connection, because no byte of an answer came (F13)."""
    assert [record.error for record in chats([], 4)] == [None] * 4


def test_a_new_connection_that_is_closed_is_a_failure() -> None:
    """The client sends nothing twice that a server may have read from a new connection."""

    async def main() -> Record:
        async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(closes, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with Client(url, Api.OPENAI, 5) as client:
                return await client.chat(b"{}", 0.0)

    assert asyncio.run(main()).error == "connection lost"


def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    """Bytes came: the failure is the server's, and is recorded as one."""
    broken = HEAD + b"5\r\ndata:"
    errors = [record.error for record in chats([ANSWER, broken], 2)]
    assert errors[0] is None
    assert errors[1] is not None


async def only_v1(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `/v1/models` alone, as servers other than Ollama do."""
    listed = {"object": "list", "data": [{"id": "owl", "object": "model"}]}
    there = scope["path"] == "/v1/models"
    await (JSONResponse(listed) if there else Response(status_code=404))(scope, receive, send)


def test_models_are_read_from_v1_too() -> None:
    """A server without `/api/tags` lists its models at `/v1/models`."""

    async def main(url: str) -> list[str]:
        async with Client(url, Api.OPENAI, 5) as client:
            assert wire.model_names(await client.ask("/api/tags")) == []
            return wire.model_names(await client.ask("/v1/models"))

    with LoopbackServer(only_v1) as url:
        assert asyncio.run(main(url)) == ["owl"]


def test_both_lists_of_models_are_read() -> None:
    """Ollama's names, and the ids of the OpenAI API."""
    assert wire.model_names(json.loads('{"models": [{"name": "a:1"}, {"name": "b:2"}]}')) == ["a:1", "b:2"]
    assert wire.model_names({}) == []
