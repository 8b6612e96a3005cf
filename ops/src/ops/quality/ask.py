"""All questions to one service, greedily and with a seed; the answers as they are streamed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from ops.loadtest.errors import ServiceError

# On loopback: it listens or it does not.
CONNECT_SECONDS = 5.0
# From one token to the next, the first included: a long prompt on a slow CPU, as Cloud Run's own request time-out.
READ_SECONDS = 300.0
SEED = 1


@dataclass(slots=True)
class Answers:
    """Pieces of each answer so far, in the questions' order, and the bytes that the loaded model takes, once told."""

    pieces: list[tuple[str, ...]] = field(default_factory=list)
    memory_bytes: int | None = None


def model_of(url: str) -> str:
    """Return the one model that is loaded; raises ServiceError where it is not one."""
    names = [each["name"] for each in _loaded(url)]
    if len(names) != 1:
        raise ServiceError(
            f"{url}: expected one loaded model, found {', '.join(names) or 'none'}; name it with --model"
        )
    return str(names[0])


def ask(
    url: str, model: str, questions: Sequence[str], tokens: int, into: Answers, told: Callable[[int], None]
) -> None:
    """Ask every question; each answer is kept as it comes, and `told` is called with how many there are.

    Raises:
        ServiceError: one was not answered.

    """
    with httpx.Client(timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS), trust_env=False) as client:
        for question in questions:
            into.pieces.append(_answer(client, url, model, question, tokens))
            told(len(into.pieces))
    sizes = [each.get("size") for each in _loaded(url)]
    into.memory_bytes = sizes[0] if len(sizes) == 1 else None


def _answer(client: httpx.Client, url: str, model: str, question: str, tokens: int) -> tuple[str, ...]:
    options = {"temperature": 0, "seed": SEED, "num_predict": tokens}
    messages = [{"role": "user", "content": question}]
    pieces = []
    try:
        with client.stream(
            "POST", f"{url}/api/chat", json={"model": model, "messages": messages, "options": options}
        ) as response:
            response.read() if response.is_error else None
            response.raise_for_status()
            for line in response.iter_lines():
                chunk = json.loads(line)
                if "error" in chunk:
                    raise ServiceError(f"{url}: {question!r} was not answered: {chunk['error']}")
                message = chunk["message"]
                if text := message.get("thinking") or message.get("content"):
                    pieces.append(text)
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise ServiceError(f"{url}: {question!r} was not answered: {type(error).__name__}: {error}") from error
    return tuple(pieces)


def _loaded(url: str) -> list[dict[str, Any]]:
    try:
        answer = httpx.get(f"{url}/api/ps", timeout=CONNECT_SECONDS, trust_env=False).json()
        return list(answer.get("models") or [])
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        raise ServiceError(f"{url}/api/ps: {type(error).__name__}: {error}") from error
