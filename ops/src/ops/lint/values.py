"""Values of a document, whatever they are: what has the wrong type counts as not written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.lint.findings import Place


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
    """Return a scalar as the text that it is in quotes: that they are missing is said once, by the schema rule."""
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
