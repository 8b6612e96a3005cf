"""When a load is more than the service can take. Pure: counts in, verdicts out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Fewer answers say nothing about a rate.
LEAST_FINISHED = 10
# A shorter window sees one burst.
LEAST_SECONDS = 1.0
# By how many standard deviations of a Poisson count the arrivals of a window must exceed its completions.
DEVIATIONS = 4.0
# A service that leaves more than this share of what is offered undone, beyond chance, does not keep up with it.
BEHIND = 0.05
# Above this share of failures a step measures failures.
MOSTLY = 0.5
LEAST_FAILED = 20
# A step up in concurrency that brings less throughput than this share more brought nothing.
GAIN = 0.05
# One step without gain may be noise; after two the service is past its knee.
STEPS_WITHOUT_GAIN = 2


@dataclass(frozen=True, slots=True)
class Count:
    """What had happened by an instant of a step, in seconds from its begin."""

    at: float
    sent: int
    finished: int
    failed: int


def falls_behind(counts: Sequence[Count]) -> str | None:
    """Say why an open loop's step should stop: the backlog grows faster than chance explains; None: go on.

    It looks at the later half of the time since the first answers: a backlog of steady size does not count, however
    long the answers take.
    """
    begun = [count for count in counts if count.finished >= LEAST_FINISHED]
    if len(begun) < 2:  # noqa: PLR2004 — a window has two ends
        return None
    last, first = begun[-1], begun[len(begun) // 2]
    if last.at - first.at < LEAST_SECONDS:
        return None
    arrived, finished = last.sent - first.sent, last.finished - first.finished
    if arrived - finished <= DEVIATIONS * math.sqrt(max(arrived, 1)) or arrived - finished <= BEHIND * arrived:
        return None
    backlog = last.sent - last.finished
    return (
        f"saturated: {arrived} requests came and {finished} were answered in {last.at - first.at:.1f} s, {backlog} wait"
    )


def mostly_fails(counts: Sequence[Count]) -> str | None:
    """Say why a step should stop: most requests fail; None: go on."""
    if not counts or counts[-1].failed < LEAST_FAILED or counts[-1].failed <= MOSTLY * counts[-1].finished:
        return None
    return f"failing: {counts[-1].failed} of {counts[-1].finished} requests failed"


def past_knee(throughputs: Sequence[float]) -> bool:
    """Say whether the last steps up brought nothing: throughputs, in order of growing concurrency."""
    if len(throughputs) <= STEPS_WITHOUT_GAIN:
        return False
    best = max(throughputs[:-STEPS_WITHOUT_GAIN])
    return all(each < best * (1 + GAIN) for each in throughputs[-STEPS_WITHOUT_GAIN:])
