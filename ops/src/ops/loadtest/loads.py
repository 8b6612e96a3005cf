"""A load: so many requests per second whatever the service does, or so many at once. Pure."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from msgspec import Meta


class Loop(StrEnum):
    """Open: requests go out by the clock. Closed: each user sends the next one when the last is answered."""

    OPEN = "open"
    CLOSED = "closed"


class Arrivals(StrEnum):
    """How requests of an open loop are spread: as independent users come (Poisson), or evenly."""

    POISSON = "poisson"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """One load. `level` is requests per second in an open loop, requests at once in a closed one."""

    loop: Loop
    level: Annotated[float, Meta(gt=0)]

    def __str__(self) -> str:
        """Name it as a person would."""
        return f"{self.level:g} requests/s" if self.loop is Loop.OPEN else f"{self.level:g} at once"


def schedule(kind: Arrivals, rate: float, seconds: float, seed: int | str) -> list[float]:
    """Return the instants, in seconds from 0 to below `seconds`, of `rate` requests per second on average."""
    if kind is Arrivals.CONSTANT:
        return [index / rate for index in range(int(rate * seconds + 1e-9))]
    draw = random.Random(seed)  # noqa: S311 — a workload, not a secret; seeded, so that a run can be repeated
    instants, now = [], draw.expovariate(rate)
    while now < seconds:
        instants.append(now)
        now += draw.expovariate(rate)
    return instants
