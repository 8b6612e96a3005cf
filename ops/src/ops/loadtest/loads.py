"""A load: so many requests a second whatever the service does, or so many at once. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ops.loadtest import checked


class Loop(StrEnum):
    """Open: requests go out by the clock. Closed: each user sends the next one when the last is answered."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """One load. `level` is requests a second in an open loop, requests at once in a closed one."""

    loop: Loop
    level: float

    def __str__(self) -> str:
        """Name it as a person would."""
        return f"{self.level:g} requests/s" if self.loop is Loop.OPEN else f"{self.level:g} at once"

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a run's file."""
        return {"loop": self.loop.value, "level": self.level}


def from_json(content: dict[str, Any]) -> Load:
    """Read it from a run's file; raises KeyError, TypeError or ValueError."""
    found = checked.of(content, loop=checked.TEXT, level=checked.NUMBER)
    if found["level"] <= 0:
        raise ValueError("a load is above 0")
    return Load(Loop(found["loop"]), float(found["level"]))
