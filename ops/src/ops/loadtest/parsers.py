"""What an argument's text must be; each raises argparse's own error, which names what was expected and found."""

from __future__ import annotations

import argparse
import math
import re
from typing import TYPE_CHECKING, TypeVar

from ops.loadtest import lengths, limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.loadtest.limits import Limit

MOST = 1000
"""containerConcurrency and a sensible number of slots end here (Cloud Run: 1 to 1000)."""
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
T = TypeVar("T")


def _checked(read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def url(text: str) -> str:
    """Read an address, without the slash at its end."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise argparse.ArgumentTypeError(f"expected http://HOST:PORT or https://HOST, found {text!r}")
    return text.rstrip("/")


def variable(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not VARIABLE.fullmatch(name):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not low <= found <= high:
        raise argparse.ArgumentTypeError(f"expected {what}, found {text!r}")
    return found


def whole(text: str) -> int:
    """Read a whole number from 1 to 1000."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST}, found {text!r}")
    return int(text)


def wholes(text: str) -> tuple[int, ...]:
    """Read whole numbers, ascending, each once."""
    return tuple(sorted({whole(each) for each in text.split(",")}))


def rates(text: str) -> tuple[float, ...]:
    """Read rates in requests a second, ascending, each once."""
    most = 10_000.0
    return tuple(sorted({_number(each, 0.001, most, "rates from 0.001 to 10000") for each in text.split(",")}))


def seconds(text: str) -> float:
    """Read a duration, in seconds."""
    return _checked(limits.duration, text)


def seconds_or_0(text: str) -> float:
    """Read a duration that may be none."""
    return 0.0 if text in ("0", "0s") else seconds(text)


def share(text: str) -> float:
    """Read a share from 0 to 1."""
    return _number(text, 0, 1, "a share from 0 to 1")


def temperature(text: str) -> float:
    """Read a temperature from 0 to 2."""
    return _number(text, 0, 2, "a temperature from 0 to 2")


def money(text: str) -> float:
    """Read US dollars."""
    return _number(text, 0.000001, 1e6, "US dollars above 0")


def length(text: str) -> str:
    """Read a distribution of lengths; returns it as it was written."""
    return _checked(lengths.parse, text).text


def limit(text: str) -> Limit:
    """Read one of the operator's limits."""
    return _checked(limits.parse, text)
