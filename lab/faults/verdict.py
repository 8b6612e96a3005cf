"""What a soak is judged by: from its faults, probes and requests to its targets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lab.faults.cells import BUSY_SECONDS, HARMLESS, STUCK, THE_RUNNERS, Fault
from lab.measuring.result import Target

# Between two rounds of probes: the least that Cloud Run allows for a readiness probe.
PROBE_SECONDS = 1.0
# Beyond the promise, and beyond what the probes themselves were late: the agent's own turns on a busy machine.
LATE_SECONDS = 0.5
# Shares of fewer faults say more about the seed than about the agent.
ENOUGH = 40
# Measured in an hour: 0.27; in 290 s 0.46 with an agent that waits six seconds too long before each reload.
IN_VAIN_SHARE = 0.4
# Most of the faults must have been such that a lie would have been seen, or no lies mean little.
HARMLESS_SHARE = 0.5


class Probed(NamedTuple):
    """What one round of probes saw, asked at an instant: whether readiness and liveness passed.

    `open` and `let_in` are what the probes' thresholds make of the port and of readiness so far; `delay` is how long
    an endpoint took that always answers.
    """

    at: float
    ready: bool
    live: bool
    open: bool
    let_in: bool
    delay: float = 0.0


class Share(NamedTuple):
    """A share, and the most that it may be."""

    measured: float
    limit: float


@dataclass(frozen=True, slots=True)
class Event:
    """One fault, in seconds since the start: fully there from `began` to `over`, wholly gone at `mended`.

    READY was `back` seconds after `mended`, None for never; `listed` is whether Ollama then listed the model as loaded.
    `noticed`, of a runner's fault alone: how long after `began` the agent was first seen not ready.
    """

    fault: Fault
    began: float
    over: float
    mended: float
    back: float | None
    listed: bool = True
    noticed: float | None = None

    def __str__(self) -> str:
        end = "never READY again" if self.back is None else f"READY {self.back:.1f} s after it"
        unlisted = "" if self.listed else ", and no model was loaded"
        noticed = "" if self.noticed is None else f", noticed after {self.noticed:.1f} s"
        return f"{self.fault} for {self.over - self.began:.1f} s{noticed}, {end}{unlisted}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `judged` counts the faults in which a lie would have been seen."""

    judged: int
    lies: int
    unloaded: int
    never_back: int
    dead: int


def verdict(events: Sequence[Event], probed: Sequence[Probed], promise: float) -> Verdict:
    """Judge the faults by what the probes said; `promise` is the agent's, in seconds."""
    found = [lies(event, probed, promise) for event in events]
    return Verdict(
        judged=sum(told is not None for told in found),
        lies=sum(told or 0 for told in found),
        unloaded=sum(not event.listed for event in events),
        never_back=sum(event.back is None for event in events),
        dead=_dead(events, probed),
    )


def lies(event: Event, probed: Sequence[Probed], promise: float) -> int | None:
    """Count the probes that passed and must not, one for a runner whose loss was not noticed in time.

    None where nothing could have been seen.
    """
    if event.fault in HARMLESS:
        return None
    meanwhile = [seen for seen in probed if event.began <= seen.at < event.over]
    limit = promise + LATE_SECONDS + max((seen.delay for seen in meanwhile), default=0.0)
    if event.fault in THE_RUNNERS:  # nobody but the agent asks until it has noticed; and then the model comes back
        return int(event.noticed is None or event.noticed > limit)
    late = [seen for seen in meanwhile if seen.at > event.began + limit]
    return sum(seen.ready for seen in late) if late else None


def _dead(events: Sequence[Event], probed: Sequence[Probed]) -> int:
    stuck = [(event.began, event.mended + PROBE_SECONDS + BUSY_SECONDS) for event in events if event.fault in STUCK]
    return sum(
        not seen.live and not any(began <= seen.at + PROBE_SECONDS and seen.at <= end for began, end in stuck)
        for seen in probed
    )


def still_let_in(events: Sequence[Event], probed: Sequence[Probed]) -> list[float]:
    """Return for how long traffic went on, in each fault that ended it: from `began` to the last round that let it in.

    A runner's faults are left out: clients are still there.
    """
    found = []
    for event in events:
        meanwhile = [seen for seen in probed if event.began <= seen.at < event.over]
        if event.fault not in HARMLESS | THE_RUNNERS and meanwhile and not meanwhile[-1].let_in:
            found.append(max((seen.at - event.began for seen in meanwhile if seen.let_in), default=0.0))
    return found


def in_vain(obeys: Mapping[int, bool], tcp: Mapping[int, bool]) -> int:
    """Count the requests held back although the model would have answered: the other client's was, of the same tick."""
    return sum(served and tick not in obeys for tick, served in tcp.items())


def targets(found: Verdict, faults: int, failed: Share, in_vain_share: float) -> tuple[Target, ...]:
    """Return what must hold; the shares only where there were enough faults."""
    always = (
        Target("probes that passed, and lost runners that went unnoticed, longer than promised", found.lies, 0, ""),
        Target("faults after which it said READY and no model was loaded", found.unloaded, 0, ""),
        Target("faults after which the agent was never READY again", found.never_back, 0, ""),
        Target("liveness probes that failed, and the agent was not stuck", found.dead, 0, ""),
    )
    return always if faults < ENOUGH else always + _shares(found, faults, failed, in_vain_share)


FAILED = "failed requests of the client that obeys readiness, for one behind a TCP probe"
IN_VAIN = "requests held back, for one that the model would have answered"
UNSEEN = "faults in which a lie could not have been seen, for each"


def _shares(found: Verdict, faults: int, failed: Share, in_vain_share: float) -> tuple[Target, ...]:
    return (
        Target(FAILED, failed.measured, failed.limit, ""),
        Target(IN_VAIN, in_vain_share, IN_VAIN_SHARE, ""),
        Target(UNSEEN, 1 - found.judged / faults, HARMLESS_SHARE, ""),
    )


def too_few(faults: int) -> dict[str, str]:
    """Say of which claims there were too few faults."""
    reason = f"{faults} faults; it takes {ENOUGH}"
    return {} if faults >= ENOUGH else dict.fromkeys((FAILED, IN_VAIN, UNSEEN), reason)
