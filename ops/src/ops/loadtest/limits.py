"""The user's limits (`--slo ttft_p95=2s`). Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.loadtest.figure import Figure
from ops.loadtest.record import Record

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
LATENCY = re.compile(r"(ttft|tpot|e2e)_(p50|p90|p95|p99)=(.+)")
ERRORS = re.compile(r"errors=(\d+(?:\.\d+)?)%")
EXPECTED = "expected ttft_p95=2s (ttft, tpot or e2e; p50, p90, p95 or p99), or errors=1%"
# The share of failed requests that is borne where no limit names one.
DEFAULT_ERRORS = 0.01


def duration(text: str) -> float:
    """Read `2s`, `500ms`, `1m` or plain seconds; raises ValueError for what is none, and for 0."""
    match = DURATION.fullmatch(text)
    if not match or not float(match[1]):
        raise ValueError(f"expected a duration such as 2s or 500ms, found {text!r}")
    return float(match[1]) * SECONDS[match[2] or "s"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure that must not exceed a bound: seconds, or a share for errors. `text` is how it was asked for."""

    text: str
    figure: str
    bound: float

    def __str__(self) -> str:
        """Return it as it was asked for."""
        return self.text

    @property
    def latency(self) -> str | None:
        """The latency that it bounds, None for errors."""
        return None if self.figure == "error_share" else self.figure.partition("_")[0]

    @property
    def judged(self) -> str:
        """The figure that is held against the bound: a latency of all requests, a failed one as endless."""
        return f"{self.figure}_of_all" if self.latency else self.figure


NO_MORE_ERRORS = Limit(f"errors={DEFAULT_ERRORS:.0%}", "error_share", DEFAULT_ERRORS)


def parse(text: str) -> Limit:
    """Read a limit; raises ValueError for what is none."""
    if match := ERRORS.fullmatch(text):
        return Limit(text, "error_share", float(match[1]) / 100)
    if match := LATENCY.fullmatch(text):
        return Limit(text, f"{match[1]}_{match[2]}", duration(match[3]))
    raise ValueError(f"{EXPECTED}; found {text!r}")


def with_default(limits: Sequence[Limit]) -> tuple[Limit, ...]:
    """Return the limits, and the one on errors where none is named."""
    named = any(limit.latency is None for limit in limits)
    return tuple(limits) if named else (*limits, NO_MORE_ERRORS)


def broken(figures: Mapping[str, Figure], limits: Sequence[Limit]) -> list[Limit]:
    """Return the limits that the figures exceed; a figure that is not there, or endless, exceeds its limit."""
    return [limit for limit in limits if limit.judged not in figures or figures[limit.judged].value > limit.bound]


def is_good(record: Record, limits: Sequence[Limit]) -> bool:
    """Say whether one request was answered whole and within each latency's tightest bound (goodput counts these)."""
    if record.error is not None:
        return False
    for limit in limits:
        value: float | None = getattr(record, limit.latency) if limit.latency else None
        if value is not None and value > limit.bound:
            return False
    return True
