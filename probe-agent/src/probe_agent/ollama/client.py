"""The only module that talks to Ollama, and the one boundary where its errors become ours.

Every call takes the time-out of its whole answer in seconds, so that neither a silent server nor one that
trickles bytes can hold the agent longer than its caller allows.

The load, and what is asked before it or often, goes by bare httpx: the `ollama` client takes a tenth of a second
to import, which would come before every load, and a millisecond to type each answer (measured). It is imported
while Ollama loads, and asks the rest.
"""

import asyncio
import importlib
import json
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx

from probe_agent.errors import (
    BadAnswer,
    OllamaError,
    RequestRefused,
    ServerTimeout,
    ServerUnreachable,
    cause_of,
)
from probe_agent.late_import import whole_or_nothing
from probe_agent.ollama.prompts import ChatPrompt
from probe_agent.ollama.types import ModelSpec, RunningModel, ShownModel, StoredModel

if TYPE_CHECKING:
    import ollama

T = TypeVar("T")
# What of an error body goes into a reason: enough for Ollama's sentences, little of a proxy's HTML page.
MESSAGE_CHARACTERS = 300
# Any prompt proves that the runner generates; this one is a single token in most vocabularies.
PROOF_PROMPT = "Hi"
# A request is on its way this long, in seconds, after it was begun.
SENT_SECONDS = 0.05
NO_ROOM = "Look for what uses up the memory and the open files of the agent's container."
# An answer is kept whole, and none that Ollama gives comes near this: the longest known, /api/show's, has 18 KB.
ANSWER_BYTES = 16 << 20


class OllamaClient:
    """One Ollama server at `url`. `keep_alive` goes with every request, because one without it can undo a pin."""

    def __init__(self, url: str, *, keep_alive: int | str) -> None:
        self.url = url
        self._keep_alive = keep_alive
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        # Time-outs are per call, below; proxies of the environment must never see loopback traffic.
        self._verify: ssl.SSLContext | bool = ssl.create_default_context() if parts.scheme == "https" else False
        self._http = httpx.AsyncClient(base_url=url, **self._options())
        self._importing: asyncio.Future[ollama.AsyncClient] | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()
        if self._importing is not None:
            await asyncio.wait({self._importing})
            if self._importing.exception() is None:
                await self._importing.result().close()  # type: ignore[no-untyped-call]

    async def connect(self, timeout: float) -> None:
        """Open and close a TCP connection, to see whether anybody listens."""
        with _translated("connecting"):
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(*self._address)
                writer.close()

    async def version(self, timeout: float) -> str:
        """Ask for the version: the cheapest sign of a working API, never blocked by a load."""
        answer = await self._ask("GET", "/api/version", timeout)
        return str(answer.get("version", "unknown"))

    async def stored_models(self, timeout: float) -> list[StoredModel]:
        """List the store. The client's type would leave out the trained context and the capabilities."""
        answer = await self._ask("GET", "/api/tags", timeout)
        with _translated("/api/tags"):
            return [_stored(entry) for entry in answer["models"]]

    async def running_models(self, timeout: float) -> list[RunningModel]:
        """List what is loaded. It may block while a runner is locked, and lists a runner that was killed."""
        answer = await self._ask("GET", "/api/ps", timeout)
        with _translated("/api/ps"):
            return [_resident(entry) for entry in answer["models"]]

    async def show(self, name: str, timeout: float) -> ShownModel:
        """Describe a model at length: a quarter of a second, so only when `/api/tags` and `/api/ps` do not do."""
        answer = await self._call("/api/show", lambda client: client.show(name), timeout)
        info = answer.modelinfo or {}
        trained = info.get(f"{info.get('general.architecture')}.context_length")
        lines = (answer.modelfile or "").splitlines()
        return ShownModel(
            capabilities=tuple(answer.capabilities or ()),
            trained_context=trained if isinstance(trained, int) else None,
            blob=next((line.removeprefix("FROM ") for line in lines if line.startswith("FROM ")), name),
        )

    async def load(self, pin: ModelSpec, timeout: float, *, embeds: bool = False) -> None:
        """Load a model and return when it can serve; on a loaded one, ask its runner and disturb nobody.

        A disconnect aborts the load, so the time-out must be as long as the load may take.
        """
        if self._importing is None:
            asyncio.get_running_loop().call_later(SENT_SECONDS, self._client)
        path, empty = ("/api/embed", {"input": ""}) if embeds else ("/api/generate", {"prompt": "", "stream": False})
        body = {"model": pin.name, "keep_alive": self._keep_alive, "options": _options(pin), **empty}
        answer = await self._ask("POST", path, timeout, body)
        if not embeds and answer.get("done") is not True:
            raise BadAnswer(f"load by {path} answered without done: true")

    async def prove(self, pin: ModelSpec, timeout: float, *, embeds: bool = False) -> int:
        """Let the model generate (or embed) once; return the number of tokens (or vectors) that came."""
        pinned: dict[str, Any] = {"keep_alive": self._keep_alive, "options": _options(pin)}
        if embeds:
            vectors = await self._call(
                "/api/embed", lambda client: client.embed(pin.name, PROOF_PROMPT, **pinned), timeout
            )
            return len(vectors.embeddings)
        pinned["options"]["num_predict"] = 1
        answer = await self._call(
            "one token by /api/generate", lambda client: client.generate(pin.name, PROOF_PROMPT, **pinned), timeout
        )
        return answer.eval_count or 0

    async def chat(self, pin: ModelSpec, prompt: ChatPrompt, timeout: float) -> None:
        """Answer one warm-up prompt, sent as the operator wrote it: Ollama is the judge of it."""
        request = {"model": pin.name, "keep_alive": self._keep_alive, "stream": False, **prompt.request(pin.num_ctx)}
        await self._ask("POST", "/api/chat", timeout, request)

    async def pull(self, name: str, silence: float, told: Callable[[dict[str, Any]], object]) -> None:
        """Let Ollama fetch a model from its registry; `told` gets every line of its progress.

        However long it takes, no two lines may lie more than `silence` seconds apart.
        """
        path = "/api/pull"
        with _translated(path, silence):
            async with asyncio.timeout(silence) as patience:
                async with self._http.stream("POST", path, json={"model": name}) as answer:
                    if answer.is_error:
                        await answer.aread()
                        raise _refusal(answer, path)
                    last: dict[str, Any] = {}
                    async for text in answer.aiter_lines():
                        patience.reschedule(asyncio.get_running_loop().time() + silence)
                        last = json.loads(text)
                        if "error" in last:
                            raise BadAnswer(f"{path} failed: {_shortened(str(last['error']))}")
                        told(last)
            if last.get("status") != "success":
                raise BadAnswer(f"{path} ended without success")

    async def _ask(self, verb: str, path: str, timeout: float, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with _translated(path, timeout):
            async with asyncio.timeout(timeout), self._http.stream(verb, path, json=body) as answer:
                try:
                    await answer.aread()
                except httpx.TransportError as error:
                    raise BadAnswer(f"{path} got an answer that broke off: {error}") from error
            if answer.is_error:
                raise _refusal(answer, path)
            found = answer.json()
        if not isinstance(found, dict):
            raise BadAnswer(f"{path} answered JSON that is no object")
        return found

    async def _call(self, request: str, ask: Callable[["ollama.AsyncClient"], Awaitable[T]], timeout: float) -> T:
        with _translated(request, timeout):
            async with asyncio.timeout(timeout):
                client = await asyncio.shield(self._client())
                refused = sys.modules["ollama"].ResponseError
                try:
                    return await ask(client)
                except refused as error:
                    raise RequestRefused(error.status_code, _shortened(error.error), request=request) from error

    def _client(self) -> "asyncio.Future[ollama.AsyncClient]":
        """Return the client as soon as it is imported; in a thread, so that probes are answered meanwhile.

        An import that failed, as it does where no more files can be opened, is tried again by the next who asks.
        """
        if self._importing is None or (self._importing.done() and self._importing.exception()):
            self._importing = asyncio.ensure_future(asyncio.to_thread(self._import_client))
        return self._importing

    def _import_client(self) -> "ollama.AsyncClient":
        try:
            with whole_or_nothing("ollama", "pydantic"):
                client: ollama.AsyncClient = importlib.import_module("ollama").AsyncClient(self.url, **self._options())
        except Exception as error:  # whatever the middle of an import raises
            raise ServerUnreachable(f"the ollama client does not load: {error}", action=NO_ROOM) from error
        return client

    def _options(self) -> dict[str, Any]:
        return {"timeout": None, "trust_env": False, "transport": _Bounded(verify=self._verify, trust_env=False)}


class _Bounded(httpx.AsyncHTTPTransport):
    """Breaks off an answer that is longer than `ANSWER_BYTES`; a pull tells its progress for as long as it takes."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if request.url.path != "/api/pull":
            assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 — of an async transport
            response.stream = _BoundedStream(response.stream, request.url.path)
        return response


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, path: str) -> None:
        self._stream = stream
        self._path = path

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = ANSWER_BYTES
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise BadAnswer(f"{self._path} answered more than {ANSWER_BYTES >> 20} MiB")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _translated(request: str, timeout: float | None = None) -> Iterator[None]:
    """Turn what httpx, the ollama client and pydantic raise into an `OllamaError` that names the request."""
    try:
        yield
    except OllamaError:
        raise
    except TimeoutError as error:
        within = "" if timeout is None else f" within {timeout:g} s"
        raise ServerTimeout(f"{request} got no whole answer{within}") from error
    except (OSError, httpx.TransportError) as error:
        raise ServerUnreachable(f"{request} failed: {cause_of(error)}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        # Whatever odd JSON leads to; pydantic's own errors are ValueErrors.
        raise BadAnswer(f"{request} got an answer that is not Ollama's: {_shortened(str(error))}") from error


def _refusal(answer: httpx.Response, request: str) -> RequestRefused:
    return RequestRefused(answer.status_code, _message(answer.text), request=request)


def _message(body: str) -> str:
    """Return Ollama's own words from an error body, or the start of whatever it is."""
    try:
        return _shortened(str(json.loads(body)["error"]))
    except (ValueError, TypeError, KeyError):
        return _shortened(body)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARACTERS else line[:MESSAGE_CHARACTERS] + "…"


def _options(pin: ModelSpec) -> dict[str, Any]:
    return {} if pin.num_ctx is None else {"num_ctx": pin.num_ctx}


def _stored(entry: dict[str, Any]) -> StoredModel:
    details = entry.get("details") or {}
    capabilities = entry.get("capabilities")
    return StoredModel(
        name=entry["name"],
        digest=entry["digest"],
        size_bytes=int(entry.get("size") or 0),
        format=details.get("format") or "",
        quantization=details.get("quantization_level") or "",
        trained_context=details.get("context_length") or None,
        capabilities=None if capabilities is None else tuple(capabilities),
    )


def _resident(entry: dict[str, Any]) -> RunningModel:
    return RunningModel(
        name=entry["name"],
        digest=entry["digest"],
        memory_bytes=int(entry["size"]),
        vram_bytes=int(entry.get("size_vram") or 0),
        context_length=entry.get("context_length") or None,
        expires_at=_moment(entry["expires_at"]) if entry.get("expires_at") else None,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
