"""What is loaded, as `/api/ps` lists it, held against what is wanted."""

import logging
from dataclasses import replace

from probe_agent.errors import RequestRefused
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec
from probe_agent.readiness.conditions import context_unattainable, judge, present
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.states import ContextDrifted, ModelEvicted, Observation
from probe_agent.settings import Device, Settings

log = logging.getLogger(__name__)


class RunningModels:
    """Looks at the list of loaded models. Time-outs are seconds for each question."""

    def __init__(self, settings: Settings, server: OllamaClient, record: Observed) -> None:
        self._gpu = settings.device is Device.GPU
        self._server = server
        self._record = record

    async def look(self, timeout: float) -> Observation | None:
        """Note what is loaded; return the first thing that is not as wanted, or None."""
        listed = await self._server.running_models(timeout)
        self._record.resident = present(listed, self._record.pins)
        return judge(self._record.resident, self._record.pins, gpu=self._gpu, listed=listed)

    async def look_after_load(self, timeout: float) -> Observation | None:
        """Look like `look`, when a load of every model has just succeeded: some findings then mean another thing."""
        finding = await self.look(timeout)
        if isinstance(finding, ModelEvicted) and await self._find_aliases(timeout):
            finding = await self.look(timeout)
        if isinstance(finding, ContextDrifted):
            return await self._blame(finding, timeout)
        return finding

    async def _find_aliases(self, timeout: float) -> bool:
        """Look whether a model that is not listed runs under the name of another tag of the same weights."""
        names = [model.name for model in await self._server.running_models(timeout)]
        absent = [pin for pin in self._record.pins if pin.name not in self._record.resident]
        aliases = {pin.name: alias for pin in absent if (alias := await self._alias(pin, names, timeout))}
        self._record.pins = tuple(
            replace(pin, alias=aliases[pin.name]) if pin.name in aliases else pin for pin in self._record.pins
        )
        return bool(aliases)

    async def _alias(self, pin: ModelSpec, names: list[str], timeout: float) -> str | None:
        own = await self._server.show(pin.name, timeout)
        for name in names:
            if (await self._server.show(name, timeout)).blob == own.blob:
                log.info("model %s runs under the name %s, which shares its weights", pin.name, name)
                return name
        return None

    async def _blame(self, drift: ContextDrifted, timeout: float) -> Observation:
        """Tell a context that is all the model has from one that a client asked for meanwhile.

        Ollamas from 0.30 on tell the trained context before the load, in `/api/tags`, and never come here with less.
        """
        pin = next(pin for pin in self._record.pins if pin.name == drift.model)
        try:
            trained = (await self._server.show(pin.name, timeout)).trained_context
        except RequestRefused:
            return drift
        if trained is not None and pin.num_ctx is not None and trained < pin.num_ctx:
            return context_unattainable(pin, trained)
        return drift
