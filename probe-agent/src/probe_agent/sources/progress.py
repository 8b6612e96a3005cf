"""How far a fetch has come: bytes, rate, time left. Written by threads, read by everyone."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

# Before that a rate is an accident: the first part is counted whole, and the first connection was just made.
SETTLED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """One instant of a fetch. `done_bytes` of `total_bytes` are there, `resumed_bytes` of them from before.

    `bytes_per_second` is the mean since the beginning, None while nothing has come; at the end it stays as it was.
    `seconds_left` is None while it cannot be told (in the first second, or when nothing comes), and at the end.
    """

    total_bytes: int
    done_bytes: int
    resumed_bytes: int
    bytes_per_second: float | None
    seconds_left: float | None

    def __str__(self) -> str:
        if not self.total_bytes:
            return "how much there is to fetch is not known yet"
        parts = [f"{self.done_bytes / 1e6:,.0f} of {self.total_bytes / 1e6:,.0f} MB ({self._share:.0%})"]
        if self.resumed_bytes:
            parts.append(f"{self.resumed_bytes / 1e6:,.0f} MB of it were there")
        if self.bytes_per_second:
            parts.append(f"{self.bytes_per_second / 1e6:.0f} MB/s")
        if self.seconds_left is not None:
            parts.append(f"{self.seconds_left:.0f} s left")
        return ", ".join(parts)

    @property
    def _share(self) -> float:
        return self.done_bytes / self.total_bytes


class Progress:
    """Counts bytes from any thread. `clock` is monotonic, in seconds; the rate is that since the first `expect`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._until: float | None = None
        self._total = self._done = self._resumed = 0

    def expect(self, size: int) -> None:
        """Add bytes that are going to come."""
        with self._lock:
            self._total += size
            if self._since is None:
                self._since = self._clock()

    def resume(self, size: int) -> None:
        """Count bytes that are there from an earlier try: done, but no part of the rate."""
        with self._lock:
            self._resumed += size
            self._done += size

    def advance(self, size: int) -> None:
        """Count bytes that have come; a negative number takes back what turned out wrong."""
        with self._lock:
            self._done += size

    def end(self) -> None:
        """Stop the clock: the fetch is over, well or not."""
        with self._lock:
            self._until = self._clock()

    def reset(self) -> None:
        """Begin again: another try counts anew."""
        with self._lock:
            self._since = self._until = None
            self._total = self._done = self._resumed = 0

    def snapshot(self) -> ProgressSnapshot:
        """Return this instant's figures, which belong together."""
        with self._lock:
            now = self._clock() if self._until is None else self._until
            took = 0.0 if self._since is None else now - self._since
            came = self._done - self._resumed
            rate = came / took if took > 0 and came > 0 else None
            settled = self._until is None and took >= SETTLED_SECONDS
            left = (self._total - self._done) / rate if rate and settled else None
            return ProgressSnapshot(self._total, self._done, self._resumed, rate, left)
