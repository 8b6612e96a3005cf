"""A parallel download from Cloud Storage into a volume that Ollama shares, begun while Ollama boots.

The library's own `download_chunks_concurrently` truncates its file at each call, so that what was interrupted
would begin again: here the parts of a blob are ranged downloads of the same library, and a journal beside the
file says which of them are done. A blob appears under its name when it is whole and has its name's SHA-256, a
manifest when all its blobs are there.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe_agent.errors import BlobDamaged, ManifestRefused, SourceError
from probe_agent.models.blobs import check_blob
from probe_agent.models.layout import BlobRef, StoreManifest, blobs_of, manifest_path, read_manifest
from probe_agent.models.progress import Progress
from probe_agent.models.stoppable import Stop, in_thread

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client

# Eight streams fill the network of an instance; parts of 32 MiB make an interruption cost little.
WORKERS = 8
PART_BYTES = 32 << 20
# To connect: the service is near. To read: between two pieces of an answer, not for the whole of it.
TIMEOUT_SECONDS = (5.0, 30.0)
# The library tries again what is worth it (429, 5xx, broken connections); past this the agent says what is wrong.
RETRY_SECONDS = 30.0
ASIDE = ".fetching"


class GcsSource:
    """Downloads models from the store at `url` (gs://BUCKET/PREFIX) into the store in `folder`. See `Source`."""

    name = "gcs"
    needs_server = False

    def __init__(self, url: str, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = Progress(clock)
        self._url = url
        self._folder = folder
        self._bucket_name, _, prefix = url.removeprefix("gs://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Download what is missing, check everything."""
        self.progress.reset()
        await in_thread(lambda stop: self._fetch(models, stop))

    def _fetch(self, models: tuple[str, ...], stop: Stop) -> None:
        with _translated(self._url, self._folder), self._client() as client:
            bucket = client.bucket(self._bucket_name)
            manifests = [self._manifest(bucket, model) for model in models]
            blobs = blobs_of(manifests)
            self.progress.expect(sum(blob.size_bytes for blob in blobs))
            for blob in blobs:
                self._deliver(bucket, blob, stop)
            for manifest in manifests:
                aside = self._aside(manifest.digest)
                aside.write_bytes(manifest.content)
                self._publish(aside, manifest.path)

    def _client(self) -> "Client":
        from google.cloud import storage  # noqa: PLC0415 — slow to import, and only who downloads needs it

        return storage.Client(project="unused")

    def _manifest(self, bucket: "Bucket", model: str) -> StoreManifest:
        try:
            path = manifest_path(model)
            content = bucket.blob(self._prefix + path).download_as_bytes(**_patience())
            return read_manifest(model, content)
        except ManifestRefused as error:
            raise SourceError(str(error), action=f"Copy model {model} to {self._url} again.") from error

    def _deliver(self, bucket: "Bucket", blob: BlobRef, stop: Stop) -> None:
        """Bring one blob to its place; a wrong one is fetched once more."""
        place = self._folder / blob.path
        try:
            check_blob(place, blob)
        except BlobDamaged:
            place.unlink(missing_ok=True)
        else:
            self.progress.resume(blob.size_bytes)
            return
        aside = self._aside(blob.file_name)
        self._download(bucket, blob, aside, stop)
        try:
            check_blob(aside, blob)
        except BlobDamaged:
            self.progress.advance(-blob.size_bytes)
            _journal(aside).unlink(missing_ok=True)
            self._download(bucket, blob, aside, stop)
            check_blob(aside, blob)
        self._publish(aside, blob.path)

    def _download(self, bucket: "Bucket", blob: BlobRef, aside: Path, stop: Stop) -> None:
        journal = _journal(aside)
        done = {int(line) for line in journal.read_text().split()} if journal.exists() and aside.exists() else set()
        starts = range(0, blob.size_bytes, PART_BYTES)
        sizes = {start: min(PART_BYTES, blob.size_bytes - start) for start in starts}
        self.progress.resume(sum(size for start, size in sizes.items() if start in done))
        with aside.open("r+b" if done else "wb") as file:
            file.truncate(blob.size_bytes)
        with journal.open("a" if done else "w") as written, ThreadPoolExecutor(WORKERS, "download") as pool:

            def part(start: int) -> None:
                with aside.open("r+b", buffering=0) as file:
                    file.seek(start)
                    source = bucket.blob(self._prefix + blob.path)
                    piece = _Counting(file, self.progress, stop)
                    end = start + sizes[start] - 1
                    source.download_to_file(piece, start=start, end=end, raw_download=True, **_patience())
                written.write(f"{start}\n")
                written.flush()

            parts = [pool.submit(part, start) for start in starts if start not in done]
            try:
                for each in parts:
                    each.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)  # of parts that have not begun; the rest is waited for

    def _aside(self, name: str) -> Path:
        path = self._folder / ASIDE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _publish(self, aside: Path, path: str) -> None:
        """Give a finished file its name, at once and for good."""
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        place = self._folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(place)
        _journal(aside).unlink(missing_ok=True)


class _Counting:
    """A file that tells of what is written, and ends a download that nobody waits for."""

    def __init__(self, file: FileIO, progress: Progress, stop: Stop) -> None:
        self._file = file
        self._progress = progress
        self._stop = stop

    def write(self, piece: bytes) -> int:
        """Write the next piece."""
        self._stop.check()
        size = self._file.write(piece)
        self._progress.advance(size)
        return size


def _journal(aside: Path) -> Path:
    return aside.with_name(f"{aside.name}.parts")


def _patience() -> dict[str, Any]:
    from google.cloud.storage.retry import DEFAULT_RETRY  # noqa: PLC0415 — as above

    return {"timeout": TIMEOUT_SECONDS, "retry": DEFAULT_RETRY.with_timeout(RETRY_SECONDS), "checksum": None}


@contextmanager
def _translated(url: str, folder: Path) -> Iterator[None]:
    """Turn what the library, the network and the volume raise into a `SourceError` that says what to do."""
    from google.api_core import exceptions  # noqa: PLC0415 — as above
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415

    try:
        yield
    except exceptions.NotFound as error:
        action = "Check PROBE_AGENT_MODEL_BUCKET, and copy the model there, manifest and blobs."
        raise SourceError(f"{url}: no such bucket or object: {error.message}", action=action) from error
    except (exceptions.Forbidden, exceptions.Unauthorized, GoogleAuthError) as error:
        action = "Give the service account roles/storage.objectViewer on the bucket."
        raise SourceError(f"{url}: no permission: {error}", action=action) from error
    except (exceptions.GoogleAPIError, RequestException) as error:
        action = "Check the way to Cloud Storage: Direct VPC with all-traffic, Private Google Access."
        raise SourceError(f"{url}: the download broke off: {error}", action=action) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        action = "Raise the volume's sizeLimit." if full else "Check the volume's mount: the agent must write there."
        reason = "the volume is full" if full else str(error.strerror)
        raise SourceError(f"{folder}: {reason}", action=action) from error
