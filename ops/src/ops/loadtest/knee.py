"""The choice: which setting and load an instance should be given, under the user's limits. Pure.

Of the steps that hold every limit and were not past saturation, those count whose throughput is within 5 % of the
best: a difference below that is not worth a longer queue. Among these the one with the least load is the knee; of equal
loads one without idle slots, then the one whose answers begin the soonest, then that of the fewest slots.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.loadtest import limits as limits_
from ops.loadtest import saturation, words
from ops.loadtest.figure import Figure
from ops.loadtest.limits import Limit
from ops.loadtest.loads import Load, Loop

# Throughput that is less than this share below the best is as good as the best.
WORTH = 0.05

BESIDE = "measured for the rule of thumb"


@dataclass(frozen=True, slots=True)
class Measured:
    """A step as far as the choice needs it; `usd_per_million_tokens` is None where no price is known."""

    parallel: int | None
    load: Load
    stopped: str | None
    figures: Mapping[str, Figure]
    usd_per_million_tokens: Figure | None = None

    def __str__(self) -> str:
        """Name it as a person would."""
        return str(self.load) if self.parallel is None else f"{self.load} with {words.plural(self.parallel, 'slot')}"

    @property
    def throughput(self) -> float:
        """Output tokens a second."""
        return self.figures["tokens_per_second"].value if "tokens_per_second" in self.figures else 0.0

    @property
    def begins_within(self) -> float:
        """TTFT, 95th percentile, in seconds; endless where it is not known."""
        return self.figures["ttft_p95"].value if "ttft_p95" in self.figures else math.inf

    @property
    def concurrency(self) -> int:
        """Requests in the instance at once: a closed loop's load, in an open one the 95th percentile of those seen."""
        if self.load.loop is Loop.CLOSED:
            return int(self.load.level)
        return max(1, math.ceil(self.figures["in_flight_p95"].value)) if "in_flight_p95" in self.figures else 1

    @property
    def idle_slots(self) -> bool:
        """Whether there are more slots than requests at once: memory for nothing, whatever the figures say."""
        return (self.parallel or 0) > self.concurrency

    def keeps_up(self) -> bool:
        """Say whether the service took what was offered; a closed loop offers no more than is taken."""
        if self.stopped is not None or not self.figures:
            return False
        if self.load.loop is Loop.CLOSED:
            return True
        surely = self.figures["unserved_share"].low
        return surely is None or surely <= saturation.BEHIND

    def doubt(self, limits: Sequence[Limit]) -> str:
        """Say why a limit on a latency may not hold after all, by the upper bound of its figure; nothing: it holds."""
        upper = [(self.figures[limit.judged].high, limit) for limit in limits if limit.latency]
        if any(high is not None and high > limit.bound for high, limit in upper):
            return "; the limits hold within noise only: repeat with more repetitions before you rely on it"
        if unknown := [limit.text for high, limit in upper if high is None]:
            return f"; how surely {', '.join(unknown)} holds needs more requests, in three repetitions or more"
        return ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The knee, or why there is none. `against` says for each other step why it was not taken."""

    chosen: Measured | None
    reason: str
    against: Mapping[tuple[int | None, Load], str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a run's file."""
        if self.chosen is None:
            return {"chosen": None, "reason": self.reason}
        chosen = self.chosen
        return {
            "chosen": {
                "containerConcurrency": chosen.concurrency,
                "OLLAMA_NUM_PARALLEL": chosen.parallel,
                "load": chosen.load,
            },
            "reason": self.reason,
        }


def choose(measured: Sequence[Measured], limits: Sequence[Limit]) -> Choice:
    """Choose among what was measured; of an open loop's run, the closed step of the rule of thumb is no candidate."""
    loop = Loop.OPEN if any(each.load.loop is Loop.OPEN for each in measured) else Loop.CLOSED
    against = {(each.parallel, each.load): BESIDE for each in measured if each.load.loop != loop}
    measured = [each for each in measured if each.load.loop == loop]
    fit = []
    for each in measured:
        if why := _unfit(each, limits):
            against[each.parallel, each.load] = why
        else:
            fit.append(each)
    if not fit:
        return Choice(None, _nothing(measured, limits, against), against)
    best = max(each.throughput for each in fit)
    worth = [each for each in fit if each.throughput >= best * (1 - WORTH)]
    chosen = min(worth, key=lambda each: (each.load.level, each.idle_slots, each.begins_within, each.parallel or 0))
    for each in fit:
        if each is not chosen:
            against[each.parallel, each.load] = _less(each, chosen) if each in worth else "less throughput"
    reason = f"the least load whose throughput is within {WORTH:.0%} of the best that holds the limits"
    reason += chosen.doubt(limits)
    if rivals := [each for each in fit if each.load.level < chosen.load.level and _as_good(each, chosen)]:
        reason += f"; within noise {' and '.join(map(str, rivals))} may be as good: more repetitions would tell"
    if chosen.load == max(each.load for each in measured) and chosen.throughput == best:
        reason += "; it is the highest load that was tried: the knee may lie above it"
    return Choice(chosen, reason, against)


def _less(each: Measured, chosen: Measured) -> str:
    """Say why a step of as much throughput was not taken."""
    if each.load != chosen.load:
        return "as much throughput with more at once"
    if each.idle_slots and not chosen.idle_slots:
        return "more slots than requests at once"
    later = each.begins_within > chosen.begins_within
    return f"as much throughput, {'but its answers begin later' if later else 'with more slots'}"


def _as_good(each: Measured, chosen: Measured) -> bool:
    """Say whether the two intervals of throughput overlap; without intervals nothing can be said."""
    ours, theirs = each.figures["tokens_per_second"].high, chosen.figures["tokens_per_second"].low
    return ours is not None and theirs is not None and ours >= theirs


def _unfit(each: Measured, limits: Sequence[Limit]) -> str:
    if each.stopped is not None:
        return each.stopped
    if not each.figures:
        return "nothing was measured: no request went out in the window, for the answers outlast it; measure longer"
    if each.throughput <= 0:
        return "no answer was whole in the window: measure longer (--duration)"
    if broken := limits_.broken(each.figures, limits):
        return "breaks " + ", ".join(limit.text for limit in broken)
    return "" if each.keeps_up() else "does not keep up with what is offered"


def _nothing(
    measured: Sequence[Measured], limits: Sequence[Limit], against: Mapping[tuple[int | None, Load], str]
) -> str:
    if not any(each.figures for each in measured):
        return "nothing was measured"
    nearest = min((each for each in measured if each.figures), key=lambda each: (each.load.level, each.parallel or 0))
    why = against[nearest.parallel, nearest.load]
    wanted = ", ".join(limit.text for limit in limits)
    return (
        f"no load that was tried holds the limits ({wanted}): even {nearest.load} {why}; try less load, or wider limits"
    )
