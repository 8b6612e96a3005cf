"""What an option's text must be; each raises ValueError, which says what was expected and found. Pure."""

import re
import shlex
from collections.abc import Callable
from typing import TypeVar

from ops.loadtest import lengths, limits

URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
T = TypeVar("T", int, float)


def url(text: str) -> str:
    """Read an address, without the slash at its end; one without a scheme is http, as Ollama reads OLLAMA_HOST."""
    if "@" in text:
        raise ValueError("expected an address without user and password; give a token with --token-file")
    found = text if "://" in text else f"http://{text}"
    if not URL.fullmatch(found):
        raise ValueError(f"expected http://HOST:PORT or https://HOST, found {text!r}")
    return found.rstrip("/")


def words(text: str) -> tuple[str, ...]:
    """Read words as a shell splits them."""
    return tuple(shlex.split(text))


def variable(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not VARIABLE.fullmatch(name):
        raise ValueError(f"expected NAME=VALUE, found {text!r}")
    return name, value


def several(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return a reader of values with commas between; ascending, each once."""
    return lambda text: tuple(sorted({read(each) for each in text.split(",")}))


def time(text: str) -> float:
    """Read a duration that may be 0, in seconds."""
    return 0.0 if text in ("0", "0s") else limits.duration(text)


def length(text: str) -> str:
    """Read a distribution of lengths; returns it as it was written."""
    return lengths.parse(text).text
