"""The sweep: for each number of slots its repetitions, in each of them all loads; what is done is not done again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from ops.loadtest import arrivals, figures, local, saturation, wire
from ops.loadtest.client import Client
from ops.loadtest.errors import InputError, LocalError, ServiceError
from ops.loadtest.loads import Loop
from ops.loadtest.loop import UNFINISHED, Flight
from ops.loadtest.settings import differing
from ops.loadtest.step import INTERRUPTED, Repetition, Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from ops.loadtest.conclusion import Rule
    from ops.loadtest.credentials import Credentials
    from ops.loadtest.loads import Load
    from ops.loadtest.record import Record
    from ops.loadtest.run import Run
    from ops.loadtest.saturation import Count
    from ops.loadtest.settings import Settings
    from ops.loadtest.workload import Workload

PAST = "past saturation"
TRIES = 3
"""Of the first request: a service that scales from zero may refuse some before its instance is there."""
WAIT_SECONDS = 2.0
"""Between two of them: an instance takes seconds to come, and refusals come in no time."""


class Watcher(Protocol):
    """Who is told how far the sweep has come."""

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
        settings: Settings,
        workload: Workload,
        *,
        rule: Rule,
        credentials: Credentials,
        watcher: Watcher,
        save: Callable[[], None],
        service: tuple[Path, Sequence[str]] | None,
    ) -> None:
        self._run = run
        self._settings = settings
        self._workload = workload
        self._rule = rule
        self._credentials = credentials
        self._watcher = watcher
        self._save = save
        self._service = service
        self._model = settings.model or ""
        self._check: Callable[[], None] = lambda: None

    async def main(self) -> None:
        """Run every step that is not complete.

        Raises:
            LoadTestError: the service cannot be measured; what was measured until then is in the run.

        """
        for parallel in self._settings.parallel or (None,):
            loads = self._settings.loads(self._rule.value(parallel) if parallel is not None else None)
            known = [self._run.find((parallel, load)) for load in loads]
            if all(step and (step.complete or step.skipped) for step in known):
                continue
            async with self._client(parallel, loads) as client:
                await self._first(client)
                await self._about(client)
                await self._loads(client, parallel, loads)

    @contextlib.asynccontextmanager
    async def _client(self, parallel: int | None, loads: Sequence[Load]) -> AsyncIterator[Client]:
        settings = self._settings
        if self._service is None:
            async with Client(settings.target, settings.api, settings.timeout) as client:
                yield client
            return
        self._watcher.starting(parallel)
        path, arguments = self._service
        self._unchanged(path)
        most = max((int(load.level) for load in loads), default=1) if settings.loop is Loop.CLOSED else 1000
        document = local.adapted(
            local.read(path), path, parallel=parallel, concurrency=most, variables=settings.variables
        )
        self._unchanged(path)  # nor while it was read
        async with local.running(document, arguments) as (url, service):
            self._check = service.check
            async with Client(url, settings.api, settings.timeout) as client:
                yield client

    def _unchanged(self, path: Path) -> None:
        """Raise LocalError where the service's file is no longer what the run began with."""
        if local.sha256(path) != self._settings.service_sha256:
            raise LocalError(
                f"{path} was changed during the run: what is left would be measured with other settings; bring the old "
                "one back and go on with --resume, or start anew"
            )

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
        names = []
        for path in ("/api/ps", "/api/tags"):
            names = [each.get("name", "") for each in (await client.ask(path)).get("models") or []]
            if len(names) == 1:
                return str(names[0])
        if names:
            raise ServiceError(f"{client.url}: which model? {', '.join(names)} are there; name one with --model")
        raise ServiceError(
            f"{client.url}: no list of models came from there; is an Ollama up, and is this its address? One that only "
            "speaks /v1 tells none: name the model with --model"
        )

    async def _about(self, client: Client) -> None:
        """Note what is measured, as far as the server tells; it must be what was measured before.

        Raises:
            InputError: it is another model or server than the run began with.

        """
        known = {"model": self._model, "server_version": (await client.ask("/api/version")).get("version")}
        for each in (await client.ask("/api/ps")).get("models") or []:
            if each.get("name", "").removesuffix(":latest") == self._model.removesuffix(":latest"):
                names = ("digest", "context_length", "size", "size_vram", "details")
                known["loaded"] = {name: each.get(name) for name in names}
        environment = self._run.environment
        if any(step.repetitions for step in self._run.steps) and (differ := _others(known, environment)):
            raise InputError(
                f"{client.url}: this run began with another model or server ({'; '.join(differ)}): its figures would "
                "be a mixture; bring that one back, or start anew"
            )
        environment |= known

    async def _loads(self, client: Client, parallel: int | None, loads: Sequence[Load]) -> None:
        """Go over all loads once for each repetition: a machine that grows slower does so for all of them alike."""
        rule = None if parallel is None else self._rule.value(parallel)
        for number in range(self._settings.repetitions):
            before: list[Step] = []
            for load in loads:
                step = self._step(parallel, load)
                is_rule = load.loop is Loop.CLOSED and load.level == rule
                if number == 0 and not (step.repetitions or is_rule) and _past(before):
                    step.skipped = PAST
                if not step.skipped:
                    before.append(step)
                    await self._repetition_of(client, step, number)
                self._watcher.ends(step, number)

    def _step(self, parallel: int | None, load: Load) -> Step:
        step = self._run.find((parallel, load))
        if step is None:
            step = Step(parallel, load)
            self._run.steps.append(step)
        return step

    async def _repetition_of(self, client: Client, step: Step, number: int) -> None:
        """Do one repetition where it is not done yet; a step that was stopped is not tried again."""
        step.repetitions[:] = [each for each in step.repetitions if each.stopped != INTERRUPTED]
        if len(step.repetitions) <= number and step.stopped is None:
            self._watcher.begins(step, number)
            client.authorize(await self._credentials.token())
            await self._repetition(client, step, number)
            try:
                self._check()
            except LocalError:  # what was measured of a service that ended is no verdict on the load
                step.repetitions[-1] = replace(step.repetitions[-1], stopped=INTERRUPTED)
                raise
        step.complete = step.stopped is not None or len(step.repetitions) == self._settings.repetitions
        self._save()

    async def _repetition(self, client: Client, step: Step, number: int) -> None:
        settings, stream = self._settings, f"{step.parallel}/{step.load}/{number}"
        seconds = settings.warmup + settings.duration

        async def send(index: int, begun: float, intended: float | None) -> Record:
            return await client.chat(self._body(stream, index), begun, intended)

        flight = Flight(send, self._watcher.counts)
        whole = False
        try:
            if step.load.loop is Loop.OPEN:
                seed = f"{settings.seed}/{stream}"
                instants = arrivals.schedule(settings.arrivals, step.load.level, seconds, seed)
                await flight.open(instants, seconds)
            else:
                await flight.closed(int(step.load.level), seconds)
            whole = True
        finally:
            step.repetitions.append(self._measured(flight, seconds, whole=whole))

    def _measured(self, flight: Flight, seconds: float, *, whole: bool) -> Repetition:
        warmup, end = self._settings.warmup, seconds
        records = flight.records
        if flight.stopped or not whole:
            end = min(seconds, flight.ended)
            warmup = min(warmup, end / 2)  # a service that is overrun at once is measured from the first half on
        if not whole:  # what was under way then did not fail
            records = [record for record in records if record.error != UNFINISHED]
        return Repetition(tuple(records), warmup, end, flight.stopped if whole else INTERRUPTED)

    def _body(self, stream: str, index: int) -> bytes:
        settings = self._settings
        request = self._workload.request(stream, index)
        return wire.body(settings.api, self._model, request, seed=settings.seed, temperature=settings.temperature)


def _others(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """Return a line for each fact that must be the same in all of a run, is told both times, and differs."""
    ours, theirs = (
        {"model": each.get("model"), "server_version": each.get("server_version")}
        | {"digest": (each.get("loaded") or {}).get("digest")}
        for each in (now, then)
    )
    both = {name for name in ours if ours[name] and theirs[name]}
    return differing({name: ours[name] for name in both}, {name: theirs[name] for name in both})


def _past(done: Sequence[Step]) -> bool:
    """Say whether more load can bring nothing: it was too much already, or the last steps up gained nothing."""
    if not done:
        return False
    if done[-1].stopped is not None:
        return True
    if done[-1].load.loop is Loop.OPEN:
        return (figures.unserved(done[-1].usable).low or 0.0) > saturation.BEHIND
    return saturation.past_knee([figures.rate(step.usable) for step in done])
