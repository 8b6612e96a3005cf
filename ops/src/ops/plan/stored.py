"""Models in the local Ollama stores, found by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.local_store import BUNDLED_MODEL, cache_directory, has_model, model_names, user_store
from ops.plan.errors import SourceError
from probe_agent.errors import ManifestRefused
from probe_agent.ollama.store import StoreManifest, manifest_path, read_manifest


def stores(environ: Mapping[str, str]) -> list[Path]:
    """Return where to look for models: OLLAMA_MODELS alone, else the default store, then those that `ops up` made."""
    if environ.get("OLLAMA_MODELS"):
        return [user_store(environ)]
    prepared = cache_directory(environ).glob(f"ollama-{BUNDLED_MODEL}-*/")
    return [user_store(environ), *sorted(path for path in prepared if path.is_dir())]


def find(model: str, places: Sequence[Path]) -> tuple[Path, StoreManifest]:
    """Return the first store that has the model, and its manifest there.

    Raises:
        SourceError: no store has it, or its manifest cannot be used; the text lists what is there.

    """
    for store in places:
        if not store.is_dir() and len(places) == 1:
            raise SourceError(f"no store at {store}; name another with --store DIR, or by OLLAMA_MODELS")
        if has_model(store, model):
            path = store / manifest_path(model)
            try:
                return store, read_manifest(model, path.read_bytes())
            except ManifestRefused as error:
                raise SourceError(f"{path}: {error}; pull it again: ollama pull {model}") from error
    where = ", ".join(map(str, places))
    there = ", ".join(sorted({name for store in places for name in model_names(store)})) or "none"
    raise SourceError(f"no model {model} in {where}; models there: {there}; another store is named with --store DIR")
