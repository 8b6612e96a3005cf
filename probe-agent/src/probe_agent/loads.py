"""Load requests in flight. A disconnect aborts a load, so none is dropped because somebody stopped waiting."""

import asyncio

from probe_agent.ollama_server import OllamaServer
from probe_agent.proof import ModelPin


class Loads:
    """At most one load request in flight for each model; `timeout` (seconds) is how long each may take."""

    def __init__(self, server: OllamaServer, timeout: float) -> None:
        self._server = server
        self._timeout = timeout
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def pending(self) -> bool:
        """Whether Ollama is still busy with a load request of ours."""
        return any(not task.done() for task in self._tasks.values())

    async def finish(self, pin: ModelPin, *, embeds: bool) -> None:
        """Load a model, or wait for the load in flight; raises what the request raised."""
        task = self._request(pin, embeds=embeds)
        await asyncio.wait({task})
        task.result()

    async def answered(self, pin: ModelPin, within: float, *, embeds: bool) -> bool:
        """Ask like `finish`, but wait `within` seconds at most and leave an unanswered request in flight."""
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

    def _request(self, pin: ModelPin, *, embeds: bool) -> asyncio.Task[None]:
        task = self._tasks.get(pin.name)
        if task is None or task.done():
            if task is not None and not task.cancelled():
                task.exception()  # an answer nobody waited for is out of date, be it good or bad
            task = asyncio.create_task(self._server.load(pin, self._timeout, embeds=embeds))
            self._tasks[pin.name] = task
        return task
