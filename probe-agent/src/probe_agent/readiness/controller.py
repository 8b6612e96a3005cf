"""The one task that owns the state: it runs the step of each state and applies what the step observed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from probe_agent.errors import OllamaError, ServerTimeout
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.cold_start import Phase
from probe_agent.readiness.loading import Loading
from probe_agent.readiness.monitor import Monitor
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.reload_policy import ReloadPolicy
from probe_agent.readiness.running_models import RunningModels
from probe_agent.readiness.server_health import ServerHealth
from probe_agent.readiness.startup import Startup
from probe_agent.readiness.states import LOST, Kind, Observation, Readiness, ReadinessState
from probe_agent.readiness.transition_log import TransitionLog
from probe_agent.readiness.view import ReadinessView, view_of
from probe_agent.readiness.warmup import WarmUp
from probe_agent.settings import Settings
from probe_agent.sources.fetch import Fetch, Source

log = logging.getLogger(__name__)

# After a step that failed before READY: soon enough to lose no time, seldom enough to burden nobody.
RETRY_SECONDS = 0.5
# Held probes are answered within a few milliseconds of READY; writing the lines about it first would delay them.
ANSWER_FIRST_SECONDS = 0.02
# A working controller moves at least once in a check; five checks without a move are a fault, not a delay.
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
        self.source = source
        self.readiness = Readiness.initial(f"waiting for Ollama at {server.url}", now)
        self.observed = observed = Observed.begin(now, settings.models)
        self.health = health = ServerHealth(settings, server, clock, observed.failures)
        self._clock = clock
        self._settled = asyncio.Event()
        self._moved = now
        self._pause = 0.0
        self._log = TransitionLog()
        self._task: asyncio.Task[None] | None = None
        fetch = None if source is None else Fetch(source, [spec.name for spec in settings.models])
        self._running = running = RunningModels(settings, server, observed, clock)
        self._startup = Startup(settings, server, observed, health, clock, fetch)
        self._loading = Loading(settings, server, observed, health, running, clock)
        self._requests = self._loading.requests
        self._policy = ReloadPolicy(settings, running, health, clock)
        self._monitor = Monitor(settings, server, observed, self._requests, running, self._policy.back_off, clock)
        self._steps: dict[ReadinessState, Callable[[], Awaitable[Observation | None]]] = {
            ReadinessState.UNREACHABLE: self._connect,
            ReadinessState.VERIFYING: self._startup.verify,
            ReadinessState.FETCHING: self._startup.fetch,
            ReadinessState.LOADING: self._load,
            ReadinessState.WARMING: WarmUp(settings, server, observed, health, running, clock).warm,
            ReadinessState.READY: self._monitor.check,
        }

    def view(self) -> ReadinessView:
        """Return a snapshot for everyone who reads."""
        return view_of(
            self.readiness,
            self.observed,
            self.settings,
            self.source,
            alive=self._alive(),
            now=self._clock(),
            failures_in_a_row=self.health.failures_in_a_row,
        )

    async def settled(self) -> None:
        """Return once the startup has passed, or never will."""
        await self._settled.wait()

    def _alive(self) -> bool:
        """Whether this task makes progress; says nothing about Ollama."""
        if self.readiness.terminal:
            return self.readiness.kind is not Kind.AGENT_FAULT
        one_check = self.settings.period_seconds + 2 * self.settings.timeout_seconds
        moved = max(self._moved, self.health.last_progress)
        return self._clock() - moved < MISSED_CHECKS * one_check + self._pause

    async def run(self) -> None:
        """Bring the model to READY and monitor it, until a terminal state or `stop`."""
        self._task = asyncio.current_task()
        try:
            while not self.readiness.terminal:
                await self._advance()
        except asyncio.CancelledError:
            if self.readiness.state is not ReadinessState.STOPPING:
                raise
        except Exception as error:
            log.exception("the agent has a fault; this is a bug")
            if not self.readiness.terminal:
                action = "Restart the instance, and report the traceback in the agent's log."
                reason = f"the agent has a fault: {error!r}"
                self._observe(Observation(kind=Kind.AGENT_FAULT, reason=reason, action=action))
        finally:
            self._log.write(self.observed.waterfall)
            await self._requests.abandon()
            await self._startup.abandon()

    def stop(self, reason: str) -> None:
        """End in STOPPING, at once and for good; every held probe is answered."""
        action = "Nothing: the instance is being shut down."
        self._observe(Observation(kind=Kind.STOP_REQUESTED, reason=reason, action=action))
        if self._task is not None:
            self._task.cancel()

    async def _advance(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = 0.0
        self._log.write(self.observed.waterfall)
        self._moved = self._clock()
        try:
            observation = await self._steps[self.readiness.state]()
        except OllamaError as error:
            observation = self._failed(error)
        else:
            if observation is None or observation.kind is not Kind.SERVER_DOWN:
                self.health.answered()
        if observation is not None:
            self._observe(observation)

    async def _connect(self) -> Observation:
        await self._requests.abandon()
        return await self._startup.connect()

    async def _load(self) -> Observation:
        return await self._policy.wait() or await self._loading.load()

    def _failed(self, error: OllamaError) -> Observation | None:
        """Count a failed step; from the threshold on it is an observation."""
        ready = self.readiness.ready
        if not self.health.failed(error):
            self._pause = 0.0 if ready else min(RETRY_SECONDS, self.settings.period_seconds)
            return None
        kind = Kind.RUNNER_SILENT if ready and isinstance(error, ServerTimeout) else Kind.SERVER_DOWN
        reason = f"{error.reason} ({self.health.failures_in_a_row} failures in a row)"
        return Observation(kind=kind, reason=reason, action=error.action)

    def _observe(self, observation: Observation) -> None:
        before, now = self.readiness, self._clock()
        self.readiness = after = before.after(observation, now)
        if after.state is not before.state:
            self.observed.transitions[before.state, after.state] += 1
        self._log.keep(before, after, now)
        self._prepare(observation, now)
        if self.view().settled:
            self._settled.set()
        if after.ready:
            self._pause = ANSWER_FIRST_SECONDS
        else:
            self._log.write(self.observed.waterfall)

    def _prepare(self, observation: Observation, now: float) -> None:
        """Decide what an observation means for the next step: when to check, to load, or to try again."""
        kind = observation.kind
        self._running.remember(observation)
        if self.readiness.ready:
            self.observed.mark(Phase.READY, now)
            self._monitor.begin(now)
            self._policy.ready()
        elif kind in (Kind.MODEL_ABSENT, Kind.FETCH_FAILED):
            self._pause = self.settings.period_seconds
        elif kind is Kind.SERVER_DOWN:
            self._policy.server_down()
        elif (kind in LOST or kind is Kind.LOAD_FAILED) and self._policy.lost(
            kind,
            startup_passed=self.readiness.startup_passed,
            loading=self._requests.pending,
            load_seconds=self.observed.waterfall.seconds(Phase.LOAD) or 0.0,
        ):
            self.observed.reloads[kind] += 1
