"""The one task that owns the state: connect, verify, load, warm, watch; everyone else reads."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from probe_agent.errors import OllamaError, ServerTimeout
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.backoff import FailureStreak, ReloadLimit
from probe_agent.readiness.cold_start import Phase
from probe_agent.readiness.monitor import Monitor
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.startup import Startup
from probe_agent.readiness.states import (
    LOST,
    AgentFault,
    ContextDrifted,
    FetchFailed,
    LoadFailed,
    ModelAbsent,
    ModelEvicted,
    Observation,
    OffloadedToCpu,
    Readiness,
    ReadinessState,
    RunnerLost,
    ServerDown,
    StopRequested,
)
from probe_agent.readiness.view import ModelView, ReadinessView
from probe_agent.settings import DriftPolicy, Settings
from probe_agent.sources.fetch import Fetch
from probe_agent.sources.source import Source

log = logging.getLogger(__name__)

# After a failed step on the way up: soon enough to lose no time, seldom enough to burden nobody.
RETRY_SECONDS = 0.5
# Reload limits, in periods: the second reload waits one, none more than twelve; twelve without one are calm.
LONGEST_WAIT_PERIODS = 12
CALM_PERIODS = 12
# Held probes are answered within a few milliseconds of READY; writing the lines about it first would cost them one.
ANSWER_FIRST_SECONDS = 0.02
# A working supervisor moves at least once in a check; five checks without a move are no delay but a fault.
MISSED_CHECKS = 5


class Controller:
    """Owns the readiness of one instance. `run` is its only writer; `stop` is called from the same event loop.

    `source` is where models come from that are not in the image. `clock` is monotonic, in seconds; `started` is its
    reading when the agent started.
    """

    def __init__(
        self,
        settings: Settings,
        server: OllamaClient,
        *,
        source: Source | None = None,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ) -> None:
        now = clock() if started is None else started
        self.settings = settings
        self.readiness = Readiness.initial(f"waiting for Ollama at {server.url}", now)
        self.record = Observed.begin(now, settings.models)
        self._settled = asyncio.Event()
        self.clock = clock
        self._moved = now
        self._pause = 0.0
        self._untold: list[tuple[Readiness, Readiness, float]] = []
        self._load_at = now
        self._listed_is_well = False
        self._broken = False
        self._task: asyncio.Task[None] | None = None
        self._failures = FailureStreak()
        self._repeats = FailureStreak(told=1)
        period = settings.period_seconds
        self._limit = ReloadLimit(period, LONGEST_WAIT_PERIODS * period, CALM_PERIODS * period)
        self.source = source
        fetch = None if source is None else Fetch(source, [pin.name for pin in settings.models])
        self._ascent = Startup(settings, server, self.record, clock, self._heard, fetch)
        self._watch = Monitor(settings, self.record, clock, self._ascent, self._limit)
        self._steps: dict[ReadinessState, Callable[[], Awaitable[Observation | None]]] = {
            ReadinessState.UNREACHABLE: self._ascent.connect,
            ReadinessState.VERIFYING: self._ascent.verify,
            ReadinessState.FETCHING: self._ascent.fetch,
            ReadinessState.LOADING: self._load,
            ReadinessState.WARMING: lambda: self._ascent.warm(self.readiness.epoch),
            ReadinessState.READY: self._watch.check,
        }

    def view(self) -> ReadinessView:
        """Return a snapshot for everyone who reads."""
        readiness, record = self.readiness, self.record
        source = self.source
        return ReadinessView(
            state=readiness.state,
            reason=readiness.reason,
            action=readiness.action,
            since=readiness.since,
            epoch=readiness.epoch,
            startup_passed=readiness.latched,
            ready=readiness.ready,
            settled=readiness.latched or readiness.terminal,
            alive=self.alive(),
            now=self.clock(),
            started=record.started,
            startup_hold_seconds=self.settings.startup_hold_seconds,
            ollama_url=self.settings.ollama_url,
            ollama_version=record.ollama_version,
            models=tuple(
                ModelView(
                    name=pin.name,
                    num_ctx=pin.num_ctx,
                    stored=record.stored.get(pin.name),
                    running=record.resident.get(pin.name),
                )
                for pin in record.pins
            ),
            waterfall=record.waterfall,
            source_name=source.name if source else None,
            source_progress=source.progress.snapshot() if source else None,
            failures_in_a_row=self.failures_in_a_row,
            last_check=record.last_check,
            transitions=dict(record.transitions),
            failures=dict(record.failures),
            reloads=dict(record.reloads),
            checks=record.checks,
            check_seconds=record.check_seconds,
            unpinned=record.unpinned,
            warmup_prompts=record.warmup_prompts,
            warmup_refused=record.warmup_refused,
            restored_slots=record.restored_slots,
        )

    async def settled(self) -> None:
        """Return once the startup has passed, or never will."""
        await self._settled.wait()

    @property
    def failures_in_a_row(self) -> int:
        """How many checks or steps failed since one succeeded."""
        return self._failures.count

    def alive(self) -> bool:
        """Whether the supervisor itself makes progress; says nothing of Ollama."""
        one_check = self.settings.period_seconds + 2 * self.settings.timeout_seconds
        patience = MISSED_CHECKS * one_check + self._pause
        return not self._broken and (self.readiness.terminal or self.clock() - self._moved < patience)

    async def run(self) -> None:
        """Drive the model up and watch it, until a terminal state or `stop`."""
        self._task = asyncio.current_task()
        try:
            while not self.readiness.terminal:
                await self._advance()
        except asyncio.CancelledError:
            if self.readiness.state is not ReadinessState.STOPPING:
                raise
        except Exception as error:
            log.exception("the agent broke; this is a bug")
            self._broken = True
            if not self.readiness.terminal:
                self._observe(AgentFault(reason=f"the agent broke: {error!r}"))
        finally:
            self._tell()
            await self._ascent.abandon()

    def stop(self, reason: str) -> None:
        """End in STOPPING, at once and for good; every held probe is let go."""
        self._observe(StopRequested(reason=reason, action="Nothing: the instance is being shut down."))
        if self._task is not None:
            self._task.cancel()

    async def _advance(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = 0.0
        self._tell()
        self._moved = self.clock()
        try:
            observation = await self._steps[self.readiness.state]()
        except OllamaError as error:
            observation = self._trouble(error)
        else:
            if not isinstance(observation, ServerDown):
                self._heard(None)
        if observation is not None:
            self._observe(observation)

    async def _load(self) -> Observation:
        drift = await self._ascent.wait(self._load_at, listed_is_well=self._listed_is_well, hands_off=self._hands_off)
        return drift or await self._ascent.load(self.readiness.epoch)

    def _heard(self, error: OllamaError | None) -> bool:
        """Note that Ollama did (None) or did not answer; return whether it has failed too often in a row."""
        now = self._moved = self.clock()
        if error is None:
            over = self._failures.end(now)
        else:
            if self.readiness.state is not ReadinessState.UNREACHABLE:  # there, failing is only waiting
                self.record.failures[type(error).__name__] += 1
            over = self._failures.fail(error.reason, now)
        if over:
            log.info("no more of: %s", over)
        return self._failures.count >= self.settings.failure_threshold

    def _trouble(self, error: OllamaError) -> Observation | None:
        """Count a failed step; from the threshold on it is an observation."""
        watching = self.readiness.ready
        if not self._heard(error):
            self._pause = 0.0 if watching else min(RETRY_SECONDS, self.settings.period_seconds)
            return None
        reason = f"{error.reason} ({self._failures.count} failures in a row)"
        if watching and isinstance(error, ServerTimeout):
            return RunnerLost(reason=reason, action=error.action, silent=True)
        return ServerDown(reason=reason, action=error.action)

    def _observe(self, observation: Observation) -> None:
        before, now = self.readiness, self.clock()
        self.readiness = after = before.after(observation, now)
        if after.ready:
            self.record.mark(Phase.READY, now)
            self._watch.begin(now)
        if after.latched or after.terminal:
            self._settled.set()
        if isinstance(observation, (ModelAbsent, FetchFailed)):
            self._pause = self.settings.period_seconds
        elif isinstance(observation, (*LOST, LoadFailed)):
            self._load_at = now + self._wait_to_load(observation, now)
            self._listed_is_well = _shown_by_the_list(observation)
        elif isinstance(observation, ServerDown):
            self._load_at = now
        if after.state is not before.state:
            self.record.transitions[before.state, after.state] += 1
        self._untold.append((before, after, now))
        if after.ready:
            self._pause = ANSWER_FIRST_SECONDS
        else:
            self._tell()

    def _wait_to_load(self, observation: Observation, now: float) -> float:
        period = self.settings.period_seconds
        if self._hands_off and isinstance(observation, ContextDrifted):
            return period  # nothing is going to be loaded, only looked at again
        self.record.reloads[type(observation).__name__] += 1
        if self._ascent.loads.pending:  # Ollama is reloading already: waiting would only delay the proof
            return 0.0
        wait = self._limit.wait(now)
        if self._hands_off and isinstance(observation, ModelEvicted):
            # A client's reload looks like an eviction until it is done; twice our own load tells the two apart.
            return max(wait, period + 2 * (self.record.waterfall.seconds(Phase.LOAD) or 0.0))
        return wait

    @property
    def _hands_off(self) -> bool:
        """Whether a client's context is left alone; before the first READY there are no clients to respect."""
        return self.readiness.latched and self.settings.context_drift is DriftPolicy.REPORT

    def _tell(self) -> None:
        """Write the lines about what was observed since the last time."""
        untold, self._untold = self._untold, []
        for before, after, at in untold:
            tell = _tell_repeat if after.state is before.state else _tell_transition
            tell(self._repeats, before, after, at)
            if after.ready and not before.latched:
                log.info("cold start: %s", self.record.waterfall)


def _shown_by_the_list(observation: Observation) -> bool:
    """Whether what was lost is back as soon as `/api/ps` lists it: a silent runner blocks the list, a dead one not."""
    if isinstance(observation, RunnerLost):
        return observation.silent
    return isinstance(observation, (ContextDrifted, ModelEvicted, OffloadedToCpu))


def _tell_transition(repeats: FailureStreak, before: Readiness, after: Readiness, at: float) -> None:
    if over := repeats.end(at):
        log.info("no more of: %s", over)
    line = f"{before.state} -> {after.state}: {after.reason}"
    if after.state is ReadinessState.FAILED:
        log.error("%s. %s", line, after.action)
    elif before.ready and not after.terminal:
        log.warning("%s. %s", line, after.action)
    else:
        log.info("%s", line)


def _tell_repeat(repeats: FailureStreak, before: Readiness, after: Readiness, at: float) -> None:
    if over := repeats.fail(after.reason, at):
        log.info("no more of: %s", over)
    if after.reason != before.reason:
        log.warning("still %s: %s. %s", after.state, after.reason, after.action)
