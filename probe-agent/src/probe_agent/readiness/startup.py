"""The way up: connect, verify, load, prove, warm. Each step ends in one observation, or raises `OllamaError`."""

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from probe_agent.errors import (
    BadAnswer,
    BlobDamaged,
    OllamaError,
    RequestRefused,
    ServerTimeout,
    ServerUnreachable,
    SourceError,
)
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec, RunningModel, StoredModel
from probe_agent.readiness.cold_start import Phase
from probe_agent.readiness.conditions import find_stored
from probe_agent.readiness.load_requests import LoadRequests
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.running_models import RunningModels
from probe_agent.readiness.states import (
    ContextDrifted,
    FetchFailed,
    FetchStarted,
    LoadFailed,
    ModelAbsent,
    ModelDamaged,
    ModelFetched,
    ModelLoaded,
    ModelVerified,
    Observation,
    Proof,
    ServerDown,
    ServerUp,
    WarmUpDone,
)
from probe_agent.readiness.warmup import WarmUp
from probe_agent.settings import Settings
from probe_agent.sources.fetch import Fetch

log = logging.getLogger(__name__)
DISAGREE = "Nothing if the model was just replaced; else let OLLAMA_MODELS and PROBE_AGENT_MODEL_STORE agree."
T = TypeVar("T")

# The load starts the moment the API answers. A try costs 0.1 ms (measured), so even this often is little.
CONNECT_RETRY_SECONDS = 0.005
DAMAGED = "The model's files are missing or damaged, or memory is short: see Ollama's log; rebuild or fetch the model."


class Startup:
    """The steps from an unreachable server to a warm model. `fetch_of` is None where the model is in the image.

    `heard` is told of every sign of life (None) or its lack (the error) while a step waits for Ollama,
    and answers whether to give the step up.
    """

    def __init__(
        self,
        settings: Settings,
        server: OllamaClient,
        record: Observed,
        clock: Callable[[], float],
        heard: Callable[[OllamaError | None], bool],
        fetch_of: Fetch | None = None,
    ) -> None:
        self.loads = LoadRequests(server, settings.startup_timeout_seconds)
        self.residents = RunningModels(settings, server, record)
        self._settings = settings
        self._server = server
        self._record = record
        self._clock = clock
        self._heard = heard
        self._fetch = fetch_of
        self._warming = WarmUp(settings, server, record, self._while_server_answers)
        self._timeout = settings.timeout_seconds
        self._budget = settings.startup_timeout_seconds
        self._rehearsed = False
        self._listing: asyncio.Future[list[StoredModel]] | None = None
        self._embedders: set[str] = set()

    async def connect(self) -> Observation:
        """Try until Ollama's API answers; after each period without, say why it does not."""
        await self._drop_requests()
        if self._fetch is not None and not self._fetch.source.needs_server:
            self._fetch.begin()  # while Ollama boots
        self._record.resident = {}
        until = self._clock() + self._settings.period_seconds
        while True:
            try:
                return await self._greet()
            except OllamaError as error:
                self._heard(error)
                if self._clock() >= until:
                    return ServerDown(reason=error.reason, action=error.action)
            await self._rehearse()
            await asyncio.sleep(CONNECT_RETRY_SECONDS)

    async def _rehearse(self) -> None:
        """Ask in vain once, because httpx imports for 18 ms (measured) at its first request: not when a load waits."""
        if not self._rehearsed:
            self._rehearsed = True
            await self._sign_of_life()

    async def _greet(self) -> ServerUp:
        await self._server.connect(self._timeout)
        self._record.mark(Phase.PORT_OPEN, self._clock())
        # Asked together: a server that is still starting answers both at once.
        await self._forget_listing()
        self._listing = asyncio.ensure_future(self._server.stored_models(self._budget))
        version = await self._server.version(self._timeout)
        self._record.mark(Phase.API_ANSWERS, self._clock())
        self._record.ollama_version = version
        return ServerUp(reason=f"Ollama {version} answers at {self._server.url}")

    async def _forget_listing(self) -> None:
        listing, self._listing = self._listing, None
        if listing is not None:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    async def _drop_requests(self) -> None:
        await self._forget_listing()
        await self.loads.abandon()

    async def abandon(self) -> None:
        """Drop everything that is under way: the agent stops."""
        await self._drop_requests()
        if self._fetch is not None:
            await self._fetch.abandon()

    async def fetch(self) -> Observation:
        """Wait until the source has delivered every model."""
        assert self._fetch is not None  # noqa: S101 — `verify` asks for a fetch only where there is one
        source = self._fetch.source
        await self._forget_listing()  # of before the fetch
        try:
            await self._while_server_answers(self._fetch.done())
        except BlobDamaged as error:
            return ModelDamaged(reason=f"source {source.name}: {error.reason}", action=error.action)
        except SourceError as error:
            return FetchFailed(reason=f"source {source.name}: {error.reason}", action=error.action)
        self._record.mark(Phase.MODEL_FETCHED, self._clock())
        return ModelFetched(reason=f"source {source.name} has delivered {self._names()}")

    async def verify(self) -> Observation:
        """Find every model in the store, as expected; where a source is to bring it, once it has."""
        if self._fetch is not None and not self._fetch.delivered:
            return FetchStarted(reason=f"waiting for source {self._fetch.source.name} to deliver {self._names()}")
        listing, self._listing = self._listing, None
        stored = await self._while_server_answers(listing or self._server.stored_models(self._budget))
        for pin in self._record.pins:
            found = find_stored(stored, pin)
            if isinstance(found, Observation):
                if self._fetch is not None and isinstance(found, ModelAbsent):
                    self._fetch.forget()  # it was there, and is gone: the next look asks the source again
                return found
            if self._fetch is not None and (other := self._other_than_fetched(self._fetch, pin, found)):
                return other
            self._record.stored[pin.name] = found
            if found.embeds_only:
                self._embedders.add(pin.name)
        self._record.mark(Phase.MODEL_VERIFIED, self._clock())
        return ModelVerified(reason=f"loading {self._names()}")

    def _other_than_fetched(self, fetch: Fetch, pin: ModelSpec, found: StoredModel) -> Observation | None:
        """Tell when Ollama lists another model than the source has checked; the source is then asked again."""
        if (checked := fetch.source.digests.get(pin.name, found.digest)) == found.digest:
            return None
        fetch.forget()
        reason = f"Ollama has {pin.name} as {found.digest[:12]}, source {fetch.source.name} has checked {checked[:12]}"
        return FetchStarted(reason=reason, action=DISAGREE)

    async def wait(self, until: float, *, listed_is_well: bool, hands_off: bool) -> ContextDrifted | None:
        """Wait before a reload, looking each period, so that a dead server is noticed meanwhile.

        With `listed_is_well` it ends when all is listed as wanted; else only after it was not, for a dead runner stays
        listed. With `hands_off`, a model that a client loaded with another context is left alone, and said to be so.
        """
        while (left := until - self._clock()) > 0:
            finding = await self.residents.look(self._timeout)
            self._heard(None)
            if finding is None and listed_is_well:
                return None
            listed_is_well = listed_is_well or finding is not None
            if hands_off and isinstance(finding, ContextDrifted):
                return finding
            await asyncio.sleep(min(left, self._settings.period_seconds))
        return None

    async def load(self, epoch: int) -> Observation:
        """Load every model and prove that it serves."""
        for pin in self._record.pins:
            if failure := await self._load_one(pin):
                return failure
        if finding := await self._while_server_answers(self.residents.look_after_load(self._budget)):
            return finding
        size = sum(model.size_bytes for model in self._record.stored.values())
        self._record.mark(Phase.LOAD, self._clock(), loaded_bytes=size)
        return await self._prove(epoch)

    async def _load_one(self, pin: ModelSpec) -> Observation | None:
        try:
            await self._while_server_answers(self.loads.answered(pin, embeds=self.embeds(pin)))
        except RequestRefused as refusal:
            return await self._refused(pin, refusal)
        except (BadAnswer, ServerTimeout) as error:
            return LoadFailed(reason=f"model {pin} did not load: {error.reason}", action=error.action)
        return None

    async def _refused(self, pin: ModelSpec, refusal: RequestRefused) -> Observation | None:
        """Tell the kinds of refusal apart; one of them only means that the model embeds."""
        if refusal.status == http.HTTPStatus.NOT_FOUND:
            return ModelAbsent(reason=refusal.reason, action=f"Put model {pin.name} into Ollama's store again.")
        if (
            refusal.status == http.HTTPStatus.BAD_REQUEST
            and not self.embeds(pin)
            and await self._turns_out_to_embed(pin)
        ):
            self._embedders.add(pin.name)
            return await self._load_one(pin)
        return LoadFailed(reason=f"model {pin} did not load: {refusal.reason}", action=DAMAGED)

    async def _turns_out_to_embed(self, pin: ModelSpec) -> bool:
        """Ask for the capabilities, which Ollamas before 0.30 leave out of `/api/tags`."""
        try:
            return (await self._while_server_answers(self._server.show(pin.name, self._budget))).embeds_only
        except (RequestRefused, BadAnswer):
            return False  # a damaged model cannot even be shown: the refusal stands

    async def _prove(self, epoch: int) -> Observation:
        proofs = []
        for pin in self._record.pins:
            proof = await self._prove_one(pin, self._record.resident[pin.name])
            if isinstance(proof, Observation):
                return proof
            proofs.append(proof)
        self._record.mark(Phase.FIRST_TOKEN, self._clock())
        self._record.pin_observed()
        return ModelLoaded(reason=f"warming {self._names()}", epoch=epoch, proofs=tuple(proofs))

    async def _prove_one(self, pin: ModelSpec, model: RunningModel) -> Proof | LoadFailed:
        try:
            request = self._server.prove(pin, self._budget, embeds=self.embeds(pin))
            tokens = await self._while_server_answers(request)
        except (RequestRefused, BadAnswer, ServerTimeout) as error:
            return LoadFailed(reason=f"model {pin} is loaded but does not answer: {error.reason}", action=DAMAGED)
        if tokens < 1:
            return LoadFailed(reason=f"model {pin} is loaded but generated nothing", action=DAMAGED)
        return Proof(
            model=pin.name,
            digest=model.digest,
            context_length=model.context_length,
            memory_bytes=model.memory_bytes,
            vram_bytes=model.vram_bytes,
            tokens=tokens,
        )

    async def warm(self, epoch: int) -> Observation:
        """Answer the warm-up prompts on every slot, then see that what was proven still holds."""
        self._record.restored_slots = 0
        for pin in self._record.pins:
            # The vector of the proof has warmed all that an embedding model has.
            if not self.embeds(pin) and (failure := await self._warming.warm(pin)):
                return failure
        if finding := await self._while_server_answers(self.residents.look(self._budget)):
            return finding
        self._record.mark(Phase.WARM_UP, self._clock())
        slots = self._settings.num_parallel
        return WarmUpDone(reason=f"{self._names()} answers; warm on {slots} parallel slot(s)", epoch=epoch)

    async def _while_server_answers(self, waiting: Awaitable[T]) -> T:
        """Wait as long as it takes, but no longer than the server itself shows signs of life."""
        task = asyncio.ensure_future(waiting)
        try:
            while not (await asyncio.wait({task}, timeout=self._settings.period_seconds))[0]:
                error = await self._sign_of_life()
                if self._heard(error) and error and not task.done():
                    raise ServerUnreachable(f"Ollama stopped answering: {error.reason}", action=error.action)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _sign_of_life(self) -> OllamaError | None:
        try:
            await self._server.version(self._timeout)
        except OllamaError as error:
            return error
        return None

    def embeds(self, pin: ModelSpec) -> bool:
        """Whether a model can embed but not generate."""
        return pin.name in self._embedders

    def _names(self) -> str:
        return ", ".join(str(pin) for pin in self._record.pins)
