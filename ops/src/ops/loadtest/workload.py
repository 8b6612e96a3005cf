"""What is asked: prompts of given lengths with a shared beginning, or those of a file. Seeded, to be repeated."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ops.loadtest.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ops.loadtest.lengths import Lengths

WORDS = (
    "the", "and", "with", "from", "that", "have", "this", "they", "will", "what", "when", "your", "time", "more",
    "about", "other", "some", "into", "them", "then", "look", "only", "come", "over", "think", "also", "back",
    "after", "work", "first", "well", "even", "want", "because", "give", "day", "most", "find", "here", "thing",
    "many", "still", "long", "great", "man", "world", "life", "hand", "part", "place", "case", "week", "group",
    "point", "home", "water", "room", "mother", "area", "money", "story", "fact", "month", "lot", "right", "study",
    "book", "eye", "job", "word", "business", "side", "kind", "head", "house", "service", "friend", "father", "power",
    "hour", "game", "line", "end",
)  # fmt: skip
"""Short common words: each is one token in the usual vocabularies. The server's own count is what is reported."""
ASK = "Tell a long story about: "


@dataclass(frozen=True, slots=True)
class Request:
    """One chat to send; `answer_tokens` bounds the answer, None leaves it to the model."""

    messages: tuple[Mapping[str, Any], ...]
    answer_tokens: int | None


class Workload(Protocol):
    """Requests by number; the same number and stream of a run give the same request."""

    def request(self, stream: str, index: int) -> Request:
        """Return request `index` of a stream: each repetition of each step has one of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Prompts made of common words. `shared_prefix` (0 to 1) of each is the same for all, as a system message is.

    Lengths follow from the seed alone; words from the `salt`, too, which each run has of its own: a server keeps the
    prompts that it has seen, and would answer those of an earlier run from its cache. After the few words of `ASK`,
    what is not shared differs, so that the cache helps with the prefix alone.
    """

    prompt_tokens: Lengths
    answer_tokens: Lengths
    shared_prefix: float
    seed: int
    salt: str

    def request(self, stream: str, index: int) -> Request:
        """Return a request, drawn from the seed, the salt, the stream and the number."""
        lengths = random.Random(f"{self.seed}/{stream}/{index}")  # noqa: S311 — a workload, not a secret
        length, answer = self.prompt_tokens.draw(lengths), self.answer_tokens.draw(lengths)
        shared = round(length * self.shared_prefix)
        own = max(1, length - shared - len(ASK.split()))
        messages = [{"role": "user", "content": ASK + self._words(f"{stream}/{index}", own)}]
        if shared:
            messages.insert(0, {"role": "system", "content": self._words("shared", shared)})
        return Request(tuple(messages), answer)

    def _words(self, of: str, count: int) -> str:
        source = random.Random(f"{self.seed}/{self.salt}/{of}")  # noqa: S311 — the same
        return " ".join(source.choices(WORDS, k=count))


@dataclass(frozen=True, slots=True)
class Replay:
    """The chats of a file, in its order, from the start again when they run out; every repetition goes on further."""

    requests: Sequence[Request]
    seed: int

    def request(self, stream: str, index: int) -> Request:
        """Return the request that stands there in the file."""
        offset = random.Random(f"{self.seed}/{stream}").randrange(len(self.requests))  # noqa: S311 — the same
        return self.requests[(offset + index) % len(self.requests)]


def read(path: Path, answer_tokens: int | None) -> list[Request]:
    """Read a file of JSON lines, `{"prompt": TEXT}` or `{"messages": [...]}`, each optionally with `max_tokens`.

    Raises:
        InputError: the file cannot be read, is empty, or a line is no such object; the text names the line.

    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise InputError(f"--prompts {path}: cannot be read ({why}); give a file of JSON lines") from error
    requests = [
        _request(f"{path}:{number}", line, answer_tokens) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not requests:
        raise InputError(f'--prompts {path}: holds no line; write one chat a line, as {{"prompt": "Hello"}}')
    return requests


def _request(place: str, line: str, answer_tokens: int | None) -> Request:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise InputError(f"--prompts {place}: is no JSON ({error}); each line is one object") from error
    if not isinstance(item, dict):
        raise InputError(f"--prompts {place}: expected an object, found {line.strip()[:60]}")
    messages = item.get("messages", [{"role": "user", "content": item.get("prompt")}])
    if not (isinstance(messages, list) and messages and all(_is_message(message) for message in messages)):
        raise InputError(f'--prompts {place}: expected "prompt": TEXT, or "messages" with role and content')
    limit = item.get("max_tokens", answer_tokens)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InputError(f"--prompts {place}: max_tokens: expected a whole number above 0, found {limit!r}")
    return Request(tuple(messages), limit)


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(name), str) for name in ("role", "content"))
