"""Which model is loaded, who may use it and for how long: Ollama's scheduler, as observed from outside.

- A request that finds its model loaded with its options pings the runner and uses it.
- Any other waits its turn for a load; only those waiting are bounded (`max_queue`).
- A (re)load waits until the runner in its way is idle, stops it, and starts the new one. What the old
  one's keep_alive was is forgotten: a pin survives only if the new request carries it.
- A dead runner stays listed until somebody asks for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from ops.standin import wire
from ops.standin.engine import Engine, LoadOptions, Runner
from ops.standin.errors import ApiError, RunnerLost
from ops.standin.models import ServedModel

BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Loaded:
    """A model in memory."""

    def __init__(self, model: ServedModel, options: LoadOptions, runner: Runner, *, parallel: int) -> None:
        self.model = model
        self.options = options
        self.runner = runner
        self.slots = asyncio.Semaphore(parallel)
        # Held while the runner is pinged; /api/ps waits for it, as Ollama's does.
        self.lock = asyncio.Lock()
        self.idle = asyncio.Event()
        self.idle.set()
        self.gone = False
        self.in_flight = 0
        self.keep_alive = 0.0
        self.expires_at: datetime = wire.expiry(0)
        self.last_used = time.monotonic()
        self.timer: asyncio.TimerHandle | None = None

    async def serves(self, options: LoadOptions, ping_timeout: float) -> bool:
        """Whether a request with `options` can use this runner as it is."""
        if self.gone or options != self.options:
            return False
        async with self.lock:
            try:
                # Not wait_for: of Python 3.11 it swallows a cancellation that comes with the answer, and the lease of a
                # client that has left would never be released.
                async with asyncio.timeout(ping_timeout):
                    await self.runner.ping()
            except (RunnerLost, TimeoutError):
                return False
        return not self.gone

    def status(self, vram_fraction: float | None) -> dict[str, Any]:
        """Return the model's entry in /api/ps; `vram_fraction` replaces what the runner says."""
        memory = self.runner.memory
        return {
            "name": self.model.name,
            "model": self.model.name,
            "size": memory.size,
            "digest": self.model.digest,
            "details": self.model.details,
            "expires_at": wire.instant(self.expires_at),
            "size_vram": memory.vram if vram_fraction is None else int(memory.size * vram_fraction),
            "context_length": self.options.num_ctx,
        }


class Lease:
    """One request's right to use a loaded model; release it once, whatever happened."""

    def __init__(self, loaded: Loaded, scheduler: Scheduler) -> None:
        self.loaded = loaded
        self._scheduler: Scheduler | None = scheduler

    def release(self) -> None:
        """Give the model back; the last one starts the keep_alive clock. A second call does nothing."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.released(self.loaded)


class Scheduler:
    """The loaded models of one server; lives in one event loop."""

    def __init__(
        self,
        engine: Engine,
        *,
        num_parallel: int = 1,
        keep_alive: float = 300.0,
        max_queue: int = 512,
        max_loaded_models: int = 3,
        ping_timeout_seconds: float = 10.0,
    ) -> None:
        self._engine = engine
        self._num_parallel = num_parallel
        self._keep_alive = keep_alive
        self._max_queue = max_queue
        self._max_loaded = max_loaded_models
        self._ping_timeout = ping_timeout_seconds
        self._loaded: dict[str, Loaded] = {}
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def loaded(self) -> list[Loaded]:
        """What is listed: no model that is still loading."""
        return list(self._loaded.values())

    def find(self, model: ServedModel) -> Loaded | None:
        """Return the runner of the model's blob, whoever loaded it."""
        return self._loaded.get(model.blob)

    async def acquire(self, model: ServedModel, options: LoadOptions, keep_alive: float | None) -> Lease:
        """Use `model`, loaded first where needed; ApiError 503 when too many wait for a load already."""
        loaded = self.find(model)
        if loaded is None or not await loaded.serves(options, self._ping_timeout):
            loaded = await self._in_turn(model, options)
        if keep_alive is not None:
            loaded.keep_alive = keep_alive
        return self._lease(loaded)

    def released(self, loaded: Loaded) -> None:
        """End a lease: start the keep_alive clock with the last one."""
        loaded.in_flight -= 1
        loaded.last_used = time.monotonic()
        if loaded.in_flight == 0:
            loaded.idle.set()
            self._start_clock(loaded)

    async def expire(self, model: ServedModel) -> None:
        """Unload as soon as nobody uses it; at once when nobody does."""
        loaded = self.find(model)
        if loaded is not None:
            loaded.keep_alive = 0.0
            if loaded.in_flight == 0:
                await self._retire(loaded)

    async def close(self) -> None:
        """End every runner and every clock, without waiting for requests."""
        for loaded in self.loaded:
            self._forget(loaded)
            await loaded.runner.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _lease(self, loaded: Loaded) -> Lease:
        loaded.in_flight += 1
        loaded.idle.clear()
        loaded.expires_at = wire.expiry(loaded.keep_alive)
        if loaded.timer is not None:
            loaded.timer.cancel()
        return Lease(loaded, self)

    async def _in_turn(self, model: ServedModel, options: LoadOptions) -> Loaded:
        if self._turn.locked() and self._waiting >= self._max_queue:
            raise ApiError(503, BUSY)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._load(model, options)
        finally:
            self._turn.release()

    async def _load(self, model: ServedModel, options: LoadOptions) -> Loaded:
        present = self.find(model)
        if present is not None:
            if await present.serves(options, self._ping_timeout):
                return present
            await self._retire(present)
        while len(self._loaded) >= self._max_loaded:
            await self._retire(min(self.loaded, key=lambda each: (each.in_flight > 0, each.last_used)))
        runner = await self._engine.start(model, options, parallel=self._num_parallel)
        loaded = Loaded(model, options, runner, parallel=self._num_parallel)
        loaded.keep_alive = self._keep_alive
        self._loaded[model.blob] = loaded
        return loaded

    async def _retire(self, loaded: Loaded) -> None:
        while loaded.in_flight:
            await loaded.idle.wait()
        self._forget(loaded)
        await loaded.runner.stop()

    def _forget(self, loaded: Loaded) -> None:
        loaded.gone = True
        if loaded.timer is not None:
            loaded.timer.cancel()
        if self._loaded.get(loaded.model.blob) is loaded:
            del self._loaded[loaded.model.blob]

    def _start_clock(self, loaded: Loaded) -> None:
        loaded.expires_at = wire.expiry(loaded.keep_alive)
        if loaded.gone or math.isinf(loaded.keep_alive):
            return
        if loaded.keep_alive == 0:
            self._spawn(self._expire_if_idle(loaded))
            return
        loop = asyncio.get_running_loop()
        loaded.timer = loop.call_later(loaded.keep_alive, lambda: self._spawn(self._expire_if_idle(loaded)))

    async def _expire_if_idle(self, loaded: Loaded) -> None:
        if loaded.in_flight == 0 and not loaded.gone:
            await self._retire(loaded)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
