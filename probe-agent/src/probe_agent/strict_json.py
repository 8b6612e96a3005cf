"""JSON from a file, read so that what is accepted can be written and sent again: pure.

Python reads what is no JSON (NaN, halves of surrogate pairs) or what nobody after it would take; whoever had to send
such a value on would find out in the middle of a start.
"""

import json
import math
from typing import Any

# Far deeper than a tool's schema; Python's own bound is ten times this, and depends on who calls.
MAX_NESTING = 100


def read_json(content: str | bytes) -> Any:
    """Return what a text holds; raises `ValueError`, one short line, that says what is wrong with it."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} (character {error.pos + 1})") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except RecursionError:
        raise ValueError(_too_deep()) from None
    except ValueError:  # json itself has no bound, and Python's integers have this one
        raise ValueError("holds a number of thousands of digits") from None
    _check(value, MAX_NESTING)
    return value


def _check(value: object, levels: int) -> None:
    """Look at everything inside; `levels` is how many more lists and objects may lie within one another."""
    if levels < 0:
        raise ValueError(_too_deep())
    match value:
        case str():
            _check_text(value)
        case float():
            if not math.isfinite(value):
                raise ValueError("holds NaN, Infinity or a number as large, which is no JSON")
        case list():
            for each in value:
                _check(each, levels - 1)
        case dict():
            for name, each in value.items():
                _check_text(name)
                _check(each, levels - 1)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(r"holds half of a surrogate pair (\ud800 to \udfff), which is no text") from None


def _too_deep() -> str:
    return f"is nested too deeply; at most {MAX_NESTING} levels"
