"""The load and its proof: every model is loaded as wanted and generates."""

import http
from collections.abc import Callable

from probe_agent.errors import BadAnswer, RequestRefused, ServerTimeout
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec
from probe_agent.readiness.cold_start import Phase
from probe_agent.readiness.conditions import not_given
from probe_agent.readiness.load_requests import LoadRequests
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.running_models import RunningModels
from probe_agent.readiness.server_health import ServerHealth
from probe_agent.readiness.states import Kind, Observation
from probe_agent.settings import Settings

DAMAGED = "The model's files are missing or damaged, or memory is short: see Ollama's log; rebuild or fetch the model."
# An empty load of a loaded model is answered in 2-4 ms, in 11 ms with all slots busy (measured: Ollama 0.32.15, two
# cores). One that takes longer than this makes Ollama load.
UNDISTURBED_SECONDS = 0.1
# Longest time in which such loads of all models and one look are answered without a reload, on a busy machine too.
CONFIRM_SECONDS = 0.5
# A context that this many further loads leave as it is, each answered without a reload, is the server's own.
CONFIRMATIONS = 2


class Loading:
    """Loads and proves every model. `requests` and `running` are shared with the monitor."""

    def __init__(
        self,
        settings: Settings,
        server: OllamaClient,
        observed: Observed,
        health: ServerHealth,
        running: RunningModels,
        clock: Callable[[], float],
    ) -> None:
        self.requests = LoadRequests(server, observed, settings.startup_timeout_seconds)
        self._server = server
        self._observed = observed
        self._health = health
        self._running = running
        self._clock = clock
        self._budget = settings.startup_timeout_seconds

    async def load(self) -> Observation:
        """Load every model and prove that it answers."""
        finding = await self._load_and_look()
        if finding is not None and finding.kind is Kind.CONTEXT_DRIFTED and not self._was_ready:
            finding = await self._load_again(finding)
        if finding is not None:
            return finding
        size = sum(model.size_bytes for model in self._observed.stored.values())
        self._observed.mark(Phase.LOAD, self._clock(), loaded_bytes=size)
        return await self._prove()

    @property
    def _was_ready(self) -> bool:
        return self._observed.waterfall.at(Phase.READY) is not None

    async def _load_and_look(self) -> Observation | None:
        for spec in self._observed.models:
            if failure := await self._load_one(spec):
                return failure
        finding = await self._health.while_alive(self._running.look(self._budget))
        if finding is not None and finding.kind is Kind.MODEL_EVICTED:
            finding = await self._health.while_alive(self._running.look_for_aliases(self._budget))
        return finding

    async def _load_again(self, drift: Observation) -> Observation | None:
        """Tell a context that the server itself gives from one that a client has asked for meanwhile.

        Another load undoes a client's context, by a reload. It leaves the server's own as it is, and answers at once.
        After the first READY this question is settled: the server has given the wanted context, so a client changed it,
        and further loads at once would only ping-pong with that client.
        """
        for _ in range(CONFIRMATIONS):
            began = self._clock()
            finding = await self._load_and_look()
            if finding != drift or self._clock() - began > CONFIRM_SECONDS:
                return finding
        spec = next(spec for spec in self._observed.models if spec.name == drift.model)
        given, wanted = self._observed.running[spec.name].context_length, self._observed.num_ctx(spec)
        assert given is not None  # noqa: S101 — there is no drift without a context
        assert wanted is not None  # noqa: S101
        return not_given(spec, wanted, given, self._observed.stored[spec.name].trained_context)

    async def _load_one(self, spec: ModelSpec) -> Observation | None:
        try:
            await self._health.while_alive(self.requests.answered(spec))
        except RequestRefused as refusal:
            if refusal.status == http.HTTPStatus.NOT_FOUND:
                action = f"Put model {spec.name} into Ollama's store again."
                return Observation(kind=Kind.MODEL_ABSENT, reason=refusal.reason, action=action)
            return _failed(f"model {spec} did not load: {refusal.reason}")
        except (BadAnswer, ServerTimeout) as error:
            return _failed(f"model {spec} did not load: {error.reason}", error.action)
        return None

    async def _prove(self) -> Observation:
        tokens = []
        for spec in self._observed.models:
            try:
                request = self._server.prove(
                    spec.name, self._observed.num_ctx(spec), self._budget, embeds=self._observed.embeds(spec)
                )
                tokens.append(await self._health.while_alive(request))
            except (RequestRefused, BadAnswer, ServerTimeout) as error:
                return _failed(f"model {spec} is loaded but does not answer: {error.reason}")
            if tokens[-1] < 1:
                return _failed(f"model {spec} is loaded but generated nothing")
        self._observed.mark(Phase.FIRST_TOKEN, self._clock())
        self._observed.keep_contexts()
        return Observation(kind=Kind.MODEL_LOADED, reason=f"warming {self._observed.names()}", tokens=tuple(tokens))


def _failed(reason: str, action: str = DAMAGED) -> Observation:
    return Observation(kind=Kind.LOAD_FAILED, reason=reason, action=action)
