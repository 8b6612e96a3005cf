"""Who may go on to Ollama, and when: slots, a bounded queue, fair between tenants, first come first served within one.

Ollama queues without bound and tells nobody. The gateway lets as many requests through as Ollama has slots, keeps the
others in a queue of its own with a deadline, and refuses what would wait in vain.
"""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable

from probe_agent.gateway.refusal import Refusal

# How much of the mean the newest service time makes up: the last ten requests or so decide.
SMOOTHING = 0.1
# Retry-After before anything was served, and its bounds, in seconds.
FIRST_GUESS_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 120


class Admission:
    """Hands out `slots` at once, and queues at most `queue_limit` requests. `clock` is monotonic, in seconds.

    `closed` is a reason to admit nobody (the agent is draining), or None. `running` and `waiting` are counts.
    """

    def __init__(self, slots: int, queue_limit: int, clock: Callable[[], float]) -> None:
        self.slots = slots
        self.queue_limit = queue_limit
        self.running = 0
        self.waiting = 0
        self.closed: str | None = None
        self._clock = clock
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._service_seconds: float | None = None
        self._idle: list[asyncio.Future[None]] = []

    async def enter(self, tenant: str, deadline: float) -> float:
        """Return the seconds waited once there is a slot; raises `Refusal`: 429 queue full, 503 closed or too late.

        Cancelled, it gives its place back. Each `enter` that returns needs one `leave`.
        """
        self._refuse_closed()
        began = self._clock()
        if self.running < self.slots and not self.waiting:
            self.running += 1
            return 0.0
        if self.waiting >= self.queue_limit:
            reason = f"{self.waiting} requests wait already, and this instance queues no more"
            raise Refusal(429, "queue_full", reason, "Try again later", retry_after=self.retry_after())
        await self._wait(tenant, deadline - began)
        return self._clock() - began

    def leave(self, service_seconds: float | None) -> None:
        """Give a slot back, to the next in the queue; `service_seconds` None: the request says nothing of the pace."""
        if service_seconds is not None:
            before = self._service_seconds
            grown = SMOOTHING * (service_seconds - (before or 0.0))
            self._service_seconds = service_seconds if before is None else before + grown
        self.running -= 1
        self._admit()
        if not self.running:
            self._wake_idle()

    def retry_after(self) -> int:
        """Return in how many whole seconds a place is likely: what waits, at the measured pace."""
        one = FIRST_GUESS_SECONDS if self._service_seconds is None else self._service_seconds
        return max(1, min(LONGEST_RETRY_SECONDS, math.ceil(one * (self.waiting + 1) / self.slots)))

    def close(self, reason: str) -> None:
        """Admit nobody any more; everyone in the queue is refused."""
        self.closed = reason
        for queue in self._queues.values():
            for waiter in queue:
                if not waiter.done():
                    waiter.set_exception(self._refusal_closed())
        self._queues.clear()

    async def idle(self) -> None:
        """Return once nothing runs."""
        if self.running:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    async def _wait(self, tenant: str, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(waiter)
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            self._give_up(waiter)
            reason = f"no slot became free within {seconds:.0f} s"
            raise Refusal(503, "queue_timeout", reason, "Try again later", retry_after=self.retry_after()) from None
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise
        finally:
            self.waiting -= 1
            self._forget(tenant, waiter)

    def _give_up(self, waiter: asyncio.Future[None]) -> None:
        """Hand a slot on that came in the same instant as the end of the wait."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.leave(None)

    def _forget(self, tenant: str, waiter: asyncio.Future[None]) -> None:
        queue = self._queues.get(tenant)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[tenant]

    def _admit(self) -> None:
        """Give free slots to the tenants in turn, to the longest waiting request of each."""
        while self.running < self.slots and self._queues:
            tenant, queue = next(iter(self._queues.items()))
            waiter = queue.popleft()
            if queue:
                self._queues.move_to_end(tenant)
            else:
                del self._queues[tenant]
            if not waiter.done():
                self.running += 1
                waiter.set_result(None)

    def _wake_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _refuse_closed(self) -> None:
        if self.closed is not None:
            raise self._refusal_closed()

    def _refusal_closed(self) -> Refusal:
        return Refusal(503, "draining", str(self.closed), "Try again: another instance will answer", retry_after=1)
