"""The monitor of a ready model: one check each period, which asks the runner itself and disturbs nobody."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from probe_agent.errors import OllamaError, RequestRefused, ServerTimeout
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec, StoredModel
from probe_agent.readiness.backoff import Backoff
from probe_agent.readiness.conditions import find_stored
from probe_agent.readiness.load_requests import LoadRequests
from probe_agent.readiness.loading import UNDISTURBED_SECONDS
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.running_models import RunningModels
from probe_agent.readiness.states import GOES_ON, UNMENDABLE, Kind, Observation
from probe_agent.settings import Settings

log = logging.getLogger(__name__)


class Monitor:
    """Checks a ready model. `/api/ps` shows context, device and expiry; an empty load asks the runner itself."""

    def __init__(
        self,
        settings: Settings,
        server: OllamaClient,
        observed: Observed,
        requests: LoadRequests,
        running: RunningModels,
        back_off: Backoff,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._server = server
        self._observed = observed
        self._requests = requests
        self._running = running
        self._back_off = back_off
        self._clock = clock
        self._next = 0.0
        self._ask_after = 0.0

    def begin(self, now: float) -> None:
        """Note that the model became ready: the first check is due a period later."""
        self._next = now + self._settings.period_seconds

    async def check(self) -> Observation | None:
        """Wait until a check is due and make it; None: all is well. Raises `OllamaError` when it fails."""
        await asyncio.sleep(max(0.0, self._next - self._clock()))
        started = self._clock()
        # From start to start, so that failures are counted a period apart whether they are quick or slow.
        self._next = started + self._settings.period_seconds
        try:
            return await self._check(started + self._settings.timeout_seconds)
        finally:
            now = self._clock()
            self._observed.checks += 1
            self._observed.check_seconds += now - started
            self._observed.last_check = now

    async def _check(self, deadline: float) -> Observation | None:
        if finding := await self._running.look(deadline - self._clock()):
            return finding
        for spec in self._observed.models:
            self._note_unpinned(spec)
            if self._clock() >= self._ask_after and (loss := await self._ask_runner(spec, deadline)):
                return loss
        return await self._read_again(deadline)

    def _note_unpinned(self, spec: ModelSpec) -> None:
        """Count a client's keep_alive; the empty load that asks the runner pins the model again."""
        if self._settings.pinned_forever and not self._observed.running[spec.name].pinned(datetime.now(UTC)):
            self._observed.unpinned += 1
            log.info("a client un-pinned model %s; pinning it again", spec.name)

    async def _ask_runner(self, spec: ModelSpec, deadline: float) -> Observation | None:
        try:
            if await self._requests.answered(spec, UNDISTURBED_SECONDS):
                return None
            if loss := await self._reloading(spec, deadline):
                return loss
            if await self._requests.answered(spec, max(0.0, deadline - self._clock())):
                return None
        except RequestRefused as refusal:
            return _lost(spec, f"model {spec.name} no longer answers: {refusal.reason}", refusal.action)
        timeout = self._settings.timeout_seconds
        raise ServerTimeout(f"the runner of model {spec.name} did not answer within {timeout:g} s")

    async def _reloading(self, spec: ModelSpec, deadline: float) -> Observation | None:
        """Return what is wrong when a question makes Ollama load; a list that is blocked shows nothing.

        Either the runner was dead, or a client had reloaded it with options that `/api/ps` does not show
        (num_batch, num_thread, shift) and our question undid that. The second would be ping-pong if it happened
        each period, so what a question costs decides how soon the next one may follow.
        """
        try:
            finding = await self._running.look(max(0.0, deadline - self._clock()))
        except OllamaError:
            return None
        if finding is None or finding.kind is not Kind.MODEL_EVICTED:
            return finding
        now = self._clock()
        self._ask_after = now + self._back_off.wait(now)
        return _lost(spec, f"the runner of model {spec.name} was gone; Ollama is starting it again")

    async def _read_again(self, deadline: float) -> Observation | None:
        """Read again what may change under a running model: Ollama's version, and the model behind its name.

        The runner has just answered: when these requests fail, what is known stays.
        """
        try:
            self._observed.ollama_version = await self._server.version(deadline - self._clock())
            stored = await self._server.stored_models(deadline - self._clock())
        except OllamaError:
            return None
        for spec in self._observed.models:
            found = find_stored(stored, spec)
            if isinstance(found, StoredModel):
                if replaced := self._replaced(spec, found):
                    return replaced
            elif found.kind in UNMENDABLE:
                return found
        return None

    def _replaced(self, spec: ModelSpec, found: StoredModel) -> Observation | None:
        """Return that another model now has the name: Ollama loads it at the next load, so it is to be proven."""
        before = self._observed.stored[spec.name]
        if found.digest == before.digest:
            return None
        self._observed.stored[spec.name] = replace(found, capabilities=found.capabilities or before.capabilities)
        reason = f"model {spec.name} was replaced under its name: it has digest {found.digest[:12]}, "
        reason += f"before {before.digest[:12]}"
        action = "Nothing: the agent loads the new one. To refuse others, set PROBE_AGENT_MODEL_DIGEST."
        return Observation(kind=Kind.MODEL_EVICTED, model=spec.name, reason=reason, action=action)


def _lost(spec: ModelSpec, reason: str, action: str = GOES_ON) -> Observation:
    return Observation(kind=Kind.RUNNER_LOST, model=spec.name, reason=reason, action=action)
