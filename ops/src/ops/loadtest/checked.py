"""What stands in a run's file, which anybody may have changed: held to its type before it is believed. Pure."""

from __future__ import annotations

from typing import Any

MOST = 1e12
"""Far beyond any second, token or dollar of a run; what is not finite is beyond it, too."""
NUMBER: tuple[type, ...] = (int, float)
TEXT: tuple[type, ...] = (str,)
NOTHING: tuple[type, ...] = (type(None),)


def value(name: str, found: Any, kinds: tuple[type, ...]) -> Any:
    """Return the value where it is of one of the kinds.

    Raises:
        TypeError: it is of another.
        ValueError: it is a number that none of a run can be.

    """
    if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
        raise TypeError(f"{name}: {str(found)[:40]!r} is not what belongs there")
    if isinstance(found, int | float) and not -MOST <= found <= MOST:
        raise ValueError(f"{name}: {str(found)[:40]} is no figure of a run")
    return found


def of(content: Any, **kinds: tuple[type, ...]) -> dict[str, Any]:
    """Return the named values of an object; raises as `value` does, and KeyError for one that is missing."""
    members = value("the whole", content, (dict,))
    return {name: value(name, members[name], kind) for name, kind in kinds.items()}


def texts(name: str, found: Any) -> list[str]:
    """Return a list of texts; raises TypeError as `value` does."""
    return [value(name, each, TEXT) for each in value(name, found, (list,))]
