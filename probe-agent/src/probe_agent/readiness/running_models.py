"""The running models, as `/api/ps` lists them, compared with the wanted ones."""

import logging
from collections.abc import Callable
from dataclasses import replace

from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec, RunningModel
from probe_agent.readiness.conditions import evicted, find_running, judge_running
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.states import Kind, Observation
from probe_agent.settings import Settings
from probe_agent.variables import Device

log = logging.getLogger(__name__)

# What explains an eviction when it was observed shortly before it.
CAUSES = frozenset({Kind.CONTEXT_DRIFTED, Kind.RUNNER_LOST, Kind.RUNNER_SILENT})
# How long a cause is remembered, in periods.
REMEMBERED_PERIODS = 12


class RunningModels:
    """Looks at the list of running models. Time-outs are seconds for each request."""

    def __init__(
        self, settings: Settings, server: OllamaClient, observed: Observed, clock: Callable[[], float]
    ) -> None:
        self._gpu = settings.device is Device.GPU
        self._server = server
        self._observed = observed
        self._clock = clock
        self._remember_seconds = REMEMBERED_PERIODS * settings.period_seconds
        self._cause: tuple[Observation, float] | None = None

    def remember(self, observation: Observation) -> None:
        """Keep an observation that may explain a later eviction."""
        if observation.kind in CAUSES:
            self._cause = observation, self._clock()

    async def look(self, timeout: float) -> Observation | None:
        """Note what is running; return the first thing that is not as wanted, or None."""
        listed = await self._server.running_models(timeout)
        found = {spec.name: self._find(listed, spec) for spec in self._observed.models}
        self._observed.running = {name: model for name, model in found.items() if model is not None}
        for spec in self._observed.models:
            if finding := self._judge(spec, listed):
                return finding
        return None

    async def look_for_aliases(self, timeout: float) -> Observation | None:
        """Look once more, after a load that succeeded: a model that is not listed may run under another tag's name.

        Tags of one blob share a runner, which keeps the name that it was first loaded by.
        """
        listed = await self._server.running_models(timeout)
        for spec in self._observed.models:
            if spec.name not in self._observed.running:
                await self._find_alias(spec, [model.name for model in listed], timeout)
        return await self.look(timeout)

    async def _find_alias(self, spec: ModelSpec, names: list[str], timeout: float) -> None:
        own = await self._server.show(spec.name, timeout)
        for name in names:
            if (await self._server.show(name, timeout)).blob == own.blob:
                log.info("model %s runs under the name %s, which shares its weights", spec.name, name)
                self._observed.aliases[spec.name] = name
                return

    def _find(self, listed: list[RunningModel], spec: ModelSpec) -> RunningModel | None:
        return find_running(listed, spec, self._observed.aliases.get(spec.name))

    def _judge(self, spec: ModelSpec, listed: list[RunningModel]) -> Observation | None:
        model = self._observed.running.get(spec.name)
        if model is None:
            return self._explained(evicted(spec, listed))
        return judge_running(model, spec, num_ctx=self._observed.num_ctx(spec), gpu=self._gpu)

    def _explained(self, eviction: Observation) -> Observation:
        """Add what was observed shortly before: an eviction is often the symptom of another fault."""
        if self._cause is None:
            return eviction
        cause, at = self._cause
        if cause.model != eviction.model or self._clock() - at > self._remember_seconds:
            return eviction
        return replace(eviction, reason=f"{eviction.reason}; shortly before: {cause.reason}", action=cause.action)
