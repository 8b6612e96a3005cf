"""A pull from a registry, done by Ollama itself, which resumes.

Ollama checks a blob that it has just fetched, but not one that an earlier, broken pull left. Where the agent sees the
store, it checks all of them itself.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from probe_agent.errors import OllamaError, ServerTimeout, SourceError
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.store import manifest_path
from probe_agent.sources.mount import MountSource
from probe_agent.sources.progress import Progress

log = logging.getLogger(__name__)

# Ollama reports its progress several times a second; a minute without a line is a dead connection.
SILENCE_SECONDS = 60.0
# But for the phase in which it hashes what has come: 40 GB from a disk of 25 MB/s.
VERIFYING = "verifying"
VERIFY_SECONDS = 1800.0
UNREACHED = "Check the way out (Cloud NAT, egress all-traffic) and the model's name; or put the model into the image."
SLOW_DISK = "Look for a slow or failing disk under Ollama's store (OLLAMA_MODELS)."


class _Layer(NamedTuple):
    """What Ollama reported last of one layer, in bytes."""

    total: int
    completed: int


class PullSource:
    """Asks `server` to pull into its store, which is checked as well where `store` is that folder. See `Source`."""

    name = "pull"
    needs_server = True

    def __init__(self, server: OllamaClient, store: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = Progress(clock)
        self.digests: dict[str, str] = {}
        self._server = server
        self._store = store
        self._layers: dict[str, _Layer] = {}
        self._verifying = False

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Pull one model after the other: each is already fetched over many connections."""
        self.progress.reset()
        for model in models:
            await self._pull(model)
        if all((self._store / manifest_path(model)).is_file() for model in models):
            store = MountSource(self._store)
            await store.fetch(models)
            self.digests = store.digests
        else:
            log.warning("%s is not Ollama's store: what was pulled is checked by Ollama alone", self._store)

    async def _pull(self, model: str) -> None:
        self._layers.clear()
        self._verifying = False
        try:
            await self._server.pull(model, SILENCE_SECONDS, self._on_line)
        except ServerTimeout as error:
            if not self._verifying:
                raise SourceError(f"model {model} could not be pulled: {error.reason}", action=UNREACHED) from error
            reason = f"model {model} was pulled, but verifying its digest took more than {VERIFY_SECONDS:g} s"
            raise SourceError(reason, action=SLOW_DISK) from error
        except OllamaError as error:
            raise SourceError(f"model {model} could not be pulled: {error.reason}", action=UNREACHED) from error
        for layer in self._layers.values():  # Ollama does not report a layer that has just become whole
            self.progress.advance(layer.total - layer.completed)

    def _on_line(self, line: dict[str, Any]) -> float:
        """Count what one line reports of a layer, resumed bytes among it; return how long the next line may take."""
        self._verifying = str(line.get("status", "")).startswith(VERIFYING)
        digest, total, completed = line.get("digest"), line.get("total"), line.get("completed", 0)
        if isinstance(digest, str) and isinstance(total, int) and isinstance(completed, int):
            if digest not in self._layers:
                self.progress.expect(total)
            self.progress.advance(completed - (self._layers[digest].completed if digest in self._layers else 0))
            self._layers[digest] = _Layer(total, completed)
        return VERIFY_SECONDS if self._verifying else SILENCE_SECONDS
