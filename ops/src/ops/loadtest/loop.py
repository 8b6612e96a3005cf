"""The two loops. Both return a record for every request that was sent; neither forgets one that did not come back.

Open: the instants are fixed before; a request that the tester itself sends late still counts from its instant, so
that waiting is never left out (coordinated omission). Closed: a fixed number of users, each waiting for its answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ops.loadtest import saturation
from ops.loadtest.record import Record
from ops.loadtest.saturation import Count

# Sends request NUMBER of a repetition that began at INSTANT; the last is the intended second, None: at once.
Send = Callable[[int, float, float | None], Awaitable[Record]]

# Between two looks at the counts: for the display, and for the verdict on saturation.
LOOK_SECONDS = 0.25
# For what is under way when a step is stopped early: what would take longer is cut, and recorded as unfinished.
DRAIN_SECONDS = 1.0
UNFINISHED = "unfinished"


class Flight:
    """The requests of one repetition: those under way, and the records of those that ended."""

    def __init__(self, send: Send, told: Callable[[Count], None]) -> None:
        self.records: list[Record] = []
        self.stopped: str | None = None
        """Why the repetition ended before its time; None: it did not."""
        self.ended = 0.0
        """When nothing more was sent, in seconds since the begin."""
        self._send = send
        self._told = told
        self._clock = asyncio.get_running_loop().time
        self._begun = self._clock()
        self._under_way: dict[asyncio.Task[None], tuple[float, float]] = {}
        self._counts: list[Count] = []
        self._sent = self._failed = 0
        self._broken: BaseException | None = None
        self._over = asyncio.Event()

    async def open(self, instants: Sequence[float], seconds: float) -> None:
        """Send one request at each instant, then wait for the answers."""
        await self._run(self._dispatch(instants, seconds), saturation.falls_behind)

    async def closed(self, users: int, seconds: float) -> None:
        """Let so many users send for so long, then wait for the answers."""
        await self._run(self._users(users, seconds), lambda _counts: None)

    async def _run(self, sending: Awaitable[None], verdict: Callable[[Sequence[Count]], str | None]) -> None:
        watching = asyncio.ensure_future(self._watch(verdict))
        body = asyncio.ensure_future(sending)
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((body, over), return_when=asyncio.FIRST_COMPLETED)
            if self._over.is_set():
                body.cancel()
            self.ended = self._clock() - self._begun
            await self._drain()
        finally:
            self.ended = self.ended or self._clock() - self._begun
            for task in (watching, body, over):
                task.cancel()
            self._cut()
            await asyncio.gather(watching, body, over, *self._under_way, return_exceptions=True)
        if self._broken:
            raise self._broken
        if not body.cancelled():
            body.result()

    async def _dispatch(self, instants: Sequence[float], seconds: float) -> None:
        for number, instant in enumerate(instants):
            if (wait := self._begun + instant - self._clock()) > 0:
                await asyncio.sleep(wait)
            self._start(number, instant)
        await asyncio.sleep(self._begun + seconds - self._clock())

    async def _users(self, users: int, seconds: float) -> None:
        numbers = iter(range(10**9))

        async def user() -> None:
            while self._clock() - self._begun < seconds:
                await asyncio.wait((self._start(next(numbers), None),))

        await asyncio.gather(*(user() for _ in range(users)))

    def _start(self, number: int, intended: float | None) -> asyncio.Task[None]:
        self._sent += 1
        now = self._clock() - self._begun
        task = asyncio.ensure_future(self._one(number, intended))
        self._under_way[task] = (now if intended is None else intended, now)
        task.add_done_callback(lambda done: self._under_way.pop(done, None))
        return task

    async def _one(self, number: int, intended: float | None) -> None:
        try:
            record = await self._send(number, self._begun, intended)
        except Exception as error:  # noqa: BLE001 — whatever it is ends the run, and is raised by `_run`
            self._broken = self._broken or error
            self._over.set()
            return
        self._failed += record.error is not None
        self.records.append(record)

    async def _watch(self, verdict: Callable[[Sequence[Count]], str | None]) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            count = Count(self._clock() - self._begun, self._sent, len(self.records), self._failed)
            self._counts.append(count)
            self._told(count)
            if not self._over.is_set() and (why := verdict(self._counts) or saturation.mostly_fails(self._counts)):
                self.stopped = why
                self._over.set()

    async def _drain(self) -> None:
        """Wait for what is under way: to its own time-out after a whole step, shortly after a stopped one."""
        while self._under_way and not self._over.is_set():
            over = asyncio.ensure_future(self._over.wait())
            await asyncio.wait((*self._under_way, over), return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
        if self._under_way and not self._broken:
            await asyncio.wait(self._under_way, timeout=DRAIN_SECONDS)

    def _cut(self) -> None:
        """End what is still under way, with a record that says so."""
        now = self._clock() - self._begun
        for task, (intended, sent) in list(self._under_way.items()):
            if task.done():
                continue  # it has its record; only its callback has not run yet
            task.cancel()
            self.records.append(Record(intended, sent, now, error=UNFINISHED, detail="cut when the step was stopped"))
