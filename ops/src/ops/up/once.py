"""The chats of `--once`: both wire formats, through the ingress, as a client of the service would."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
import ollama

from ops.up.errors import ChatError

QUESTION = "In one short sentence: what is the capital of France?"
# Enough for a sentence; bounds the time on a slow machine.
ANSWER_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Chat:
    """One answered chat: by which client, what it said, seconds to the first part and to the end."""

    client: str
    answer: str
    first_seconds: float
    seconds: float


async def chat_ollama(url: str, model: str, timeout_seconds: float) -> Chat:
    """Chat through Ollama's own client, streamed; only sampling options, which never make Ollama reload.

    Raises:
        ChatError: no answer, or an empty one.

    """
    client = ollama.AsyncClient(url, timeout=timeout_seconds, trust_env=False)  # no proxy on loopback
    start = time.monotonic()
    try:
        messages = [{"role": "user", "content": QUESTION}]
        options = {"num_predict": ANSWER_TOKENS, "temperature": 0.0}
        stream = await client.chat(model=model, messages=messages, options=options, stream=True)
        parts = [(time.monotonic() - start, part.message.content or "") async for part in stream]
    except (ollama.ResponseError, httpx.HTTPError, ConnectionError, ValueError, AttributeError) as error:
        raise ChatError(f"chat through {url}/api/chat with model {model}: {type(error).__name__}: {error}") from error
    finally:
        await client._client.aclose()  # noqa: SLF001 — the client has no close of its own
    return _chat("ollama client, POST /api/chat, streamed", parts, time.monotonic() - start)


async def chat_openai(url: str, model: str, timeout_seconds: float) -> Chat:
    """Chat in the OpenAI wire format.

    Raises:
        ChatError: no answer, or an empty one.

    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
    }
    start = time.monotonic()
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=timeout_seconds) as client:
            response = await client.post(f"{url}/v1/chat/completions", json=body)
            if response.is_error:
                raise ChatError(f"chat through {url}/v1/chat/completions: {response.status_code} {response.text[:500]}")
            answer = response.json()["choices"][0]["message"]["content"]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise ChatError(f"chat through {url}/v1/chat/completions: {type(error).__name__}: {error}") from error
    took = time.monotonic() - start
    return _chat("OpenAI wire format, POST /v1/chat/completions", [(took, answer or "")], took)


def _chat(client: str, parts: list[tuple[float, str]], seconds: float) -> Chat:
    answer = " ".join("".join(text for _, text in parts).split())
    if not answer:
        raise ChatError(f"{client}: an empty answer; look at the containers' output (--logs)")
    first = next(at for at, text in parts if text)
    return Chat(client, answer, first, seconds)
