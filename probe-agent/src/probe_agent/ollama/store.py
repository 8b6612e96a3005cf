"""How Ollama stores models, on disk and in a bucket alike: pure, no I/O.

    manifests/HOST/NAMESPACE/MODEL/TAG    JSON: which blobs the model is made of, and their sizes
    blobs/sha256-HEX                      named by the SHA-256 of its content

What `/api/tags` calls a model's digest is the SHA-256 of its manifest file.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from probe_agent.errors import ManifestRefused
from probe_agent.ollama.names import short_name, store_parts

# Of a path in the store: what Ollama itself accepts, and nothing that could lead out of it.
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}(?::[0-9]{1,5})?")
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
# The weights among the blobs of a model; GGUF in every model that llama.cpp serves.
MODEL_MEDIA_TYPE = "application/vnd.ollama.image.model"
# 16 TiB: more than any model, and few enough parts of a download to keep a list of.
MAX_BLOB_BYTES = 1 << 44


@dataclass(frozen=True, slots=True)
class BlobRef:
    """One file that a model is made of: `sha256` is 64 hex digits of its content's, `size_bytes` its length."""

    sha256: str
    size_bytes: int
    media_type: str

    @property
    def file_name(self) -> str:
        """The name that Ollama gives the file."""
        return f"sha256-{self.sha256}"

    @property
    def path(self) -> str:
        """Where the file lies in the store, with forward slashes."""
        return f"blobs/{self.file_name}"


@dataclass(frozen=True, slots=True)
class StoreManifest:
    """A model as the store knows it. `content` is the manifest file, `blobs` what it names, each once."""

    model: str
    content: bytes
    blobs: tuple[BlobRef, ...]

    @property
    def path(self) -> str:
        """Where the manifest lies in the store, with forward slashes."""
        return manifest_path(self.model)

    @property
    def digest(self) -> str:
        """What Ollama calls the model's digest: 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def size_bytes(self) -> int:
        """All blobs together."""
        return sum(blob.size_bytes for blob in self.blobs)

    @property
    def weights(self) -> BlobRef | None:
        """The file of the weights, where the model has one."""
        return next((blob for blob in self.blobs if blob.media_type == MODEL_MEDIA_TYPE), None)


def blobs_of(manifests: Iterable[StoreManifest]) -> tuple[BlobRef, ...]:
    """Return what models are made of, each blob once: models share some."""
    return tuple({blob.sha256: blob for manifest in manifests for blob in manifest.blobs}.values())


def manifest_path(model: str) -> str:
    """Return where the store keeps a model's manifest; raises `ManifestRefused` for a name that is none.

    >>> manifest_path("gemma3:4b-it-qat")
    'manifests/registry.ollama.ai/library/gemma3/4b-it-qat'
    """
    parts = store_parts(model)
    if len(parts) != 4 or not all(PART.fullmatch(part) for part in parts):  # noqa: PLR2004 — host, namespace, model, tag
        raise ManifestRefused(f"{model!r} is no model name; expected [[HOST/]NAMESPACE/]MODEL[:TAG]")
    return "/".join(("manifests", *parts))


def model_name(path: str) -> str:
    """Return the name, as people write it, of the model whose manifest lies at `path`: what `manifest_path` undoes.

    >>> model_name("manifests/registry.ollama.ai/library/gemma3/4b-it-qat")
    'gemma3:4b-it-qat'
    """
    _, host, namespace, model, tag = path.split("/")
    return short_name(f"{host}/{namespace}/{model}:{tag}")


def read_manifest(model: str, content: bytes) -> StoreManifest:
    """Read a manifest file; raises `ManifestRefused` that says what is wrong with it."""
    try:
        document = json.loads(content)
        entries = [document["config"], *document["layers"]]
        blobs = {blob.sha256: blob for blob in map(_blob, entries)}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ManifestRefused(f"the manifest of model {model} is none of Ollama's: {error!r:.300}") from error
    return StoreManifest(model, content, tuple(blobs.values()))


def _blob(entry: dict[str, Any]) -> BlobRef:
    match = DIGEST.fullmatch(entry["digest"])
    size = entry["size"]
    if match is None or type(size) is not int or not 0 <= size <= MAX_BLOB_BYTES:
        raise ValueError(f"blob {entry['digest']!r:.80} of size {size!r:.80}")
    return BlobRef(match[1], size, str(entry.get("mediaType", "")))
