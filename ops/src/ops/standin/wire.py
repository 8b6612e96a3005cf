"""Ollama's wire forms that are not plain JSON: durations, instants, names, bodies."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.standin.errors import ApiError
from probe_agent.ollama.names import short_name

# Go's longest duration, about 292 years: what a pinned model's `expires_at` lies ahead.
LONGEST_SECONDS = 2**63 / 1e9

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_NAME = re.compile(r"^(?:[\w.-]+(?::\d+)?/)?(?:[\w-]+/)?\w[\w.-]*(?::\w[\w.-]*)?$", re.ASCII)


def duration_seconds(text: str) -> float:
    """Return the seconds of a Go duration such as "5m" or "-1h30m"; ApiError 400 in Go's words."""
    sign, digits = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if digits == "0":
        return 0.0
    if re.fullmatch(r"\d+\.?\d*", digits):
        raise ApiError(400, f'time: missing unit in duration "{text}"')
    if not re.fullmatch(f"(?:{_TERM})+", digits):
        raise ApiError(400, f'time: invalid duration "{text}"')
    return sign * sum(float(count) * _UNIT_SECONDS[unit] for count, unit in re.findall(_TERM, digits))


def keep_alive_seconds(value: object) -> float | None:
    """Return the seconds to keep an idle model: infinite when negative, None when not said."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ApiError(400, f"Unsupported type: '{type(value).__name__}'")
    seconds = duration_seconds(value) if isinstance(value, str) else float(value)
    return math.inf if seconds < 0 else seconds


def instant(moment: datetime) -> str:
    """RFC 3339 in UTC, as Ollama writes it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def now() -> str:
    """Return the present instant, for `created_at`."""
    return instant(datetime.now(UTC))


def expiry(keep_alive: float) -> datetime:
    """When a model last used now is unloaded; about 292 years ahead for an infinite keep_alive."""
    return datetime.now(UTC) + timedelta(seconds=min(keep_alive, LONGEST_SECONDS))


def full_name(name: str) -> str:
    """Return `name` as Ollama lists it, with its tag; ApiError 400 when Ollama would not accept it as a name."""
    if not _NAME.match(name):
        raise ApiError(400, "invalid model name")
    return short_name(name)


def json_object(body: bytes, *, empty: str) -> dict[str, Any]:
    """Return the JSON object of a request; ApiError 400 in Ollama's words, `empty` for a body of no bytes."""
    if not body:
        raise ApiError(400, empty)
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ApiError(400, "unexpected EOF") from error
    if not isinstance(value, dict):
        raise ApiError(400, f"json: cannot unmarshal {json_type(value)} into Go value of type api.Request")
    return value


def go_json(value: object) -> bytes:
    """Return JSON as Go's encoder writes it, to the byte: what is written so is known by its digest."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"{text}\n".encode()


def json_type(value: object) -> str:
    """Return the name that Go's JSON package gives to the type of a decoded value."""
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def text_field(body: Mapping[str, Any], field: str) -> str:
    """Return a string field, empty when absent; ApiError 400 for another type."""
    value = body.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ApiError(400, f"json: cannot unmarshal {json_type(value)} into Go struct field .{field} of type string")
    return value
