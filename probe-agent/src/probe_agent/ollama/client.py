"""The only module that talks to Ollama, and the one boundary where its errors become ours and its texts printable.

Every call takes the time-out of its whole answer in seconds, so that neither a silent server nor one that
trickles bytes can hold the agent longer than its caller allows.

The load, and what is asked before it or often, goes by plain httpx: the `ollama` client takes a tenth of a second
to import, which would delay every load, and a millisecond to type each answer (measured). It is imported while
Ollama loads, and makes the proof.
"""

import asyncio
import importlib
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import httpx

from probe_agent.errors import BadAnswer, RequestRefused, ServerUnreachable, cause_of
from probe_agent.late_import import whole_or_nothing
from probe_agent.ollama.prompts import ChatPrompt
from probe_agent.ollama.transport import BoundedTransport, readable, refusal, shortened, translated
from probe_agent.ollama.types import RunningModel, ShownModel, StoredModel
from probe_agent.text import printable

if TYPE_CHECKING:
    import ollama

T = TypeVar("T")
# Any prompt proves that the runner generates; this one is a single token in most vocabularies.
PROOF_PROMPT = "Hi"
# A request is on its way this long, in seconds, after it was begun.
SENT_SECONDS = 0.05
# An import that is still under way when the agent ends is not waited for longer than this.
CLOSE_SECONDS = 1.0
NO_ROOM = "Look for what uses up the memory and the open files of the agent's container."


class OllamaClient:
    """One Ollama server at `url`. `keep_alive` goes with every request, because one without it can undo a pin."""

    def __init__(self, url: str, *, keep_alive: int | str) -> None:
        self.url = url
        self._keep_alive = keep_alive
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        self._verify: ssl.SSLContext | bool = ssl.create_default_context() if parts.scheme == "https" else False
        self._http = httpx.AsyncClient(base_url=url, **self._http_options())
        self._importing: asyncio.Future[ollama.AsyncClient] | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()
        if self._importing is None:
            return
        await asyncio.wait({self._importing}, timeout=CLOSE_SECONDS)
        if self._importing.done() and self._importing.exception() is None:
            await self._importing.result().close()  # type: ignore[no-untyped-call]

    async def connect(self, timeout: float) -> None:
        """Open and close a TCP connection, to see whether anybody listens."""
        with translated("connecting"):
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(*self._address)
                writer.close()

    async def version(self, timeout: float) -> str:
        """Ask for the version: the cheapest sign of a working API, never blocked by a load."""
        answer = await self._ask("GET", "/api/version", timeout)
        return printable(str(answer.get("version", "unknown")))

    async def stored_models(self, timeout: float) -> list[StoredModel]:
        """List the store. The client's type would leave out the trained context and the capabilities."""
        answer = await self._ask("GET", "/api/tags", timeout)
        with translated("/api/tags"):
            return [_stored(entry) for entry in readable(answer["models"])]

    async def running_models(self, timeout: float) -> list[RunningModel]:
        """List what is loaded. It may block while a runner is locked, and lists a runner that was killed."""
        answer = await self._ask("GET", "/api/ps", timeout)
        with translated("/api/ps"):
            return [_running(entry) for entry in readable(answer["models"])]

    async def show(self, model: str, timeout: float) -> ShownModel:
        """Describe a model at length: a quarter of a second, so only where `/api/tags` and `/api/ps` do not do."""
        answer = await self._ask("POST", "/api/show", timeout, {"model": model})
        with translated("/api/show"):
            info = answer.get("model_info") or {}
            trained = info.get(f"{info.get('general.architecture')}.context_length")
            lines = (answer.get("modelfile") or "").split("\n")
            return ShownModel(
                capabilities=tuple(answer.get("capabilities") or ()),
                trained_context=trained if isinstance(trained, int) else None,
                blob=next((line.removeprefix("FROM ") for line in lines if line.startswith("FROM ")), model),
            )

    async def load(self, model: str, num_ctx: int | None, timeout: float, *, embeds: bool = False) -> None:
        """Load a model and return when it can serve; on a loaded one, ask its runner and disturb nobody.

        A disconnect aborts the load, so the time-out must be as long as the load may take.
        """
        if self._importing is None:
            asyncio.get_running_loop().call_later(SENT_SECONDS, self._client)
        path, empty = ("/api/embed", {"input": ""}) if embeds else ("/api/generate", {"prompt": "", "stream": False})
        body = {"model": model, "keep_alive": self._keep_alive, "options": _options(num_ctx), **empty}
        answer = await self._ask("POST", path, timeout, body)
        if not embeds and answer.get("done") is not True:
            raise BadAnswer(f"load by {path} answered without done: true")

    async def prove(self, model: str, num_ctx: int | None, timeout: float, *, embeds: bool = False) -> int:
        """Let the model generate (or embed) once; return the number of tokens (or vectors) that came."""
        options = _options(num_ctx)
        if embeds:
            vectors = await self._call(
                "/api/embed",
                lambda client: client.embed(model, PROOF_PROMPT, keep_alive=self._keep_alive, options=options),
                timeout,
            )
            return len(vectors.embeddings)
        options["num_predict"] = 1
        answer = await self._call(
            "one token by /api/generate",
            lambda client: client.generate(model, PROOF_PROMPT, keep_alive=self._keep_alive, options=options),
            timeout,
        )
        return answer.eval_count or 0

    async def chat(self, model: str, num_ctx: int | None, prompt: ChatPrompt, timeout: float) -> None:
        """Answer one warm-up prompt, sent as the operator wrote it: Ollama judges it."""
        request = {"model": model, "keep_alive": self._keep_alive, "stream": False, **prompt.request(num_ctx)}
        await self._ask("POST", "/api/chat", timeout, request)

    async def pull(self, name: str, silence: float, on_line: Callable[[dict[str, Any]], float]) -> None:
        """Let Ollama fetch a model from its registry.

        The first line of its progress must come within `silence` seconds; `on_line` gets each line and returns how
        many seconds the next one may take.
        """
        path = "/api/pull"
        with translated(path, silence):
            async with asyncio.timeout(silence) as patience:
                async with self._http.stream("POST", path, json={"model": name}) as answer:
                    if answer.is_error:
                        await answer.aread()
                        raise refusal(answer, path)
                    last: dict[str, Any] = {}
                    async for text in answer.aiter_lines():
                        last = json.loads(text)
                        if "error" in last:
                            raise BadAnswer(f"{path} failed: {shortened(str(last['error']))}")
                        patience.reschedule(asyncio.get_running_loop().time() + on_line(last))
            if last.get("status") != "success":
                raise BadAnswer(f"{path} ended without success")

    async def _ask(self, verb: str, path: str, timeout: float, body: dict[str, Any] | None = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body)
        with translated(path, timeout):
            async with asyncio.timeout(timeout), self._http.stream(verb, path, content=content) as answer:
                try:
                    await answer.aread()
                except httpx.TransportError as error:
                    raise BadAnswer(f"{path} got an answer that broke off: {cause_of(error)}") from error
            if answer.is_error:
                raise refusal(answer, path)
            found = answer.json()
        if not isinstance(found, dict):
            raise BadAnswer(f"{path} answered JSON that is no object")
        return found

    async def _call(self, request: str, ask: Callable[["ollama.AsyncClient"], Awaitable[T]], timeout: float) -> T:
        with translated(request, timeout):
            async with asyncio.timeout(timeout):
                client = await asyncio.shield(self._client())
                refused = sys.modules["ollama"].ResponseError
                try:
                    return await ask(client)
                except refused as error:
                    raise RequestRefused(error.status_code, shortened(error.error), request=request) from error

    def _client(self) -> "asyncio.Future[ollama.AsyncClient]":
        """Return the client as soon as it is imported; in a thread, so that probes are answered meanwhile.

        An import that failed, as it does where no more files can be opened, is tried again by the next caller.
        """
        if self._importing is None or (self._importing.done() and self._importing.exception()):
            self._importing = asyncio.ensure_future(asyncio.to_thread(self._import_client))
        return self._importing

    def _import_client(self) -> "ollama.AsyncClient":
        try:
            with whole_or_nothing("ollama", "pydantic"):
                module = importlib.import_module("ollama")
                client: ollama.AsyncClient = module.AsyncClient(self.url, **self._http_options())
        except Exception as error:  # whatever the middle of an import raises
            raise ServerUnreachable(f"the ollama client does not load: {cause_of(error)}", action=NO_ROOM) from error
        return client

    def _http_options(self) -> dict[str, Any]:
        # Time-outs are per call, above; proxies of the environment must never see loopback traffic.
        return {
            "timeout": None,
            "trust_env": False,
            "transport": BoundedTransport(verify=self._verify, trust_env=False),
        }


def _options(num_ctx: int | None) -> dict[str, Any]:
    return {} if num_ctx is None else {"num_ctx": num_ctx}


def _stored(entry: dict[str, Any]) -> StoredModel:
    details = entry.get("details") or {}
    capabilities = entry.get("capabilities")
    return StoredModel(
        name=str(entry["name"]),
        digest=str(entry["digest"]),
        size_bytes=int(entry.get("size") or 0),
        format=str(details.get("format") or ""),
        quantization=str(details.get("quantization_level") or ""),
        trained_context=int(details.get("context_length") or 0) or None,
        capabilities=None if capabilities is None else tuple(capabilities),
    )


def _running(entry: dict[str, Any]) -> RunningModel:
    return RunningModel(
        name=str(entry["name"]),
        digest=str(entry["digest"]),
        memory_bytes=int(entry["size"]),
        vram_bytes=int(entry.get("size_vram") or 0),
        context_length=int(entry.get("context_length") or 0) or None,
        expires_at=_moment(entry["expires_at"]) if entry.get("expires_at") else None,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
