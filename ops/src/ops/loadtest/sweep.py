"""The sweep: for each number of slots its repetitions, and in each of them all loads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from ops.loadtest import figures, local, saturation, wire
from ops.loadtest.client import Client
from ops.loadtest.conclusion import Rule
from ops.loadtest.credentials import Credentials
from ops.loadtest.errors import LocalError, ServiceError
from ops.loadtest.loads import Load, Loop, schedule
from ops.loadtest.local import LocalService
from ops.loadtest.loop import UNFINISHED, Flight
from ops.loadtest.options import Options
from ops.loadtest.record import INTERRUPTED, Record, Repetition, Step
from ops.loadtest.run import Run
from ops.loadtest.saturation import Count
from ops.loadtest.workload import Workload
from probe_agent.ollama.names import same_model

PAST = "past saturation"
# Of the first request: a service that scales from zero may refuse some before its instance is there.
TRIES = 3
# Between two of them: an instance takes seconds to come, and refusals come in no time.
WAIT_SECONDS = 2.0


class Watcher(Protocol):
    """Shows how far the sweep has come."""

    def starting(self, parallel: int | None) -> None:
        """A local service is being started with so many slots."""

    def begins(self, step: Step, repetition: int) -> None:
        """A repetition, counted from 0, begins."""

    def counts(self, count: Count) -> None:
        """What has happened in it so far."""

    def ends(self, step: Step, repetition: int) -> None:
        """A repetition of a step is over, or was skipped."""


class Sweep:
    """One run of all steps. `save` is called whenever there is more to keep."""

    def __init__(
        self,
        run: Run,
        options: Options,
        workload: Workload,
        *,
        rule: Rule,
        credentials: Credentials,
        watcher: Watcher,
        save: Callable[[], None],
        service: LocalService | None,
    ) -> None:
        self._run = run
        self._options = options
        self._workload = workload
        self._rule = rule
        self._credentials = credentials
        self._watcher = watcher
        self._save = save
        self._service = service
        self._model = options.model or ""
        self._check: Callable[[], None] = lambda: None

    async def main(self) -> None:
        """Run every step.

        Raises:
            LoadTestError: the service cannot be measured; what was measured until then is in the run.

        """
        for parallel in self._options.parallel or (None,):
            loads = self._options.loads(self._rule.value(parallel) if parallel is not None else None)
            async with self._client(parallel, loads) as client:
                await self._first(client)
                await self._about(client)
                await self._loads(client, parallel, loads)

    @contextlib.asynccontextmanager
    async def _client(self, parallel: int | None, loads: Sequence[Load]) -> AsyncIterator[Client]:
        options = self._options
        if self._service is None:
            async with Client(options.target, options.api, options.timeout) as client:
                yield client
            return
        self._watcher.starting(parallel)
        most = max((int(load.level) for load in loads), default=1) if options.loop is Loop.CLOSED else 1000
        document = local.adapted(self._service, parallel=parallel, concurrency=most, variables=dict(options.variables))
        async with local.running(document, options.up_options) as (url, service):
            self._check = service.check
            async with Client(url, options.api, options.timeout) as client:
                yield client

    async def _first(self, client: Client) -> None:
        """Find out with one request whether the service can be measured at all; it is the first warm-up, too."""
        client.authorize(await self._credentials.token())
        if not self._model:
            self._model = await self._only_model(client)
        for attempt in range(TRIES):
            record = await client.chat(self._body("first", attempt), asyncio.get_running_loop().time())
            if record.error is None:
                return
            if attempt < TRIES - 1:
                await asyncio.sleep(WAIT_SECONDS)
        raise ServiceError(
            f"{client.url}{client.api.path}: the first request failed: {record.error} ({record.detail}); "
            "nothing can be measured: is the service up, and is this its address?"
        )

    async def _only_model(self, client: Client) -> str:
        """Return the one model that is loaded, else the only one that the server has."""
        names: list[str] = []
        for path in ("/api/ps", "/api/tags", "/v1/models"):
            names = wire.model_names(await client.ask(path))
            if len(names) == 1:
                return names[0]
            if names and path == "/api/tags":
                break  # /v1/models lists the same
        if names:
            raise ServiceError(f"{client.url} has several models: {', '.join(names)}; name one with --model")
        raise ServiceError(
            f"{client.url} lists no model at /api/tags or /v1/models: is a server up, and is this its address? "
            "Otherwise name the model with --model"
        )

    async def _about(self, client: Client) -> None:
        """Note what is measured, as far as the server says."""
        known = {"model": self._model, "server_version": (await client.ask("/api/version")).get("version")}
        for each in (await client.ask("/api/ps")).get("models") or []:
            if same_model(each.get("name", ""), self._model):
                names = ("digest", "context_length", "size", "size_vram", "details")
                known["loaded"] = {name: each.get(name) for name in names}
        self._run.environment |= known

    async def _loads(self, client: Client, parallel: int | None, loads: Sequence[Load]) -> None:
        """Go over all loads once for each repetition: a machine that grows slower does so for all of them alike."""
        rule = None if parallel is None else Load(Loop.CLOSED, self._rule.value(parallel))
        steps = [Step(parallel, load) for load in loads]
        self._run.steps += steps
        for number in range(self._options.repetitions):
            before: list[Step] = []
            for step in steps:
                if number == 0 and step.load != rule and _past(before):
                    step.skipped = PAST
                if not step.skipped:
                    before.append(step)
                if not step.skipped and step.stopped is None:
                    await self._one(client, step, number)
                self._watcher.ends(step, number)

    async def _one(self, client: Client, step: Step, number: int) -> None:
        """Do one repetition, and keep it."""
        self._watcher.begins(step, number)
        client.authorize(await self._credentials.token())
        await self._repetition(client, step, number)
        try:
            self._check()
        except LocalError:  # what was measured of a service that ended is no verdict on the load
            step.repetitions[-1] = replace(step.repetitions[-1], stopped=INTERRUPTED)
            raise
        self._save()

    async def _repetition(self, client: Client, step: Step, number: int) -> None:
        options, stream = self._options, f"{step.parallel}/{step.load}/{number}"
        seconds = options.warmup + options.duration

        async def send(index: int, begun: float, intended: float | None) -> Record:
            return await client.chat(self._body(stream, index), begun, intended)

        flight = Flight(send, self._watcher.counts)
        whole = False
        try:
            if step.load.loop is Loop.OPEN:
                seed = f"{options.seed}/{stream}"
                instants = schedule(options.arrivals, step.load.level, seconds, seed)
                await flight.open(instants, seconds)
            else:
                await flight.closed(int(step.load.level), seconds)
            whole = True
        finally:
            step.repetitions.append(self._measured(flight, seconds, whole=whole))

    def _measured(self, flight: Flight, seconds: float, *, whole: bool) -> Repetition:
        warmup, end = self._options.warmup, seconds
        records = flight.records
        if flight.stopped or not whole:
            end = min(seconds, flight.ended)
            warmup = min(warmup, end / 2)  # a service that is overrun at once is measured from the first half on
        if not whole:  # what was under way then did not fail
            records = [record for record in records if record.error != UNFINISHED]
        return Repetition(tuple(records), warmup, end, flight.stopped if whole else INTERRUPTED)

    def _body(self, stream: str, index: int) -> bytes:
        options = self._options
        request = self._workload.request(stream, index)
        return wire.body(options.api, self._model, request, seed=options.seed, temperature=options.temperature)


def _past(done: Sequence[Step]) -> bool:
    """Say whether more load can bring nothing: it was too much already, or the last steps up gained nothing."""
    if not done:
        return False
    if done[-1].stopped is not None:
        return True
    if done[-1].load.loop is Loop.OPEN:
        return (figures.unserved(done[-1].usable).low or 0.0) > saturation.BEHIND
    return saturation.past_knee([figures.rate(step.usable) for step in done])
