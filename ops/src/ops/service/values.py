"""Readers of a document's values: what has the wrong type counts as not written."""

from collections.abc import Iterator
from typing import Any

from ops.service.problem import Place


def mapping(value: Any) -> dict[Any, Any]:
    """Return a mapping as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return a list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """Return text as it is, anything else as no text."""
    return value if isinstance(value, str) else ""


def written(value: Any) -> str:
    """Return a scalar as text, as if it stood in quotes; the schema reports missing quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else text(value)


def whole(value: Any) -> int | None:
    """Return a whole number, also one that is written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return value if isinstance(value, int) else None


def texts(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Yield every text inside a value with its place; `place` is the value's own."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from texts(part, (*place, str(name)))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from texts(part, (*place, index))
