"""When to give up and when to try again: thresholds and rates, apart from what is being tried. Pure."""

from dataclasses import dataclass


@dataclass(slots=True)
class FailureStreak:
    """Failures in a row, whatever their kind, and one line for each run of equal ones.

    `told` of a run's failures have been reported by the caller; the summary is only made beyond them.
    """

    told: int = 0
    count: int = 0
    _equal: int = 0
    _reason: str = ""
    _since: float = 0.0

    def fail(self, reason: str, now: float) -> str | None:
        """Count a failure at `now` (seconds); return the summary of the run of others that it ended, if any."""
        ended = None
        if reason != self._reason:
            ended = self._summary(now)
            self._equal, self._reason, self._since = 0, reason, now
        self.count += 1
        self._equal += 1
        return ended

    def end(self, now: float) -> str | None:
        """Something succeeded: forget the streak, and return its summary, if there is one."""
        summary = self._summary(now)
        self.count, self._equal, self._reason = 0, 0, ""
        return summary

    def _summary(self, now: float) -> str | None:
        if self._equal <= self.told:
            return None
        times = "once" if self._equal == 1 else f"{self._equal} times in {now - self._since:.1f} s"
        return f"{self._reason} ({times})"


@dataclass(slots=True)
class ReloadLimit:
    """How long to wait before the agent makes Ollama load again: never a fight, request for request.

    The first reload is immediate, the next waits `base` seconds, each further one twice as long, at most
    `longest`. After a calm of `calm` seconds, or of twice the last wait if that is longer, the count begins anew.
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
        """Whether the last reload is so long ago that another one is no fight."""
        return now - self._last >= max(self.calm, 2 * self._wait)
