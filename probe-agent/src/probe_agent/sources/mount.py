"""A store on a mounted volume, a bucket by FUSE for instance: nothing is moved, everything is checked.

Reading every byte once to check it also brings the files near: the load that follows finds them in memory.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from probe_agent.errors import BlobDamaged, ManifestRefused, SourceError
from probe_agent.ollama.blobs import check_blob
from probe_agent.ollama.store import BlobRef, StoreManifest, blobs_of, manifest_path, read_manifest
from probe_agent.sources.progress import Progress
from probe_agent.sources.threads import Stop, all_of, in_thread

log = logging.getLogger(__name__)

UPLOAD = "Copy the model's manifest and blobs there (docs/model-sources.md)."


class MountSource:
    """Checks the models of the store in `folder`, which Ollama reads too. See `Source`."""

    name = "mount"
    needs_server = False

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = Progress(clock)
        self.digests: dict[str, str] = {}
        self._folder = folder

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Read every blob of every model and compare its hash with its name."""
        self.progress.reset()
        try:
            manifests = [await in_thread(lambda _, model=model: self._manifest(model)) for model in models]  # type: ignore[misc]
            blobs = blobs_of(manifests)
            self.progress.expect(sum(blob.size_bytes for blob in blobs))
            await all_of(*(in_thread(lambda stop, blob=blob: self._check(blob, stop)) for blob in blobs))  # type: ignore[misc]
        except OSError as error:
            reason = f"the volume at {self._folder} cannot be read: {error.strerror}"
            raise SourceError(
                reason, action="Check the volume's mount and the service account's right to read."
            ) from error
        self.digests = {manifest.model: manifest.digest for manifest in manifests}

    def _manifest(self, model: str) -> StoreManifest:
        try:
            return read_manifest(model, (self._folder / manifest_path(model)).read_bytes())
        except FileNotFoundError:
            raise SourceError(f"model {model} is not on the volume at {self._folder}", action=UPLOAD) from None
        except ManifestRefused as error:
            raise SourceError(str(error), action=UPLOAD) from error

    def _check(self, blob: BlobRef, stop: Stop) -> None:
        read = 0

        def advanced(size: int) -> None:
            nonlocal read
            stop.check()
            read += size
            self.progress.advance(size)

        path = self._folder / blob.path
        try:
            check_blob(path, blob, advanced)
        except BlobDamaged as damage:
            log.warning("%s; it is read once more", damage.reason)
            self.progress.advance(-read)
            check_blob(path, blob, advanced)  # once more: a network volume may have had a bad moment
