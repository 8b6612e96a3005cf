"""HTTP to Ollama by httpx: bounded answers, and errors of our own."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from probe_agent.errors import (
    BadAnswer,
    OllamaError,
    RequestRefused,
    ServerTimeout,
    ServerUnreachable,
    cause_of,
)
from probe_agent.text import printable

# This much of an error body goes into a reason: enough for Ollama's sentences, little of a proxy's HTML page.
MESSAGE_CHARACTERS = 300
# An answer is kept whole, and none that Ollama gives comes near this: the longest known, /api/show's, has 18 KB.
ANSWER_BYTES = 16 << 20


class BoundedTransport(httpx.AsyncHTTPTransport):
    """Breaks off an answer that is longer than `ANSWER_BYTES`; a pull reports progress for as long as it takes."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; reading too long an answer raises `BadAnswer`."""
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
def translated(request: str, timeout: float | None = None) -> Iterator[None]:
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
        # Odd JSON leads to any of these; pydantic's own errors are ValueErrors.
        raise BadAnswer(f"{request} got an answer that is not Ollama's: {shortened(cause_of(error))}") from error


def refusal(answer: httpx.Response, request: str) -> RequestRefused:
    """Return the error of an answer with an error status."""
    return RequestRefused(answer.status_code, _message(answer.text), request=request)


def readable(value: Any) -> Any:
    """Return a JSON value with every text in it printable: what Ollama says ends in logs, pages and answers."""
    match value:
        case str():
            return printable(value)
        case list():
            return [readable(each) for each in value]
        case dict():
            return {name: readable(each) for name, each in value.items()}
        case _:
            return value


def shortened(text: str) -> str:
    """Return a text as one printable line of at most `MESSAGE_CHARACTERS`."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= MESSAGE_CHARACTERS else line[:MESSAGE_CHARACTERS] + "…"


def _message(body: str) -> str:
    """Return Ollama's own words from an error body, or the start of whatever it is."""
    try:
        return shortened(str(json.loads(body)["error"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return shortened(body)
