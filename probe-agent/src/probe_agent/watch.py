"""The watch over a ready model: one check each period, that asks the runner itself and disturbs nobody."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from probe_agent.ascent import Ascent
from probe_agent.errors import OllamaError, RequestRefused, ServerTimeout
from probe_agent.ollama_server import OllamaServer
from probe_agent.policy import ReloadLimit
from probe_agent.proof import ModelPin, ResidentModel, find_all_resident, find_resident
from probe_agent.readiness import Observation, RunnerLost
from probe_agent.record import Record
from probe_agent.settings import Device, Settings

log = logging.getLogger(__name__)

# An empty load of a loaded model is answered in 2-4 ms, in 11 ms with all slots busy (FACTS: Ollama 0.32.15, two
# cores). One that takes this long is worth the question whether Ollama is starting the runner again.
UNDISTURBED_SECONDS = 0.1


class Watch:
    """Checks a ready model. `/api/ps` tells context, device and pin; an empty load asks the runner itself."""

    def __init__(
        self,
        settings: Settings,
        server: OllamaServer,
        record: Record,
        clock: Callable[[], float],
        ascent: Ascent,
        limit: ReloadLimit,
    ) -> None:
        self._settings = settings
        self._server = server
        self._record = record
        self._clock = clock
        self._loads = ascent.loads
        self._limit = limit
        self._embeds = ascent.embeds
        self._next = 0.0

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
        listed = await self._server.resident_models(deadline - self._clock())
        found = find_all_resident(listed, self._record.pins, gpu=self._settings.device is Device.GPU)
        if isinstance(found, Observation):
            return found
        self._record.resident = found
        for pin in self._record.pins:
            if self._may_ask(pin, found[pin.name]) and (loss := await self._ask_runner(pin, deadline)):
                return loss
        return None

    def _may_ask(self, pin: ModelPin, model: ResidentModel) -> bool:
        """Whether an empty load is harmless, or its harm due.

        A model without its pin was un-pinned by a client, or reloaded by one whose options `/api/ps` does not
        show (num_batch, num_thread, shift). The load pins it again, but in the second case it makes Ollama
        reload, which would be a fight if it happened each period.
        """
        if not self._settings.pinned_forever or model.pinned(datetime.now(UTC)):
            return True
        if not self._limit.is_calm(self._clock()):
            return False
        self._limit.wait(self._clock())
        self._record.unpinned += 1
        log.info("a client un-pinned model %s; pinning it again", pin.name)
        return True

    async def _ask_runner(self, pin: ModelPin, deadline: float) -> Observation | None:
        embeds = self._embeds(pin)
        try:
            if await self._loads.answered(pin, UNDISTURBED_SECONDS, embeds=embeds):
                return None
            if await self._gone_from_list(pin, deadline):
                return RunnerLost(reason=f"the runner of model {pin.name} was gone; Ollama is starting it again")
            if await self._loads.answered(pin, max(0.0, deadline - self._clock()), embeds=embeds):
                return None
        except RequestRefused as refusal:
            return self._refused(pin, refusal)
        timeout = self._settings.timeout_seconds
        raise ServerTimeout(f"the runner of model {pin.name} did not answer within {timeout:g} s")

    async def _gone_from_list(self, pin: ModelPin, deadline: float) -> bool:
        """Whether Ollama has taken the model off its list to start it anew; a blocked list tells nothing."""
        try:
            listed = await self._server.resident_models(max(0.0, deadline - self._clock()))
        except OllamaError:
            return False
        return isinstance(find_resident(listed, pin, gpu=False), Observation)

    def _refused(self, pin: ModelPin, refusal: RequestRefused) -> Observation:
        return RunnerLost(reason=f"model {pin.name} no longer answers: {refusal.reason}", action=refusal.action)
