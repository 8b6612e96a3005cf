"""A request's JSON body, read as Ollama reads it (Go's encoding/json), or refused where the two could differ. Pure.

Go matches a top-level key without regard to case and with Unicode folding, lets the last of two equal keys win, merges
two objects under one key, and ignores what follows the first value. A body that uses any of this is refused, so that
what the gateway understood is what Ollama will do. Seen with Ollama 0.33.0-rc2.
"""

import json
import math
import unicodedata
from typing import Any

from probe_agent.gateway.refusal import Refusal

# The fields that change what a request means, over all routes (api/types.go, openai/, anthropic/ of Ollama 0.33).
# A key that only folds to one of these is a way round a pin.
KNOWN_FIELDS = frozenset(
    [
        "model",
        "name",
        "prompt",
        "suffix",
        "system",
        "template",
        "context",
        "stream",
        "raw",
        "format",
        "keep_alive",
        "images",
        "options",
        "think",
        "truncate",
        "shift",
        "_debug_render_only",
        "logprobs",
        "top_logprobs",
        "messages",
        "tools",
        "input",
        "dimensions",
        "verbose",
        "encoding_format",
        "stream_options",
        "max_tokens",
        "seed",
        "stop",
        "temperature",
        "frequency_penalty",
        "presence_penalty",
        "top_p",
        "response_format",
        "reasoning",
        "reasoning_effort",
        "instructions",
        "max_output_tokens",
        "text",
        "truncation",
        "metadata",
    ]
)
# Deeper than any tool's schema; Python's own limit is near 1,000 and depends on the caller.
MAX_DEPTH = 64
FIX = "Send one JSON object as Ollama's API documents it"


def read_object(body: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Return the body's object; raises `Refusal` (400) for anything that Ollama could read otherwise."""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
    except UnicodeDecodeError:
        raise _refuse("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        kind = "more than one JSON value" if error.msg == "Extra data" else f"no JSON: {error.msg}"
        raise _refuse(f"the body is {kind} (character {error.pos + 1})") from None
    except RecursionError:
        raise _refuse(f"the body is nested deeper than {max_depth} levels") from None
    except ValueError as error:  # a number of thousands of digits
        raise _refuse(f"the body holds an unusable number: {error}") from None
    if not isinstance(value, dict):
        raise _refuse("the body is no JSON object")
    _check_depth(value, max_depth)
    for key in value:
        if key not in KNOWN_FIELDS and (meant := fold(key)) in KNOWN_FIELDS:
            raise _refuse(f"the key {key!a} is another spelling of {meant!r}")
    return value


def fold(key: str) -> str:
    """Return the key as a case-insensitive reader may take it: a superset of Go's folding."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", key).casefold())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _refuse(f"the key {ascii(twice)[:80]} stands twice in one object")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _refuse(f"the number {text[:40]} is too large")
    return number


def _constant(text: str) -> float:
    raise _refuse(f"{text} is no JSON")


def _check_depth(value: object, levels: int) -> None:
    """Look at every level without recursion."""
    layer: list[object] = [value]
    for _ in range(levels):
        layer = [
            inner
            for each in layer
            for inner in (each.values() if isinstance(each, dict) else each)  # type: ignore[attr-defined]
            if isinstance(inner, (dict, list))
        ]
        if not layer:
            return
    raise _refuse(f"the body is nested deeper than {levels} levels")


def _refuse(reason: str) -> Refusal:
    return Refusal(400, "bad_json", reason, FIX)
