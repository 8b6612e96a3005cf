"""Where the models come from, and the one fetch of an instance: begun early, joined by whoever needs the model."""

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from probe_agent.errors import BlobDamaged
from probe_agent.ollama.client import OllamaClient
from probe_agent.settings import Settings
from probe_agent.sources.mount import MountSource
from probe_agent.sources.progress import Progress
from probe_agent.sources.pull import PullSource
from probe_agent.variables import ModelSource

log = logging.getLogger(__name__)

# Seconds between two lines of progress in the log.
REPORT_SECONDS = 5.0


class Source(Protocol):
    """Brings models into Ollama's store, or checks that they are whole there.

    `name` is the value of PROBE_AGENT_MODEL_SOURCE. `needs_server` says whether Ollama itself does the work. `progress`
    may be read at any time. `digests` has the digest of each verified model (64 hex digits, as `/api/tags` shows it),
    as far as the source reads the files itself.
    """

    name: str
    needs_server: bool
    progress: Progress
    digests: dict[str, str]

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Return when every blob of every model is in place and verified. May be called again after any end.

        When cancelled it stops within a second and keeps what can be resumed. Raises `BlobDamaged` for a blob that is
        wrong even when fetched again, and `SourceError` for what another try may mend: a lost connection, a full
        volume, a missing bucket or object, no permission.
        """


def choose(settings: Settings, server: OllamaClient) -> Source | None:
    """Return the source that the settings name; None where the model is in the image."""
    store = Path(settings.model_store)
    match settings.model_source:
        case ModelSource.MOUNT:
            return MountSource(store)
        case ModelSource.GCS:
            from probe_agent.sources.gcs import GcsSource  # noqa: PLC0415 — google-auth, 0.1 s: only for this source

            return GcsSource(settings.model_bucket, store)
        case ModelSource.PULL:
            return PullSource(server, store)
        case _:
            return None


class Fetch:
    """At most one run of a source at a time. It goes on when a waiter leaves, and starts again after a failure."""

    def __init__(self, source: Source, models: Iterable[str]) -> None:
        self.source = source
        self.delivered = False
        self._models = tuple(models)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> "asyncio.Task[None]":
        """Return the run; start one unless it is under way, has delivered, or found a blob that no retry mends."""
        if self._task is None or (self._task.done() and not self.delivered and not self._damaged(self._task)):
            self._task = asyncio.create_task(self._run())
        return self._task

    def _damaged(self, task: "asyncio.Task[None]") -> bool:
        """Whether a run ended with a damaged blob. Reads the error also so that asyncio does not log it as unread."""
        return not task.cancelled() and isinstance(task.exception(), BlobDamaged)

    async def done(self) -> None:
        """Wait until everything is delivered; raises what the run under way raises."""
        await asyncio.shield(self.begin())

    def forget(self) -> None:
        """Let the next `done` fetch again, because what was delivered is gone."""
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
