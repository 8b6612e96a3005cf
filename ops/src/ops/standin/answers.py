"""How both dialects answer: leases that end with their answer, and work that ends with its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ops.standin.engine import Piece
from ops.standin.prompt import Prompt
from ops.standin.scheduler import Lease


class ClientGone(Exception):
    """The client hung up before its answer."""


T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, cancelled when the client hangs up: so a disconnect aborts a load."""
    task = asyncio.ensure_future(work)
    hangup = asyncio.ensure_future(_hangup(request))
    try:
        await asyncio.wait([task, hangup], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        hangup.cancel()
        await asyncio.wait([task, hangup])


class Completion:
    """One answer of a leased model, from the first piece to the last.

    The first piece is fetched before anything is sent, so that what fails before it has a status.
    """

    def __init__(self, lease: Lease, prompt: Prompt) -> None:
        self._lease = lease
        self._pieces = self._complete(prompt)
        self._first: Piece | None = None

    async def begin(self) -> None:
        """Wait for a free slot and the first piece."""
        self._first = await anext(self._pieces)

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """All pieces; `begin` first."""
        assert self._first is not None  # noqa: S101 -- misuse by the caller, not by a client
        yield self._first
        async for piece in self._pieces:
            yield piece

    async def whole(self) -> tuple[str, Piece]:
        """Return the whole text and the last piece, which has the counts."""
        texts: list[str] = []
        last = self._first
        async for piece in self.pieces():
            texts.append(piece.text)
            last = piece
        assert last is not None  # noqa: S101 -- there is at least the first
        return "".join(texts), last

    async def close(self) -> None:
        """End the answer, finished or not, and give the model back."""
        try:
            await self._pieces.aclose()
        finally:
            self._lease.release()

    async def _complete(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        async with self._lease.loaded.slots, aclosing(self._lease.loaded.runner.complete(prompt)) as pieces:
            async for piece in pieces:
                yield piece


class LinesOf(StreamingResponse):
    """A streamed answer that closes its completion however it ends."""

    def __init__(self, lines: AsyncGenerator[str, None], media_type: str, completion: Completion) -> None:
        super().__init__(lines, media_type=media_type)
        self._lines = lines
        self._completion = completion

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the end or until the client hangs up."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._lines.aclose()
            await self._completion.close()


async def respond(
    request: Request,
    lease: Lease,
    prompt: Prompt,
    whole: Callable[[str, Piece], dict[str, Any]],
    lines: Callable[[Completion], AsyncGenerator[str, None]] | None,
    media_type: str,
) -> Response:
    """Answer `prompt` with the leased model: streamed as `lines`, or `whole` when there are none."""
    completion = Completion(lease, prompt)
    try:
        await while_connected(request, completion.begin())
        if lines is not None:
            return LinesOf(lines(completion), media_type, completion)
        text, last = await while_connected(request, completion.whole())
    except BaseException:
        await completion.close()
        raise
    await completion.close()
    return JSONResponse(whole(text, last))


async def _hangup(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
