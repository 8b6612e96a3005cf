"""What is kept of one request. Instants are seconds since its repetition began, on the tester's monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ops.loadtest import checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DIGITS = 6
"""Microseconds: finer than what an event loop can tell."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request. `intended` is when it should have gone out: in a closed loop that is when it did.

    `first` and `last` are the arrivals of the first and the last part of the answer that hold text; `error` is the
    kind of failure, None for a whole answer. The last four are Ollama's own, seconds, of its final line; None where
    the server does not tell.
    """

    intended: float
    sent: float
    end: float
    first: float | None = None
    last: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int = 0
    error: str | None = None
    detail: str = ""
    total_seconds: float | None = None
    load_seconds: float | None = None
    prompt_seconds: float | None = None
    answer_seconds: float | None = None

    @property
    def ttft(self) -> float | None:
        """Time to the first token, from the intended instant."""
        return None if self.first is None else self.first - self.intended

    @property
    def e2e(self) -> float:
        """End-to-end latency, from the intended instant."""
        return self.end - self.intended

    @property
    def tpot(self) -> float | None:
        """Time per output token after the first; None for answers of fewer than two."""
        if self.first is None or self.last is None or self.output_tokens < 2:  # noqa: PLR2004 — a pace takes two
            return None
        return (self.last - self.first) / (self.output_tokens - 1)

    @property
    def server_queue(self) -> float | None:
        """Seconds that the request waited inside Ollama: its total less what it says of load, prompt and answer."""
        if self.total_seconds is None:
            return None
        known = (self.load_seconds or 0.0) + (self.prompt_seconds or 0.0) + (self.answer_seconds or 0.0)
        return max(0.0, self.total_seconds - known)

    @property
    def outside(self) -> float | None:
        """Seconds between sending and end that Ollama does not account for: network, the platform's front."""
        return None if self.total_seconds is None else max(0.0, self.end - self.sent - self.total_seconds)


NAMES = tuple(field.name for field in fields(Record))
MAYBE = checked.NUMBER + checked.NOTHING
KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("intended", "sent", "end"), checked.NUMBER),
    "output_tokens": (int,),
    "error": checked.TEXT + checked.NOTHING,
    "detail": checked.TEXT,
}
"""What a column of a file may hold; the others `MAYBE`."""


def to_columns(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Return records as columns, which is how the run's file holds them."""
    return {name: [_rounded(getattr(record, name)) for record in records] for name in NAMES}


def from_columns(columns: Mapping[str, Sequence[Any]]) -> list[Record]:
    """Return the records of a run's file.

    Raises:
        KeyError, TypeError, ValueError: a column is missing, holds what it must not, or they differ in length.

    """
    for name in NAMES:
        for value in columns[name]:
            checked.value(name, value, KINDS.get(name, MAYBE))
    rows = zip(*(columns[name] for name in NAMES), strict=True)
    return [Record(*row) for row in rows]


def _rounded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value
