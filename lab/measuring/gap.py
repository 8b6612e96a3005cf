"""Starts behind a gate, their figures for the result file, and a table for the screen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from rich.table import Table

from lab.measuring import sample

Round = Mapping[str, "Start"]

OK = 200
# Of a cold answer: above it the server had still to load, to read the system prompt, or to end another's reading. A
# warm answer takes a thirtieth, so that neither a busy machine nor a second place makes one look cold.
AT_ONCE_SHARE = 0.25
REFERENCE = "tcp"
HEADINGS = (
    "gate",
    "opens, against READY (s)",
    "let in early",
    "at READY in Ollama, at the gate",
    "first let in is answered after (s)",
    "first waited (s)",
    "the same, less TCP's (s)",
)


class Sent(NamedTuple):
    """One request, in seconds since the start of the containers.

    `took` is the server's own word, `total_duration`; without a 200 it is infinite.
    """

    sent: float
    let_in: float
    answered: float
    status: int
    took: float


@dataclass(frozen=True, slots=True)
class Start:
    """One start behind a gate; instants in seconds since the start of the containers.

    `ready` is the agent's own word. `cold` is the `total_duration` of the same chat that a new server answered in this
    round, with neither agent nor gate.
    """

    open: float
    ready: float
    cold: float
    phases: dict[str, float]
    requests: list[Sent]

    @property
    def early(self) -> list[Sent]:
        """Those that the server, by its own word, could not answer at once."""
        return [each for each in self.requests if each.took > AT_ONCE_SHARE * self.cold]

    @property
    def before_ready(self) -> int:
        """How many were let in before READY."""
        return sum(each.let_in < self.ready for each in self.requests)

    @property
    def in_ollama_at_ready(self) -> int:
        """How many waited in Ollama for the model at READY; never more than there are places."""
        return sum(each.let_in < self.ready < each.answered for each in self.requests)

    @property
    def at_the_gate_at_ready(self) -> int:
        """How many waited at READY for the gate, or for a place."""
        return sum(each.sent < self.ready <= each.let_in for each in self.requests)

    @property
    def late_seconds(self) -> float:
        """How long a ready model waited for its gate; negative: the gate was first."""
        return self.open - self.ready

    @property
    def first(self) -> Sent:
        """The first request that was let in."""
        return self.requests[0]


def figures(rounds: Sequence[Round], name: str) -> dict[str, Any]:
    """Return a gate's figures over all rounds; what is compared with TCP is compared within each round."""
    starts = [each[name] for each in rounds]
    return {
        "open_seconds": sample.summary([each.open for each in starts]),
        "ready_seconds": sample.summary([each.ready for each in starts]),
        "late_seconds": sample.summary([each.late_seconds for each in starts]),
        "early_requests": sample.summary([len(each.early) for each in starts]),
        "let_in_before_ready": sample.summary([each.before_ready for each in starts]),
        "in_ollama_at_ready": sample.summary([each.in_ollama_at_ready for each in starts]),
        "at_the_gate_at_ready": sample.summary([each.at_the_gate_at_ready for each in starts]),
        "first_let_in_seconds": sample.summary([_answered_after(each) for each in starts]),
        "first_let_in_to_tcp": sample.summary(first_let_in_to_tcp(rounds, name)),
        "waited_seconds": sample.summary([_waited(each) for each in starts]),
        "waited_less_tcp_seconds": sample.summary([_waited(each[name]) - _waited(each[REFERENCE]) for each in rounds]),
        "not_200": sum(request.status != OK for each in starts for request in each.requests),
        "starts": [_row(each) for each in starts],
    }


def first_let_in_to_tcp(rounds: Sequence[Round], name: str) -> list[float]:
    """Return for each round how long the first request let in took, as a share of that behind the TCP gate."""
    return [_answered_after(each[name]) / _answered_after(each[REFERENCE]) for each in rounds]


def table(measured: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> Table:
    """Return the gates side by side, each figure as its median and, in brackets, the least and the most."""
    found = Table(*HEADINGS, title="median (least to most)", title_justify="left")
    for name, each in measured.items():
        found.add_row(
            titles[name],
            _spread(each["late_seconds"], "+.3f"),
            _spread(each["early_requests"], "g"),
            f"{_spread(each['in_ollama_at_ready'], 'g')}, {_spread(each['at_the_gate_at_ready'], 'g')}",
            _spread(each["first_let_in_seconds"], ".2f"),
            _spread(each["waited_seconds"], ".2f"),
            _spread(each["waited_less_tcp_seconds"], "+.2f"),
        )
    return found


def middle(starts: Sequence[Start]) -> Start:
    """Return the start that took the median time to READY: the picture shows no exception."""
    return sorted(starts, key=lambda each: each.ready)[len(starts) // 2]


def late(rounds: Sequence[Round], name: str) -> float:
    """Return the median of how long a ready model waited for the gate."""
    return median(each[name].late_seconds for each in rounds)


def early(rounds: Sequence[Round], name: str) -> int:
    """Return how many requests a gate let in early, over all rounds."""
    return sum(len(each[name].early) for each in rounds)


def _spread(of: Mapping[str, float], form: str) -> str:
    return f"{of['median']:{form}} ({of['least']:{form}} to {of['most']:{form}})"


def _answered_after(start: Start) -> float:
    return start.first.answered - start.first.let_in


def _waited(start: Start) -> float:
    return start.first.answered - start.first.sent


def _row(start: Start) -> dict[str, float]:
    return {
        "open_seconds": start.open,
        "ready_seconds": start.ready,
        "cold_seconds": start.cold,
        "early": len(start.early),
        "before_ready": start.before_ready,
        "first_let_in_seconds": _answered_after(start),
        "waited_seconds": _waited(start),
    }
