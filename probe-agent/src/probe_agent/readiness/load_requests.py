"""Load requests in flight. A disconnect aborts a load, so none is dropped because its caller stopped waiting."""

import asyncio

from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec
from probe_agent.readiness.observed import Observed


class LoadRequests:
    """At most one load request in flight for each model; `timeout` (seconds) is how long each may take."""

    def __init__(self, server: OllamaClient, observed: Observed, timeout: float) -> None:
        self._server = server
        self._observed = observed
        self._timeout = timeout
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def pending(self) -> bool:
        """Whether Ollama is still busy with one of these requests."""
        return any(not task.done() for task in self._tasks.values())

    async def answered(self, spec: ModelSpec, within: float | None = None) -> bool:
        """Load a model, or join the request in flight; raises what it raised.

        After `within` seconds (None: no end) return False, and leave the request in flight.
        """
        task = self._request(spec)
        done, _ = await asyncio.wait({task}, timeout=within)
        if done:
            task.result()
        return bool(done)

    async def abandon(self) -> None:
        """Drop every request in flight: the server is gone, or the agent stops."""
        tasks = [*self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _request(self, spec: ModelSpec) -> asyncio.Task[None]:
        task = self._tasks.get(spec.name)
        if task is None or task.done():
            if task is not None and not task.cancelled():
                task.exception()  # an answer that nobody waited for is out of date, good or bad
            num_ctx, embeds = self._observed.num_ctx(spec), self._observed.embeds(spec)
            task = asyncio.create_task(self._server.load(spec.name, num_ctx, self._timeout, embeds=embeds))
            self._tasks[spec.name] = task
        return task
