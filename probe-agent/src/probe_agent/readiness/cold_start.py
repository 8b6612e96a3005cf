"""The cold-start waterfall: when each phase of a start was reached, and the gap a TCP probe would have let in."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """The milestones of a start, in their order."""

    AGENT_UP = "agent_up"
    PORT_OPEN = "port_open"
    API_ANSWERS = "api_answers"
    MODEL_FETCHED = "model_fetched"
    MODEL_VERIFIED = "model_verified"
    LOAD = "load"
    FIRST_TOKEN = "first_token"  # noqa: S105 — a token of text
    WARM_UP = "warm_up"
    READY = "ready"


_ORDER = tuple(Phase)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Milestones reached, in seconds of the agent's monotonic clock; complete, and fixed, once READY is in it."""

    marks: tuple[tuple[Phase, float], ...]
    loaded_bytes: int = 0

    @classmethod
    def started(cls, at: float) -> "Waterfall":
        """Begin at the agent's own start."""
        return cls(((Phase.AGENT_UP, at),))

    def at(self, phase: Phase) -> float | None:
        """When a phase was reached, or None."""
        return dict(self.marks).get(phase)

    def mark(self, phase: Phase, at: float, *, loaded_bytes: int = 0) -> "Waterfall":
        """Note that a phase was reached; what was marked after it belonged to an attempt that broke off.

        The port keeps its first opening, because that is what a TCP probe would have seen.
        """
        if self.at(Phase.READY) is not None or (phase is Phase.PORT_OPEN and self.at(phase) is not None):
            return self
        kept = tuple(entry for entry in self.marks if _ORDER.index(entry[0]) < _ORDER.index(phase))
        return replace(self, marks=(*kept, (phase, at)), loaded_bytes=loaded_bytes or self.loaded_bytes)

    def seconds(self, phase: Phase) -> float | None:
        """How long a phase took, from the milestone before it; None when it was not reached."""
        places = [entry[0] for entry in self.marks]
        if phase not in places:
            return None
        place = places.index(phase)
        return self.marks[place][1] - self.marks[max(place - 1, 0)][1]

    @property
    def gap_seconds(self) -> float | None:
        """Seconds from the open port to READY, in which a TCP probe would have let requests in."""
        opened, ready = self.at(Phase.PORT_OPEN), self.at(Phase.READY)
        return None if opened is None or ready is None else ready - opened

    @property
    def load_bytes_per_second(self) -> float | None:
        """Bytes of model files over seconds of load; None before the load, or where sizes are unknown."""
        took = self.seconds(Phase.LOAD)
        return self.loaded_bytes / took if took and self.loaded_bytes else None

    def as_json(self) -> dict[str, Any]:
        """Return the waterfall as `/status` shows it; times in seconds since the agent's start."""
        start = self.marks[0][1]
        return {
            "phases": [
                {
                    "phase": phase,
                    "at_seconds": round(at - start, 4),
                    "seconds": round(self.seconds(phase) or 0.0, 4),
                }
                for phase, at in self.marks
            ],
            "gap_seconds": _rounded(self.gap_seconds),
            "load_bytes_per_second": _rounded(self.load_bytes_per_second),
        }

    def __str__(self) -> str:
        steps = " · ".join(f"{phase} {self.seconds(phase):.3f}s" for phase, _ in self.marks[1:])
        rate = self.load_bytes_per_second
        gap = self.gap_seconds
        return (
            steps
            + (f" · loaded at {rate / 1e6:.0f} MB/s" if rate else "")
            + (f" · gap closed: {gap:.3f}s from open port to ready" if gap is not None else "")
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
