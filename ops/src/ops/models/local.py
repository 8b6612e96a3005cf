"""Models in the local stores: found by name, listed, and checked before they leave the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.local_store import BUNDLED_MODEL, cache_directory, has_model, model_names, user_store
from ops.models.errors import ModelUnknown, PushError
from probe_agent.errors import ManifestRefused
from probe_agent.ollama.store import StoreManifest, manifest_path, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from probe_agent.ollama.store import BlobRef


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model and the folder of the store that holds it."""

    store: Path
    manifest: StoreManifest

    @property
    def blobs(self) -> list[BlobRef]:
        """The largest first: what time is left is then told from megabytes, not from the two bytes of a `{}`."""
        return sorted(self.manifest.blobs, key=lambda blob: blob.size_bytes, reverse=True)


def stores(environ: Mapping[str, str]) -> list[Path]:
    """Return where to look for models: OLLAMA_MODELS alone, else the default store, then those that `ops up` made."""
    if environ.get("OLLAMA_MODELS"):
        return [user_store(environ)]
    prepared = cache_directory(environ).glob(f"ollama-{BUNDLED_MODEL}-*/")
    return [user_store(environ), *sorted(path for path in prepared if path.is_dir())]


def find(model: str, places: Sequence[Path]) -> LocalModel:
    """Return the model from the first store that has it.

    Raises:
        ModelUnknown: none has it, or it is no name of a model; the text lists what is there.
        PushError: its manifest cannot be used.

    """
    for store in places:
        if not store.is_dir() and len(places) == 1:
            raise ModelUnknown(f"no store at {store}; name another with --store DIR, or by OLLAMA_MODELS")
        if has_model(store, model):
            path = store / manifest_path(model)
            try:
                return LocalModel(store, read_manifest(model, path.read_bytes()))
            except ManifestRefused as error:
                raise PushError(f"{path}: {error}; pull it again: ollama pull {model}") from error
    where = ", ".join(map(str, places))
    there = ", ".join(sorted({name for store in places for name in model_names(store)})) or "none"
    raise ModelUnknown(f"no model {model} in {where}; models there: {there}; another store is named with --store DIR")
