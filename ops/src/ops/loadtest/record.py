"""What was measured: requests, the repetitions that hold them, and the steps that hold these.

Instants are seconds since the repetition began, on the tester's monotonic clock.
"""

from dataclasses import dataclass, field

from msgspec import Struct

from ops.loadtest.loads import Load

# Why a repetition stopped that the operator, or a fault of the whole run, ended.
INTERRUPTED = "interrupted"


class Record(Struct, frozen=True, array_like=True):
    """One request. `intended` is when it should have gone out: in a closed loop that is when it did.

    `first` and `last` are the arrivals of the first and the last part of the answer that hold text; `error` is the
    kind of failure, None for a whole answer. The last four are Ollama's own, seconds, of its final line; None where
    the server does not report them.
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
        """Seconds that the request waited inside Ollama: its total less its load, prompt and answer."""
        if self.total_seconds is None:
            return None
        known = (self.load_seconds or 0.0) + (self.prompt_seconds or 0.0) + (self.answer_seconds or 0.0)
        return max(0.0, self.total_seconds - known)

    @property
    def outside(self) -> float | None:
        """Seconds between sending and end that Ollama does not account for: network, the platform's front."""
        return None if self.total_seconds is None else max(0.0, self.end - self.sent - self.total_seconds)


@dataclass(frozen=True, slots=True)
class Repetition:
    """One go. Requests meant for [`begin`, `end`) seconds are measured; those before are the warm-up."""

    records: tuple[Record, ...]
    begin: float
    end: float
    stopped: str | None = None

    @property
    def measured(self) -> list[Record]:
        """The records that count, in order of their intended instants."""
        return sorted((r for r in self.records if self.begin <= r.intended < self.end), key=lambda r: r.intended)

    @property
    def seconds(self) -> float:
        """The length of the measured window."""
        return self.end - self.begin


@dataclass(slots=True)
class Step:
    """One load under one setting. `parallel` is OLLAMA_NUM_PARALLEL where it is known; `skipped` says why not run."""

    parallel: int | None
    load: Load
    repetitions: list[Repetition] = field(default_factory=list)
    skipped: str | None = None

    @property
    def key(self) -> tuple[int | None, Load]:
        """What tells it from the other steps of a run."""
        return self.parallel, self.load

    @property
    def usable(self) -> list[Repetition]:
        """The repetitions that figures are made of: one that was interrupted only where there is no whole one."""
        whole = [each for each in self.repetitions if each.stopped != INTERRUPTED]
        return whole or self.repetitions

    @property
    def stopped(self) -> str | None:
        """Why it ended before its time, None where it did not."""
        return next((each.stopped for each in self.usable if each.stopped), None)

    def __str__(self) -> str:
        """Name it as a person would."""
        slots = "" if self.parallel is None else f", {self.parallel} slot{'s' * (self.parallel != 1)}"
        return f"{self.load}{slots}"
