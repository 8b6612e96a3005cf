"""When requests go out in an open loop: decided before the first is sent, whatever the server does. Pure, seeded."""

from __future__ import annotations

import random
from enum import StrEnum


class Arrivals(StrEnum):
    """How requests are spread: as independent users come (Poisson), or evenly."""

    POISSON = "poisson"
    CONSTANT = "constant"


def schedule(kind: Arrivals, rate: float, seconds: float, seed: int | str) -> list[float]:
    """Return the instants, in seconds from 0 to below `seconds`, of `rate` requests a second on average."""
    if kind is Arrivals.CONSTANT:
        return [index / rate for index in range(int(rate * seconds + 1e-9))]
    draw = random.Random(seed)  # noqa: S311 — a workload, not a secret; seeded, so that a run can be repeated
    instants, now = [], draw.expovariate(rate)
    while now < seconds:
        instants.append(now)
        now += draw.expovariate(rate)
    return instants
