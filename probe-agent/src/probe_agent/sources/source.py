"""What every model source has in common, so that the way up need not know which one it waits for."""

from typing import Protocol

from probe_agent.sources.progress import Progress


class Source(Protocol):
    """Brings models into Ollama's store, or sees that they are whole there.

    `name` is what PROBE_AGENT_MODEL_SOURCE calls it; `needs_server` tells whether Ollama itself does the work,
    so that there is nothing to do before it answers; `progress` may be read at any time; `digests` has, by model,
    the digest of what was verified (64 hex digits, as `/api/tags` shows it), as far as the source saw the files.
    """

    name: str
    needs_server: bool
    progress: Progress
    digests: dict[str, str]

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Return when every blob of every model is in place and verified. May be called again after any end.

        Cancelled, it stops within a second and keeps what can be resumed. Raises `BlobDamaged` for a blob that is
        wrong even when fetched once more, and `SourceError` for what another try may mend: a lost connection, a
        full volume, a missing bucket or object, no permission.
        """
