"""The watch over a ready model: one check each period, that asks the runner itself and disturbs nobody."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from probe_agent.errors import OllamaError, RequestRefused, ServerTimeout
from probe_agent.ollama.types import ModelSpec
from probe_agent.readiness.backoff import ReloadLimit
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.startup import Startup
from probe_agent.readiness.states import ModelEvicted, Observation, RunnerLost
from probe_agent.settings import Settings

log = logging.getLogger(__name__)

# An empty load of a loaded model is answered in 2-4 ms, in 11 ms with all slots busy (FACTS: Ollama 0.32.15, two
# cores). One that takes this long is worth the question whether Ollama is starting the runner again.
UNDISTURBED_SECONDS = 0.1


class Monitor:
    """Checks a ready model. `/api/ps` tells context, device and pin; an empty load asks the runner itself."""

    def __init__(
        self,
        settings: Settings,
        record: Observed,
        clock: Callable[[], float],
        ascent: Startup,
        limit: ReloadLimit,
    ) -> None:
        self._settings = settings
        self._record = record
        self._clock = clock
        self._loads = ascent.loads
        self._residents = ascent.residents
        self._limit = limit
        self._embeds = ascent.embeds
        self._next = 0.0
        self._ask_after = 0.0

    def begin(self, now: float) -> None:
        """The model became ready: the first check is due a period later."""
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
            self._record.checks += 1
            self._record.check_seconds += now - started
            self._record.last_check = now

    async def _check(self, deadline: float) -> Observation | None:
        if finding := await self._residents.look(deadline - self._clock()):
            return finding
        for pin in self._record.pins:
            self._note_unpinned(pin)
            if self._clock() >= self._ask_after and (loss := await self._ask_runner(pin, deadline)):
                return loss
        return None

    def _note_unpinned(self, pin: ModelSpec) -> None:
        """Tell of a client's keep_alive; the empty load that asks the runner pins the model again."""
        if self._settings.pinned_forever and not self._record.resident[pin.name].pinned(datetime.now(UTC)):
            self._record.unpinned += 1
            log.info("a client un-pinned model %s; pinning it again", pin.name)

    async def _ask_runner(self, pin: ModelSpec, deadline: float) -> Observation | None:
        embeds = self._embeds(pin)
        try:
            if await self._loads.answered(pin, UNDISTURBED_SECONDS, embeds=embeds):
                return None
            if loss := await self._reloading(pin, deadline):
                return loss
            if await self._loads.answered(pin, max(0.0, deadline - self._clock()), embeds=embeds):
                return None
        except RequestRefused as refusal:
            return RunnerLost(reason=f"model {pin.name} no longer answers: {refusal.reason}", action=refusal.action)
        timeout = self._settings.timeout_seconds
        raise ServerTimeout(f"the runner of model {pin.name} did not answer within {timeout:g} s")

    async def _reloading(self, pin: ModelSpec, deadline: float) -> Observation | None:
        """Return what is wrong when a question makes Ollama load; a list that is blocked tells nothing.

        Either the runner was dead, or a client had reloaded it with options that `/api/ps` does not show
        (num_batch, num_thread, shift) and our question undid that. The second would be a fight if it happened
        each period, so what a question costs decides how soon the next one may follow.
        """
        try:
            finding = await self._residents.look(max(0.0, deadline - self._clock()))
        except OllamaError:
            return None
        if not isinstance(finding, ModelEvicted):
            return finding
        now = self._clock()
        self._ask_after = now + self._limit.wait(now)
        return RunnerLost(reason=f"the runner of model {pin.name} was gone; Ollama is starting it again")
