"""The startup probe's budget: how long a start takes at a known rate, with a margin, against the platform's bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ops.cloudrun.limits import OLDER_STARTUP_SECONDS, startup_seconds

PERIOD_SECONDS = 10
# Starts are slower than usual when a node is new or its network is shared: twice the usual is forgiven.
MARGIN = 2.0
LEAST_SECONDS = 60.0
# Before the first byte of the weights is read: container, driver (5 s by Cloud Run's GPU page) and Ollama itself.
BOOT_SECONDS = 10.0
# After the last one: the first tokens and the warm-up prompts. `ops plan --around-seconds` has both.
WARM_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Budget:
    """A startup probe's numbers, in seconds."""

    # What a start takes at the rate that was given.
    usual: float
    period: int
    threshold: int
    # The platform's bound for threshold x period.
    ceiling: int

    @property
    def seconds(self) -> int:
        """What the platform waits, without the initial delay."""
        return self.period * self.threshold

    def reason(self, margin: float) -> str:
        """Say how the threshold came about."""
        return f"{self.usual:.0f} s usually, times {margin:g}, at least {LEAST_SECONDS:.0f} s"

    @property
    def fits(self) -> bool:
        """Whether the platform takes such a probe."""
        return self.seconds <= self.ceiling

    @property
    def fits_older_bound(self) -> bool:
        """Whether it keeps within the lower bound too, which older pages and the API's schema name."""
        return self.seconds < OLDER_STARTUP_SECONDS


def budget(
    size_bytes: int,
    bytes_per_second: float,
    *,
    is_gpu: bool,
    around_seconds: float = BOOT_SECONDS + WARM_SECONDS,
    margin: float = MARGIN,
    period: int = PERIOD_SECONDS,
) -> Budget:
    """Return the budget for weights of `size_bytes` that are read at `bytes_per_second`.

    `around_seconds` is the rest of the start, before and after the load.
    """
    usual = around_seconds + size_bytes / bytes_per_second
    threshold = math.ceil(max(usual * margin, LEAST_SECONDS) / period)
    return Budget(usual, period, threshold, startup_seconds(gpu=is_gpu))
