"""Which source the settings ask for."""

from pathlib import Path

from probe_agent.ollama.client import OllamaClient
from probe_agent.settings import Settings
from probe_agent.sources.mount import MountSource
from probe_agent.sources.pull import PullSource
from probe_agent.sources.source import Source
from probe_agent.variables import ModelSource


def choose(settings: Settings, server: OllamaClient) -> Source | None:
    """Return the source; None where the model is in the image and nothing has to come."""
    store = Path(settings.model_store)
    match settings.model_source:
        case ModelSource.MOUNT:
            return MountSource(store)
        case ModelSource.GCS:
            from probe_agent.sources.gcs import GcsSource  # noqa: PLC0415 — only who downloads pays for its imports

            return GcsSource(settings.model_bucket, store)
        case ModelSource.PULL:
            return PullSource(server, store)
        case _:
            return None
