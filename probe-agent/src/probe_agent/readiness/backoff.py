"""How often something failed, and when to try again: pure, apart from what is being tried."""

from dataclasses import dataclass


@dataclass(slots=True)
class FailureStreak:
    """Counts failures in a row, whatever their kind, and sums up each run of equal ones in one line.

    The caller has logged the first `logged` failures of each run itself; a summary is made only when there are more.
    """

    logged: int = 0
    count: int = 0
    _equal: int = 0
    _reason: str = ""
    _since: float = 0.0

    def fail(self, reason: str, now: float) -> str | None:
        """Count a failure at `now` (seconds); return the summary of the run that it ends, if any."""
        ended = None
        if reason != self._reason:
            ended = self._summary(now)
            self._equal, self._reason, self._since = 0, reason, now
        self.count += 1
        self._equal += 1
        return ended

    def end(self, now: float) -> str | None:
        """Begin anew after a success; return the summary of the last run, if any."""
        summary = self._summary(now)
        self.count, self._equal, self._reason = 0, 0, ""
        return summary

    def _summary(self, now: float) -> str | None:
        if self._equal <= self.logged:
            return None
        times = "once" if self._equal == 1 else f"{self._equal} times in {now - self._since:.1f} s"
        return f"{self._reason} ({times})"


@dataclass(slots=True)
class Backoff:
    """Exponential back-off between reloads, so that the agent does not ping-pong with a client.

    The first reload is immediate, the next waits `base` seconds, each further one twice as long, at most
    `longest`. After `calm` seconds without a reload, or twice the last wait if that is longer, it begins anew.
    """

    base: float
    longest: float
    calm: float
    _count: int = 0
    _wait: float = 0.0
    _last: float = float("-inf")

    def wait(self, now: float) -> float:
        """Note a reload that falls due at `now`; return the seconds to wait before it."""
        if self.is_calm(now):
            self._count = 0
        self._wait = min(self.base * 2 ** (self._count - 1), self.longest) if self._count else 0.0
        self._count = min(self._count + 1, 64)  # 2^63 periods: far beyond `longest`, and no overflow
        self._last = now + self._wait
        return self._wait

    def is_calm(self, now: float) -> bool:
        """Whether the last reload is long enough ago to begin anew."""
        return now - self._last >= max(self.calm, 2 * self._wait)
