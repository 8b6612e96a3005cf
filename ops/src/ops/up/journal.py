"""What happened in a run and when: one list, told to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """The events of an instance's life, as the platform sees them."""

    CONTAINER_STARTED = "container started"
    STARTUP_PASSED = "startup probe passed"
    GATE_OPEN = "gate open"
    NOT_READY = "readiness lost"
    READY_AGAIN = "readiness back"
    STOPPING = "stopping"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `at` is wall-clock seconds."""

    kind: Kind
    text: str
    at: float


@dataclass(slots=True)
class Journal:
    """The events of one run, in order."""

    listener: Callable[[Event], None] = lambda _: None
    events: list[Event] = field(default_factory=list)

    def note(self, kind: Kind, text: str = "") -> None:
        """Add an event, now."""
        event = Event(kind, text, time.time())
        self.events.append(event)
        self.listener(event)

    def at(self, kind: Kind) -> float | None:
        """Return when the first event of a kind happened."""
        return next((event.at for event in self.events if event.kind is kind), None)
