"""The one fetch of an instance: begun as early as its source allows, joined by who needs the model."""

import asyncio
import logging
from collections.abc import Iterable

from probe_agent.errors import BlobDamaged
from probe_agent.sources.source import Source

log = logging.getLogger(__name__)

# One line of progress in so many seconds: enough to see that it moves, few enough to read.
REPORT_SECONDS = 5.0


class Fetch:
    """At most one run of a source at a time. It goes on whoever stops waiting, and is begun anew after a failure."""

    def __init__(self, source: Source, models: Iterable[str]) -> None:
        self.source = source
        self.delivered = False
        self._models = tuple(models)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> "asyncio.Task[None]":
        """Start, unless it runs, has delivered already, or has found what no other try mends; return the run."""
        if self._task is None or (self._task.done() and not self.delivered and not self._in_vain(self._task)):
            self._task = asyncio.create_task(self._run())
        return self._task

    def _in_vain(self, task: "asyncio.Task[None]") -> bool:
        """Whether a run ended with a damaged blob; any other error is out of date: told, or nobody waited for it."""
        return not task.cancelled() and isinstance(task.exception(), BlobDamaged)

    async def done(self) -> None:
        """Wait until everything is delivered; raises what the source raised, of the run that is under way."""
        await asyncio.shield(self.begin())

    def forget(self) -> None:
        """What was delivered is gone: the next `done` fetches again."""
        self.delivered = False

    async def abandon(self) -> None:
        """Stop; what was fetched so far can be resumed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        report = asyncio.create_task(self._report())
        try:
            await self.source.fetch(self._models)
            self.delivered = True
        finally:
            report.cancel()
            self.source.progress.end()
        log.info("fetched from %s: %s", self.source.name, self.source.progress.snapshot())

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            log.info("fetching from %s: %s", self.source.name, self.source.progress.snapshot())
