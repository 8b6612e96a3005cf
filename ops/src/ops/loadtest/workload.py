"""What is asked: prompts of given lengths with a shared beginning, or those of a file. Seeded, to be repeated."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ops.loadtest.errors import InputError
from ops.loadtest.lengths import Lengths

# Short common words: each is one token in the usual vocabularies. The server's own count is what is reported.
WORDS = (
    "the", "and", "with", "from", "that", "have", "this", "they", "will", "what", "when", "your", "time", "more",
    "about", "other", "some", "into", "them", "then", "look", "only", "come", "over", "think", "also", "back",
    "after", "work", "first", "well", "even", "want", "because", "give", "day", "most", "find", "here", "thing",
    "many", "still", "long", "great", "man", "world", "life", "hand", "part", "place", "case", "week", "group",
    "point", "home", "water", "room", "mother", "area", "money", "story", "fact", "month", "lot", "right", "study",
    "book", "eye", "job", "word", "business", "side", "kind", "head", "house", "service", "friend", "father", "power",
    "hour", "game", "line", "end",
)  # fmt: skip
ASK = "Tell a long story about: "
# Who speaks in a ShareGPT conversation, in the words of a chat's roles; anybody else is the user.
ROLES = {"system": "system", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}


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


def read(path: Path, answer_tokens: int | None, *, native: bool) -> list[Request]:
    """Read a file of JSON lines, one chat each, optionally with `max_tokens`.

    A chat is `{"prompt": TEXT}`, `{"messages": [{"role", "content"}, …]}`, or ShareGPT's `{"conversations": [{"from",
    "value"}, …]}`, whose last answers are left out: a chat ends with what the user says. Content may be a list of
    parts, as `/v1` takes them; for the `native` route they become text and `images`.

    Raises:
        InputError: the file cannot be read, is empty, or a line is no such object; the text names the line.

    """
    requests = [
        _request(f"{path}:{number}", line, answer_tokens, native=native)
        for number, line in enumerate(text_lines(path, "--prompts"), 1)
        if line.strip()
    ]
    if not requests:
        raise InputError(f'--prompts {path}: has no line; write one chat a line, as {{"prompt": "Hello"}}')
    return requests


def text_lines(path: Path, option: str) -> list[str]:
    r"""Return the lines of a UTF-8 file: each ends at \n, or \r\n, alone; a byte order mark is no content.

    Raises:
        InputError: it cannot be read.

    """
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise InputError(f"{option} {path}: cannot be read ({why}); give a text file") from error


def _request(place: str, line: str, answer_tokens: int | None, *, native: bool) -> Request:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise InputError(f"--prompts {place}: is not JSON ({error}); each line is one object") from error
    if not isinstance(item, dict):
        raise InputError(f"--prompts {place}: expected an object, found {line.strip()[:60]}")
    if "conversations" in item:
        messages = _of_sharegpt(item["conversations"])
    else:
        messages = item.get("messages", [{"role": "user", "content": item.get("prompt")}])
    if not (isinstance(messages, list) and messages and all(_is_message(message) for message in messages)):
        raise InputError(
            f'--prompts {place}: expected "prompt": TEXT, "messages" with role and content, or "conversations" with '
            "from and value"
        )
    limit = item.get("max_tokens", answer_tokens)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InputError(f"--prompts {place}: max_tokens: expected a whole number above 0, found {limit!r}")
    try:
        return Request(tuple(_native(message) if native else message for message in messages), limit)
    except ValueError as error:
        raise InputError(f"--prompts {place}: {error}") from error


def _native(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message as `/api/chat` takes it: text, and images in base64; raises ValueError for any other part."""
    if isinstance(message["content"], str):
        return message
    texts, images = [], []
    for part in message["content"]:
        image = part.get("image_url")
        address = str(image.get("url")) if isinstance(image, dict) else str(image)
        if part["type"] == "text":
            texts.append(str(part.get("text", "")))
        elif part["type"] == "image_url" and address.startswith("data:"):
            images.append(address.partition(",")[2])
        else:
            raise ValueError(f"/api/chat takes no part such as {str(part)[:60]}; use --api openai, or a data: URL")
    return {**message, "content": "\n".join(texts), "images": images}


def _of_sharegpt(turns: object) -> list[dict[str, Any]]:
    """Return the messages up to the last one of the user's; nothing where they are no turns."""
    if not (isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)):
        return []
    messages = [{"role": ROLES.get(turn.get("from"), "user"), "content": turn.get("value")} for turn in turns]
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    return messages


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    return isinstance(content, str) or (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(part, dict) and "type" in part for part in content)
    )
