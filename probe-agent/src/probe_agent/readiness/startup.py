"""The startup up to the load: connect, fetch, verify. Each step ends in one observation, or raises `OllamaError`."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from probe_agent.errors import BadAnswer, BlobDamaged, OllamaError, RequestRefused, SourceError
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec, StoredModel
from probe_agent.readiness.cold_start import Phase
from probe_agent.readiness.conditions import find_stored, judge_stored
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.server_health import ServerHealth
from probe_agent.readiness.states import Kind, Observation
from probe_agent.settings import Settings
from probe_agent.sources.fetch import Fetch

# The load starts the moment the API answers. A try costs 0.1 ms (measured), so this pace costs little.
CONNECT_RETRY_SECONDS = 0.005
DISAGREE = "Nothing if the model was just replaced; else let OLLAMA_MODELS and PROBE_AGENT_MODEL_STORE agree."


class Startup:
    """The steps from an unreachable server to verified models. `fetch` is None where the models are in the image."""

    def __init__(
        self,
        settings: Settings,
        server: OllamaClient,
        observed: Observed,
        health: ServerHealth,
        clock: Callable[[], float],
        fetch: Fetch | None = None,
    ) -> None:
        self._settings = settings
        self._server = server
        self._observed = observed
        self._health = health
        self._clock = clock
        self._fetch = fetch
        self._budget = settings.startup_timeout_seconds
        self._http_ready = False
        self._listing: asyncio.Future[list[StoredModel]] | None = None

    async def connect(self) -> Observation:
        """Try until Ollama's API answers; after each period without an answer, return why there is none."""
        await self._forget_listing()
        if self._fetch is not None and not self._fetch.source.needs_server:
            self._fetch.begin()  # while Ollama starts
        self._observed.running = {}
        until = self._clock() + self._settings.period_seconds
        while True:
            try:
                return await self._greet()
            except OllamaError as error:
                self._health.failed(error, starting=True)
                if self._clock() >= until:
                    return Observation(kind=Kind.SERVER_DOWN, reason=error.reason, action=error.action)
            if not self._http_ready:
                # Send one throw-away request, so that httpx finishes its lazy imports (18 ms, measured) before a load
                # depends on it.
                self._http_ready = True
                await self._health.sign_of_life()
            await asyncio.sleep(CONNECT_RETRY_SECONDS)

    async def _greet(self) -> Observation:
        timeout = self._settings.timeout_seconds
        await self._server.connect(timeout)
        self._observed.mark(Phase.PORT_OPEN, self._clock())
        # Both are asked together: a server that is still starting answers both at once.
        await self._forget_listing()
        self._listing = asyncio.ensure_future(self._server.stored_models(self._budget))
        version = await self._server.version(timeout)
        self._observed.mark(Phase.API_ANSWERS, self._clock())
        self._observed.ollama_version = version
        return Observation(kind=Kind.SERVER_UP, reason=f"Ollama {version} answers at {self._server.url}")

    async def _forget_listing(self) -> None:
        listing, self._listing = self._listing, None
        if listing is not None:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    async def abandon(self) -> None:
        """Drop everything that is under way: the agent stops."""
        await self._forget_listing()
        if self._fetch is not None:
            await self._fetch.abandon()

    async def fetch(self) -> Observation:
        """Wait until the source has delivered every model."""
        assert self._fetch is not None  # noqa: S101 — `verify` asks for a fetch only where there is one
        source = self._fetch.source
        await self._forget_listing()  # it is from before the fetch
        try:
            await self._health.while_alive(self._fetch.done())
        except BlobDamaged as error:
            reason = f"source {source.name}: {error.reason}"
            return Observation(kind=Kind.MODEL_DAMAGED, reason=reason, action=error.action)
        except SourceError as error:
            reason = f"source {source.name}: {error.reason}"
            return Observation(kind=Kind.FETCH_FAILED, reason=reason, action=error.action)
        self._observed.mark(Phase.MODEL_FETCHED, self._clock())
        return Observation(
            kind=Kind.MODEL_FETCHED, reason=f"source {source.name} has delivered {self._observed.names()}"
        )

    async def verify(self) -> Observation:
        """Find every model in the store, as expected; where a source brings it, after it has."""
        if self._fetch is not None and not self._fetch.delivered:
            reason = f"waiting for source {self._fetch.source.name} to deliver {self._observed.names()}"
            return Observation(kind=Kind.FETCH_STARTED, reason=reason)
        listing, self._listing = self._listing, None
        stored = await self._health.while_alive(listing or self._server.stored_models(self._budget))
        for spec in self._observed.models:
            if obstacle := await self._verify_one(spec, stored):
                return obstacle
        self._observed.mark(Phase.MODEL_VERIFIED, self._clock())
        return Observation(kind=Kind.MODEL_VERIFIED, reason=f"loading {self._observed.names()}")

    async def _verify_one(self, spec: ModelSpec, stored: list[StoredModel]) -> Observation | None:
        found = find_stored(stored, spec)
        if isinstance(found, Observation):
            if self._fetch is not None and found.kind is Kind.MODEL_ABSENT:
                self._fetch.forget()  # it was there, and is gone: the next try asks the source again
            return found
        if self._fetch is not None and (other := self._other_than_fetched(self._fetch, spec, found)):
            return other
        self._observed.stored[spec.name] = complete = await self._completed(found, spec)
        return judge_stored(complete, spec)

    def _other_than_fetched(self, fetch: Fetch, spec: ModelSpec, found: StoredModel) -> Observation | None:
        """Return why Ollama's model is not the one that the source has checked; the source is then asked again."""
        if (checked := fetch.source.digests.get(spec.name, found.digest)) == found.digest:
            return None
        fetch.forget()
        reason = f"Ollama has {spec.name} as {found.digest[:12]}, source {fetch.source.name} has checked {checked[:12]}"
        return Observation(kind=Kind.FETCH_STARTED, reason=reason, action=DISAGREE)

    async def _completed(self, stored: StoredModel, spec: ModelSpec) -> StoredModel:
        """Add what Ollamas before 0.30 leave out of `/api/tags`: the capabilities and the trained context."""
        if stored.capabilities is not None and (spec.num_ctx is None or stored.trained_context is not None):
            return stored
        try:
            shown = await self._health.while_alive(self._server.show(spec.name, self._budget))
        except (RequestRefused, BadAnswer):
            return stored  # a damaged model cannot be shown; its load says why
        return replace(stored, capabilities=shown.capabilities, trained_context=shown.trained_context)
