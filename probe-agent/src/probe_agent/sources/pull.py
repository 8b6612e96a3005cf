"""A pull from a registry, done by Ollama itself, which resumes.

Ollama checks a blob against its name when it has come, but not one that an earlier try left: a pull that broke off
between the two leaves a blob that nobody has checked. Where the agent sees the store, it checks all of them itself.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from probe_agent.errors import OllamaError, SourceError
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.store import manifest_path
from probe_agent.sources.mount import MountSource
from probe_agent.sources.progress import Progress

log = logging.getLogger(__name__)

# Ollama tells of its progress several times a second; a minute without a word is a dead connection.
SILENCE_SECONDS = 60.0
UNREACHED = "Check the way out (Cloud NAT, egress all-traffic) and the model's name; or put the model into the image."


class _Layer(NamedTuple):
    """What Ollama told last of one layer, in bytes."""

    total: int
    completed: int


class PullSource:
    """Asks `server` to pull into its store, which is checked where it is to be seen in the folder `store`."""

    name = "pull"
    needs_server = True

    def __init__(self, server: OllamaClient, store: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = Progress(clock)
        self.digests: dict[str, str] = {}
        self._server = server
        self._store = store

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Pull one model after the other: each is already fetched over many connections."""
        self.progress.reset()
        for model in models:
            layers: dict[str, _Layer] = {}
            try:
                await self._server.pull(model, SILENCE_SECONDS, lambda line, layers=layers: self._told(line, layers))  # type: ignore[misc]
            except OllamaError as error:
                raise SourceError(f"model {model} could not be pulled: {error.reason}", action=UNREACHED) from error
            # Ollama tells of a layer several times a second, and not when it is whole.
            for layer in layers.values():
                self.progress.advance(layer.total - layer.completed)
        if all((self._store / manifest_path(model)).is_file() for model in models):
            store = MountSource(self._store)
            await store.fetch(models)
            self.digests = store.digests
        else:
            log.warning("%s is not Ollama's store: what was pulled is checked by Ollama alone", self._store)

    def _told(self, line: dict[str, Any], layers: dict[str, _Layer]) -> None:
        """Count one line of Ollama's: how much of which layer is there. What was resumed cannot be told from it."""
        digest, total, completed = line.get("digest"), line.get("total"), line.get("completed", 0)
        if not isinstance(digest, str) or not isinstance(total, int) or not isinstance(completed, int):
            return
        if digest not in layers:
            self.progress.expect(total)
        self.progress.advance(completed - (layers[digest].completed if digest in layers else 0))
        layers[digest] = _Layer(total, completed)
