"""How far a fetch has come: bytes, rate, time left. Written by threads, read by everyone."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """One instant of a fetch. `done_bytes` of `total_bytes` are there, `resumed_bytes` of them from before.

    `bytes_per_second` and `seconds_left` are None while nothing has come that they could be told from.
    """

    total_bytes: int
    done_bytes: int
    resumed_bytes: int
    bytes_per_second: float | None
    seconds_left: float | None

    def __str__(self) -> str:
        share = f" ({self.done_bytes / self.total_bytes:.0%})" if self.total_bytes else ""
        rate = f", {self.bytes_per_second / 1e6:.0f} MB/s" if self.bytes_per_second else ""
        left = f", {self.seconds_left:.0f} s left" if self.seconds_left is not None else ""
        return f"{self.done_bytes / 1e6:,.0f} of {self.total_bytes / 1e6:,.0f} MB{share}{rate}{left}"


class Progress:
    """Counts bytes from any thread. `clock` is monotonic, in seconds; the rate is that since the first `expect`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
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

    def reset(self) -> None:
        """Begin again: another try counts anew."""
        with self._lock:
            self._since = None
            self._total = self._done = self._resumed = 0

    def snapshot(self) -> ProgressSnapshot:
        """Return this instant's figures, which belong together."""
        with self._lock:
            took = 0.0 if self._since is None else self._clock() - self._since
            came = self._done - self._resumed
            rate = came / took if took > 0 and came > 0 else None
            left = (self._total - self._done) / rate if rate else None
            return ProgressSnapshot(self._total, self._done, self._resumed, rate, left)
