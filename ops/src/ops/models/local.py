"""Models in the local stores: found by name, listed, and checked before they leave the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.models.errors import ModelUnknown, PushError
from ops.up.model_store import BUNDLED_MODEL, cache_directory, has_model, user_store
from probe_agent.errors import ManifestRefused
from probe_agent.models.layout import StoreManifest, manifest_path, model_name, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from probe_agent.models.layout import BlobRef


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
    """Return where models are looked for, in this order: the operator's own store, then those that `ops up` made."""
    prepared = cache_directory(environ).glob(f"ollama-{BUNDLED_MODEL}-*/")
    return [user_store(environ), *sorted(path for path in prepared if path.is_dir())]


def find(model: str, places: Sequence[Path]) -> LocalModel:
    """Return the model from the first store that has it.

    Raises:
        ModelUnknown: none has it, or it is no name of a model; the text lists what is there.
        PushError: its manifest cannot be used.

    """
    for store in places:
        if has_model(store, model):
            path = store / manifest_path(model)
            try:
                return LocalModel(store, read_manifest(model, path.read_bytes()))
            except ManifestRefused as error:
                raise PushError(f"{path}: {error}; pull it again: ollama pull {model}") from error
    where = ", ".join(map(str, places))
    there = ", ".join(sorted({name for store in places for name in names(store)})) or "none"
    raise ModelUnknown(f"no model {model} in {where}; models there: {there}; another store is named with --store DIR")


def names(store: Path) -> Iterable[str]:
    """Yield the models of a store as people write them: registry.ollama.ai/library/gemma3/4b is gemma3:4b."""
    for path in store.glob("manifests/*/*/*/*"):
        yield model_name(path.relative_to(store).as_posix())
