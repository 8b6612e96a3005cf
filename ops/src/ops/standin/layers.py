"""What a model in Ollama's layout is made of: blobs that a manifest lists, and one on its way into the store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from probe_agent.ollama.store import BlobRef

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIG_MEDIA_TYPE = "application/vnd.docker.container.image.v1+json"
PARAMS_MEDIA_TYPE = "application/vnd.ollama.image.params"
TEMPLATE_MEDIA_TYPE = "application/vnd.ollama.image.template"
SYSTEM_MEDIA_TYPE = "application/vnd.ollama.image.system"
_MANIFEST_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Layer:
    """A blob as a manifest lists it."""

    blob: BlobRef
    is_new: bool = False
    origin: str = ""
    """The model that it was taken over from."""

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        digest = f"sha256:{self.blob.sha256}"
        fields = {"mediaType": self.blob.media_type, "digest": digest, "size": self.blob.size_bytes}
        return {**fields, "from": self.origin} if self.origin else fields


class NewBlob:
    """Content on its way into a store; what it is becomes known with its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0
        self.is_new = True

    @property
    def ref(self) -> BlobRef:
        """What it is so far."""
        return BlobRef(self._sha256.hexdigest(), self._size_bytes, "")

    def write(self, piece: bytes) -> None:
        """Add to it; OSError as usual."""
        self._file.write(piece)
        self._sha256.update(piece)
        self._size_bytes += len(piece)


def manifest_document(config: Layer, layers: Iterable[Layer]) -> dict[str, Any]:
    """Return a manifest, its fields in Ollama's order."""
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_MEDIA_TYPE,
        "config": config.entry,
        "layers": [layer.entry for layer in layers],
    }
