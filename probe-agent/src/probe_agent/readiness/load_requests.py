"""Load requests in flight. A disconnect aborts a load, so none is dropped because somebody stopped waiting."""

import asyncio

from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.types import ModelSpec


class LoadRequests:
    """At most one load request in flight for each model; `timeout` (seconds) is how long each may take."""

    def __init__(self, server: OllamaClient, timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def pending(self) -> bool:
        """Whether Ollama is still busy with a load request of ours."""
        return any(not task.done() for task in self._tasks.values())

    async def answered(self, pin: ModelSpec, within: float | None = None, *, embeds: bool) -> bool:
        """Load a model, or join the request in flight; raises what it raised.

        After `within` seconds (None: no end) return False, and leave the request in flight.
        """
        task = self._request(pin, embeds=embeds)
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

    def _request(self, pin: ModelSpec, *, embeds: bool) -> asyncio.Task[None]:
        task = self._tasks.get(pin.name)
        if task is None or task.done():
            if task is not None and not task.cancelled():
                task.exception()  # an answer nobody waited for is out of date, be it good or bad
            task = asyncio.create_task(self._server.load(pin, self._timeout, embeds=embeds))
            self._tasks[pin.name] = task
        return task
