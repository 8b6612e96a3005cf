"""One streaming chat over aiohttp, timed: the only module of the load test that talks to the service.

aiohttp rather than httpx: the tester shares the machine with what it measures, and its parser is compiled. What one
request costs is measured by the benchmark `loadtest_cost`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

import aiohttp

from ops.loadtest import wire
from ops.loadtest.errors import ServiceError
from ops.loadtest.record import Record
from ops.loadtest.wire import Api, Said

# To connect: a TLS handshake across the world takes one; a server that needs ten is not there.
CONNECT_SECONDS = 10.0
FORBIDDEN = {401, 403}
KINDS = {404: "not found", 429: "refused (429)", 503: "refused (503)", 504: "time-out (504)"}


@dataclass(slots=True)
class Seen:
    """What has come of an answer so far; instants on the clock of the event loop."""

    first: float | None = None
    last: float | None = None
    pieces: int = 0
    final: Said = wire.NOTHING
    done: bool = False
    error: str | None = None
    # Whether the request went out on a connection that was used before, and whether the server has answered at all.
    reused: bool = False
    answered: bool = False

    def more(self, now: float) -> None:
        """Take in one more piece of the answer."""
        self.last = now
        self.pieces += 1

    def take(self, said: Said, now: float) -> None:
        """Take in one line."""
        if said.text:
            self.first = now if self.first is None else self.first
            self.more(now)
        if said.error is not None:
            self.error = said.error
        if said.output_tokens is not None:
            self.final = said
        self.done = self.done or said.done


class Client:
    """Sends chats to one service; use it as a context. `timeout_seconds` bounds a whole answer."""

    def __init__(self, url: str, api: Api, timeout_seconds: float) -> None:
        self.url = url.rstrip("/")
        self.api = api
        self._headers = {"Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_SECONDS)

    async def __aenter__(self) -> Self:
        """Open the pool of connections; it has no limit, for a limit would queue where nobody measures."""
        reuse, fresh = aiohttp.TCPConnector(limit=0), aiohttp.TCPConnector(limit=0, force_close=True)
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=reuse, timeout=self._timeout, auto_decompress=False, trace_configs=[trace]
        )
        self._fresh = aiohttp.ClientSession(connector=fresh, timeout=self._timeout, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self._session.close()
        await self._fresh.close()

    def authorize(self, token: str | None) -> None:
        """Send this token from now on: an identity token, or a key."""
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def chat(self, body: bytes, begun: float, intended: float | None = None) -> Record:
        """Send one chat. `begun` is the instant that the record counts from; without `intended` it is sent at once.

        Raises:
            ServiceError: no request of this run can succeed: the service wants another token, or lacks the model.

        """
        clock: Callable[[], float] = asyncio.get_running_loop().time
        seen, sent = Seen(), clock()
        kind, detail = None, ""
        try:
            await self._exchange(body, seen, clock)
            kind, detail = ("error in the stream", seen.error) if seen.error is not None else (None, "")
            if kind is None and not seen.done:
                kind, detail = "cut", "the answer ended without its last line"
        except _Refused as refused:
            kind, detail = refused.kind, refused.words
        except TimeoutError:
            kind, detail = "time-out", f"not whole within {self._timeout.total:g} s"
        except aiohttp.ClientConnectorError as error:
            kind, detail = "no connection", str(error.os_error.strerror or error)
        except (aiohttp.ClientError, OSError) as error:
            kind, detail = "connection lost", f"{type(error).__name__}: {error}"
        except ValueError as error:
            kind, detail = "not understood", str(error)
        end = clock()
        final = seen.final
        return Record(
            intended=(sent - begun) if intended is None else intended,
            sent=sent - begun,
            end=end - begun,
            first=None if seen.first is None else seen.first - begun,
            last=None if seen.last is None else seen.last - begun,
            prompt_tokens=final.prompt_tokens,
            output_tokens=seen.pieces if final.output_tokens is None else final.output_tokens,
            error=kind,
            detail=detail or "",
            total_seconds=final.total,
            load_seconds=final.load,
            prompt_seconds=final.prompt,
            answer_seconds=final.answer,
        )

    async def _exchange(self, body: bytes, seen: Seen, clock: Callable[[], float]) -> None:
        """Send it; once more on a new connection where the server had closed the reused one while it was idle."""
        try:
            await self._stream(self._session, body, seen, clock)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if seen.answered or not seen.reused:
                raise
            await self._stream(self._fresh, body, seen, clock)

    async def _stream(
        self, session: aiohttp.ClientSession, body: bytes, seen: Seen, clock: Callable[[], float]
    ) -> None:
        async with session.post(
            self.url + self.api.path, data=body, headers=self._headers, allow_redirects=False, trace_request_ctx=seen
        ) as response:
            seen.answered = True
            if response.status != 200:  # noqa: PLR2004 — the one status of an answer
                self._refuse(response.status, await response.read(), response.headers.get("Location"))
            rest = b""
            async for data in response.content.iter_any():
                now = clock()
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if seen.first is not None and wire.goes_on(self.api, line):
                        seen.more(now)
                    elif line.strip():
                        seen.take(wire.said(self.api, line), now)

    def _refuse(self, status: int, content: bytes, elsewhere: str | None) -> None:
        words = wire.refusal(content)
        if elsewhere is not None:  # followed, a redirection would be a GET, and another service's times
            raise ServiceError(f"{self.url} answered {status} and points to {elsewhere}: give that address instead")
        if status in FORBIDDEN:
            raise ServiceError(
                f"{self.url} answered {status} ({words or 'no reason given'}): the token is missing, expired or has no "
                "right to call; get a new one, as by `gcloud auth print-identity-token`"
            )
        if status == 404:  # noqa: PLR2004
            raise ServiceError(
                f"{self.url}{self.api.path} answered 404 ({words or 'no reason given'}): no such model or route there; "
                "correct --model (`ollama list` shows them) or the address"
            )
        raise _Refused(KINDS.get(status, f"HTTP {status}"), words)

    async def ask(self, path: str) -> dict[str, Any]:
        """Return what the server tells of itself at one of Ollama's routes; nothing where it does not."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            timeout = aiohttp.ClientTimeout(total=CONNECT_SECONDS)  # a look at what is in memory
            async with self._session.get(self.url + path, headers=self._headers, timeout=timeout) as response:
                answer = await response.json(content_type=None)
                return answer if isinstance(answer, dict) else {}
        return {}


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    if isinstance(seen := context.trace_request_ctx, Seen):
        seen.reused = True


class _Refused(Exception):
    """An answer that is none, of a status that may pass."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words
