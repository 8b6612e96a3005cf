"""The only module that talks to Ollama, and the one boundary where its errors become ours.

Every call takes the time-out of its whole answer in seconds, so that neither a silent server nor one that
trickles bytes can hold the agent longer than its caller allows.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import ollama
import pydantic

from probe_agent.errors import BadAnswer, OllamaError, RequestRefused, ServerTimeout, ServerUnreachable
from probe_agent.proof import ModelPin, ResidentModel, StoredModel
from probe_agent.warmup import ChatPrompt

T = TypeVar("T")
# What of an error body goes into a reason: enough for Ollama's sentences, little of a proxy's HTML page.
MESSAGE_CHARACTERS = 300
# Any prompt proves that the runner generates; this one is a single token in most vocabularies.
PROOF_PROMPT = "Hi"


class OllamaServer:
    """One Ollama server at `url`. `keep_alive` goes with every request, because one without it can undo a pin."""

    def __init__(self, url: str, *, keep_alive: int | str) -> None:
        self.url = url
        self._keep_alive = keep_alive
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        # Time-outs are per call, below; proxies of the environment must never see loopback traffic.
        verify: ssl.SSLContext | bool = ssl.create_default_context() if parts.scheme == "https" else False
        options: dict[str, Any] = {"timeout": None, "trust_env": False, "verify": verify}
        self._http = httpx.AsyncClient(base_url=url, **options)
        self._ollama = ollama.AsyncClient(url, **options)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()
        await self._ollama.close()  # type: ignore[no-untyped-call]

    async def connect(self, timeout: float) -> None:
        """Open and close a TCP connection, to see whether anybody listens."""
        with _translated("connecting"):
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(*self._address)
                writer.close()

    async def version(self, timeout: float) -> str:
        """Ask for the version: the cheapest sign of a working API, never blocked by a load."""
        answer = await self._get("/api/version", timeout)
        return str(answer.get("version", "unknown"))

    async def stored_models(self, timeout: float) -> list[StoredModel]:
        """List the store. Read as JSON, because the client's type leaves out the trained context and capabilities."""
        answer = await self._get("/api/tags", timeout)
        with _translated("/api/tags"):
            return [_stored(entry) for entry in answer["models"]]

    async def resident_models(self, timeout: float) -> list[ResidentModel]:
        """List what is loaded. It may block while a runner is locked, and lists a runner that was killed."""
        answer = await self._call("/api/ps", self._ollama.ps, timeout)
        return [_resident(entry) for entry in answer.models]

    async def embeds_only(self, pin: ModelPin, timeout: float) -> bool:
        """Ask an Ollama whose `/api/tags` does not tell whether a model can embed but not generate."""
        answer = await self._call("/api/show", lambda: self._ollama.show(pin.name), timeout)
        capabilities = answer.capabilities or []
        return "embedding" in capabilities and "completion" not in capabilities

    async def load(self, pin: ModelPin, timeout: float, *, embeds: bool = False) -> None:
        """Load a model and return when it can serve; on a loaded one, ask its runner and disturb nobody.

        A disconnect aborts the load, so the time-out must be as long as the load may take.
        """
        if embeds:
            await self._embed(pin, "", timeout)
            return
        answer = await self._call(
            "load by /api/generate",
            lambda: self._ollama.generate(pin.name, "", options=_options(pin), keep_alive=self._keep_alive),
            timeout,
        )
        if not answer.done:
            raise BadAnswer("load by /api/generate answered without done: true")

    async def prove(self, pin: ModelPin, timeout: float, *, embeds: bool = False) -> int:
        """Let the model generate (or embed) once; return the number of tokens (or vectors) that came."""
        if embeds:
            return await self._embed(pin, PROOF_PROMPT, timeout)
        answer = await self._call(
            "one token by /api/generate",
            lambda: self._ollama.generate(
                pin.name,
                PROOF_PROMPT,
                options={**_options(pin), "num_predict": 1},
                keep_alive=self._keep_alive,
            ),
            timeout,
        )
        return answer.eval_count or 0

    async def chat(self, pin: ModelPin, prompt: ChatPrompt, timeout: float) -> None:
        """Answer one warm-up prompt."""
        request = prompt.request(pin.num_ctx)
        await self._call(
            "warm-up by /api/chat",
            lambda: self._ollama.chat(pin.name, keep_alive=self._keep_alive, **request),
            timeout,
        )

    async def _embed(self, pin: ModelPin, text: str, timeout: float) -> int:
        answer = await self._call(
            "/api/embed",
            lambda: self._ollama.embed(pin.name, text, options=_options(pin), keep_alive=self._keep_alive),
            timeout,
        )
        return len(answer.embeddings)

    async def _get(self, path: str, timeout: float) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            answer = await self._http.get(path)
            if answer.is_error:
                raise ollama.ResponseError(answer.text, answer.status_code)
            body = answer.json()
            if not isinstance(body, dict):
                raise BadAnswer(f"{path} answered JSON that is no object")
            return body

        return await self._call(path, ask, timeout)

    async def _call(self, request: str, ask: Callable[[], Awaitable[T]], timeout: float) -> T:
        with _translated(request, timeout):
            async with asyncio.timeout(timeout):
                return await ask()


@contextmanager
def _translated(request: str, timeout: float | None = None) -> Iterator[None]:
    """Turn what httpx, the ollama client and pydantic raise into an `OllamaError` that names the request."""
    try:
        yield
    except OllamaError:
        raise
    except ollama.ResponseError as error:
        raise RequestRefused(error.status_code, _shortened(error.error), request=request) from error
    except TimeoutError as error:
        within = "" if timeout is None else f" within {timeout:g} s"
        raise ServerTimeout(f"{request} got no whole answer{within}") from error
    except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
        raise BadAnswer(f"{request} got an answer that broke off: {error}") from error
    except (OSError, httpx.TransportError) as error:
        raise ServerUnreachable(f"{request} failed: {error or type(error).__name__}") from error
    except (ValueError, TypeError, KeyError, AttributeError, pydantic.ValidationError) as error:
        raise BadAnswer(f"{request} got an answer that is not Ollama's: {_shortened(str(error))}") from error


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_CHARACTERS else line[:MESSAGE_CHARACTERS] + "…"


def _options(pin: ModelPin) -> dict[str, Any]:
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


def _resident(entry: ollama.ProcessResponse.Model) -> ResidentModel:
    return ResidentModel(
        name=entry.name or entry.model or "",
        digest=entry.digest or "",
        memory_bytes=int(entry.size or 0),
        vram_bytes=int(entry.size_vram or 0),
        context_length=entry.context_length,
        expires_at=entry.expires_at,
    )
