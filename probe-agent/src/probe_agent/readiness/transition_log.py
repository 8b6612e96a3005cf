"""How changes of state are logged."""

import logging
from dataclasses import dataclass, field

from probe_agent.readiness.backoff import FailureStreak
from probe_agent.readiness.cold_start import Waterfall
from probe_agent.readiness.states import Readiness, ReadinessState

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TransitionLog:
    """Keeps changes until they are written, because probes are answered first; sums up equal reasons in one line."""

    _kept: list[tuple[Readiness, Readiness, float]] = field(default_factory=list)
    _repeats: FailureStreak = field(default_factory=lambda: FailureStreak(logged=1))

    def keep(self, before: Readiness, after: Readiness, at: float) -> None:
        """Note what an observation changed, at a time in seconds."""
        self._kept.append((before, after, at))

    def write(self, waterfall: Waterfall) -> None:
        """Log everything that was kept; the `waterfall` at the first READY."""
        kept, self._kept = self._kept, []
        for before, after, at in kept:
            if after.state is before.state:
                self._repeat(before, after, at)
            else:
                self._transition(before, after, at)
            if after.ready and not before.startup_passed:
                log.info("cold start: %s", waterfall)

    def _transition(self, before: Readiness, after: Readiness, at: float) -> None:
        if summary := self._repeats.end(at):
            log.info("no more of: %s", summary)
        line = f"{before.state} -> {after.state}: {after.reason}"
        if after.state is ReadinessState.FAILED:
            log.error("%s. %s", line, after.action)
        elif before.ready and not after.terminal:
            log.warning("%s. %s", line, after.action)
        else:
            log.info("%s", line)

    def _repeat(self, before: Readiness, after: Readiness, at: float) -> None:
        if summary := self._repeats.fail(after.reason, at):
            log.info("no more of: %s", summary)
        if after.reason != before.reason:
            log.warning("still %s: %s. %s", after.state, after.reason, after.action)
