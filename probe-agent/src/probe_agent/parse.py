"""From the text of an environment variable to its value; each parser raises `ValueError` that says what it expects."""

import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from probe_agent.api_keys import read_keys
from probe_agent.ollama.names import same_model
from probe_agent.ollama.prompts import ChatPrompt, read_prompts

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)

MAX_NUM_CTX = 1 << 24  # no model is trained beyond 10M tokens; a larger number is a slip
DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{12,64})")
DURATION = re.compile(r"-?(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h))+")
ADDRESS = re.compile(
    r"(?P<scheme>https?://)?(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?/?"
)
# Bucket names: https://cloud.google.com/storage/docs/buckets#naming; a prefix is any path without empty parts.
BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](?:/[^/\s]+)*/?")
MAX_PORT = 65535
OLLAMA_PORT = 11434
# The administrative routes of Ollama, closed by the gateway unless the operator opens them: path and method.
CLOSED_ROUTES = {
    "/api/pull": "POST",
    "/api/push": "POST",
    "/api/create": "POST",
    "/api/copy": "POST",
    "/api/delete": "DELETE",
    "/api/me": "POST",
    "/api/signout": "POST",
}
SECONDS_OF = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def optional(parser: Callable[[str], T], unset: T) -> Callable[[str], T]:
    """Return a parser that takes the empty text as `unset`."""
    return lambda text: parser(text) if text else unset


def integer(low: int, high: int, unit: str) -> Callable[[str], int]:
    """Return a parser of whole numbers of `unit` from `low` to `high`."""

    def parser(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number of {unit} from {low} to {high}")
        return int(text)

    return parser


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of seconds, fractions allowed, from `low` to `high`."""

    def parser(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not low <= float(text) <= high:
            raise ValueError(f"expected seconds from {low:g} to {high:g}")
        return float(text)

    return parser


def choice(kind: type[Choice]) -> Callable[[str], Choice]:
    """Return a parser of one of an enumeration's words, in any case."""

    def parser(text: str) -> Choice:
        try:
            return kind(text.lower())
        except ValueError:
            raise ValueError(f"expected one of: {', '.join(kind)}") from None

    return parser


def models(text: str) -> tuple[tuple[str, int | None], ...]:
    """Read NAME[@NUM_CTX], more of them after commas."""
    found: list[tuple[str, int | None]] = []
    for entry in text.split(","):
        name, at, context = entry.strip().partition("@")
        if not name or any(letter.isspace() for letter in name):
            raise ValueError(
                "expected NAME[@NUM_CTX], more of them after commas: gemma3:4b-it-qat@8192,embeddinggemma@2048"
            )
        if any(same_model(other, name) for other, _ in found):
            raise ValueError(f"{name} is named twice; Ollama holds one context for a model")
        found.append((name, num_ctx(context) if at else None))
    return tuple(found)


num_ctx = integer(1, MAX_NUM_CTX, "tokens")


def keep_alive(text: str) -> int | str:
    """Read a keep_alive: whole seconds as a number (Ollama refuses the string "-1"), else a duration."""
    if re.fullmatch(r"-?[0-9]{1,9}", text):
        return int(text)
    if not DURATION.fullmatch(text):
        raise ValueError("expected whole seconds (-1: no end) or a duration such as 90m or 24h")
    return text


def keep_alive_seconds(value: int | str) -> float:
    """Return a keep_alive in seconds; negative means no end."""
    if isinstance(value, int):
        return value
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", value)
    return (-1 if value.startswith("-") else 1) * sum(float(number) * SECONDS_OF[unit] for number, unit in parts)


def digests(text: str) -> tuple[str, ...]:
    """Read digests, one for each model, with commas between; `sha256:` before one is allowed."""
    matches = [DIGEST.fullmatch(entry.strip()) for entry in text.split(",")]
    if not all(matches):
        raise ValueError(
            "expected 12 to 64 hex digits of the model's digest (ollama list shows 12), one for each model"
        )
    return tuple(match.group(1).lower() for match in matches if match)


def url(text: str) -> str:
    """Read the address of a server: perhaps a scheme, a host, perhaps a port, no path.

    Without a scheme it is read as Ollama reads its own OLLAMA_HOST: HTTP, and port 11434 unless one is given.
    """
    if "@" in text:
        raise ValueError("expected an address without user and password; Ollama knows neither")
    match = ADDRESS.fullmatch(text)
    if not match or not 0 < int(match["port"] or "80") <= MAX_PORT or not _is_host(match["host"]):
        raise ValueError("expected http://HOST:PORT of the Ollama server, without a path")
    text = text.rstrip("/")
    if match["scheme"]:
        return text
    return f"http://{text}" if match["port"] else f"http://{text}:{OLLAMA_PORT}"


def slots(text: str) -> int:
    """Read OLLAMA_NUM_PARALLEL; 0 lets Ollama choose, which is one slot."""
    return integer(0, 1024, "slots")(text) or 1


def bucket(text: str) -> str:
    """Read where a store lies in Cloud Storage: gs://BUCKET, with or without a prefix."""
    if not BUCKET.fullmatch(text):
        raise ValueError("expected gs://BUCKET/PREFIX, or gs://BUCKET")
    return text.rstrip("/")


def directory(text: str) -> str:
    """Read a folder's absolute path; whether it is there shows when it is used."""
    if not text.startswith("/"):
        raise ValueError("expected the absolute path of a folder")
    return text


def _is_host(host: str) -> bool:
    """Whether what looks like an IP address is one; a name is any other text of its letters."""
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif not host.strip("0123456789."):
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def prompts(text: str) -> tuple[ChatPrompt, ...]:
    """Read the JSON-lines file at this path."""
    try:
        return read_prompts(Path(text).read_bytes().decode("utf-8-sig"))  # some editors put a mark before the text
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: is not UTF-8 text; save the file as UTF-8") from None


def aliases(text: str) -> dict[str, str]:
    """Read NAME=MODEL, more of them after commas."""
    pairs = [entry.strip().partition("=") for entry in text.split(",")]
    if not all(name and model and not set(name + model) & set(" =") for name, _, model in pairs):
        raise ValueError("expected NAME=MODEL, more of them after commas: gpt-4o-mini=gemma3:4b-it-qat")
    return {name: model for name, _, model in pairs}


def open_routes(text: str) -> tuple[str, ...]:
    """Read the paths of closed routes, with commas between."""
    paths = tuple(entry.strip() for entry in text.split(","))
    if not set(paths) <= CLOSED_ROUTES.keys():
        raise ValueError(f"expected some of: {', '.join(CLOSED_ROUTES)}")
    return paths


def keys_file(text: str) -> str:
    """Check the file of API keys at this path; no message shows a key."""
    try:
        read_keys(Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    return text
