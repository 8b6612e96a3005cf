"""A model store on disk in Ollama's layout: what lies there is served, and what is created is put there.

It is kept as with OLLAMA_NOPRUNE (only `remove` removes), and looked through once, at the start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ops.standin import wire
from ops.standin.errors import ApiError
from ops.standin.llamacpp import stored_model
from ops.standin.models import ServedModel
from probe_agent.errors import ManifestRefused
from probe_agent.ollama.store import (
    DIGEST,
    BlobRef,
    StoreManifest,
    blobs_of,
    manifest_path,
    model_name,
    read_manifest,
)

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
    # The model that it was taken over from.
    origin: str = ""

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


class DiskStore:
    """The folder `root`, which need not be there before something is written, and may be read-only."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def models(self) -> Iterator[ServedModel]:
        """Yield what can be served; for any other model, say why on standard error."""
        for path in self._manifest_paths():
            name = model_name(path.relative_to(self.root).as_posix())
            try:
                yield self.describe(self.manifest(name))
            except (OSError, ValueError, TypeError, ApiError, ManifestRefused) as error:
                sys.stderr.write(f"ops.standin: model {name} is left out: {error}\n")

    def manifest(self, name: str) -> StoreManifest:
        """Read a model's manifest; FileNotFoundError where there is none, ManifestRefused where it is damaged."""
        return read_manifest(name, (self.root / manifest_path(name)).read_bytes())

    def describe(self, manifest: StoreManifest) -> ServedModel:
        """Return the model as its layers tell it; OSError or ValueError for one without a GGUF file."""
        if manifest.weights is None:
            raise ValueError("it has no weights here")
        texts = {
            blob.media_type: (self.root / blob.path).read_text(encoding="utf-8")
            for blob in manifest.blobs
            if blob.media_type in {PARAMS_MEDIA_TYPE, TEMPLATE_MEDIA_TYPE, SYSTEM_MEDIA_TYPE}
        }
        parameters: dict[str, Any] = dict(json.loads(texts.get(PARAMS_MEDIA_TYPE, "{}")))
        # What is no number stays with the others, for each load to refuse.
        num_ctx = parameters.pop("num_ctx") if isinstance(parameters.get("num_ctx"), int) else None
        path = self.root / manifest.weights.path
        changed = (self.root / manifest.path).stat().st_mtime
        return replace(
            stored_model(manifest.model, path, num_ctx, digest=manifest.weights.sha256),
            digest=manifest.digest,
            size=manifest.size_bytes,
            parameters=parameters,
            template=texts.get(TEMPLATE_MEDIA_TYPE, ""),
            system=texts.get(SYSTEM_MEDIA_TYPE, ""),
            modified_at=wire.instant(datetime.fromtimestamp(changed, UTC)),
        )

    def blob(self, digest: str) -> Path:
        """Return where the blob `sha256:HEX` lies or would; ApiError 400 for another form of name."""
        match = DIGEST.fullmatch(digest)
        if match is None:
            raise ApiError(400, "invalid digest format")
        return self.root / BlobRef(match[1], 0, "").path

    @contextlib.contextmanager
    def adding(self) -> Iterator[NewBlob]:
        """Take in content, stored at the end under its own digest, and not at all when it breaks off; OSError."""
        with self._aside() as file:
            yield (new := NewBlob(file))
            target = self.root / new.ref.path
            new.is_new = not target.exists()
            _settle(file, target)

    def add(self, pieces: Iterable[bytes], media_type: str) -> Layer:
        """Store content as a layer; OSError as usual."""
        with self.adding() as new:
            for piece in pieces:
                new.write(piece)
        return Layer(replace(new.ref, media_type=media_type), is_new=new.is_new)

    def touch(self, path: Path) -> None:
        """Mark a blob as used now, as Ollama does; OSError unless the file is ours: a read-only store refuses here."""
        now = datetime.now(UTC).timestamp()
        try:
            os.utime(path, (now, now))
        except OSError as error:
            error.filename = str(path)  # which Python leaves out here
            raise

    def put(self, name: str, config: Layer, layers: Iterable[Layer]) -> StoreManifest:
        """Write a model's manifest, whole or not at all; OSError as usual."""
        path = self.root / manifest_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._aside() as file:
            file.write(wire.go_json(manifest_document(config, layers)))
            _settle(file, path)
        return self.manifest(name)

    def remove(self, manifest: StoreManifest) -> None:
        """Remove a model, and the blobs that no other one has; OSError as usual."""
        path = self.root / manifest.path
        path.unlink()
        with contextlib.suppress(OSError):  # the first folder that holds another model
            for folder in path.parents[:3]:
                folder.rmdir()
        kept = {blob.sha256 for blob in blobs_of(self._others())}
        for blob in manifest.blobs:
            if blob.sha256 not in kept:
                (self.root / blob.path).unlink(missing_ok=True)

    def _others(self) -> Iterator[StoreManifest]:
        for path in self._manifest_paths():
            with contextlib.suppress(ManifestRefused):  # damaged: Ollama too looks past it
                yield read_manifest(path.name, path.read_bytes())

    def _manifest_paths(self) -> list[Path]:
        return sorted(self.root.glob("manifests/*/*/*/*"))

    @contextlib.contextmanager
    def _aside(self) -> Iterator[IO[bytes]]:
        """Open a file that is gone at the end unless it got a name: nobody ever sees half of one."""
        blobs = self.root / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=blobs, prefix="incoming-", delete=False) as file:
            try:
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)


def _settle(file: IO[bytes], target: Path) -> None:
    file.flush()
    aside = Path(file.name)
    aside.chmod(0o644)  # Ollama's; a temporary file is its owner's alone
    aside.replace(target)
