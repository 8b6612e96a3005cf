"""A parallel download from Cloud Storage into a volume that Ollama shares, begun while Ollama boots.

The library's own `download_chunks_concurrently` truncates its file at each call, so that what was interrupted
would begin again: here the parts of a blob are ranged downloads of the same library into a `PartedFile`. A blob
appears under its name when it is whole and has its name's SHA-256, a manifest when all its blobs are there.
"""

import hashlib
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe_agent.errors import BlobDamaged, ManifestRefused, SourceError
from probe_agent.ollama.blobs import check_blob, check_sha256
from probe_agent.ollama.store import BlobRef, StoreManifest, blobs_of, manifest_path, read_manifest
from probe_agent.sources.gcs_errors import MORE_ROOM, THE_WAY, translated
from probe_agent.sources.parallel import Silence, in_parallel
from probe_agent.sources.parts import JOURNAL_SUFFIX, Part, PartedFile, Taken
from probe_agent.sources.progress import Progress
from probe_agent.sources.stoppable import Stop, in_thread

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client
    from requests import Response

# Eight streams fill the network of an instance. A part is one answer, held in memory and written at once (the
# library's other way hands over 8 KiB at a time, which costs a core at 250 MB/s): 8 x 8 MiB at most are held.
WORKERS = 8
PART_BYTES = 8 << 20
# No answer is longer than a part, which is asked for as a range: more is none of Cloud Storage.
ANSWER_BYTES = 2 * PART_BYTES
# To connect: the service is near. To read: between two pieces of an answer, not for the whole of it.
TIMEOUT_SECONDS = (5.0, 30.0)
# The library tries again what is worth it (429, 5xx, broken connections); past this the agent says what is wrong.
RETRY_SECONDS = 30.0
# A server that drips never exceeds the time-out between two pieces. Eight parts come in this time at 9 Mbit/s; who is
# slower starts within no budget.
SILENCE_SECONDS = 60.0
# Reads that still drip for tries that were given up, each with its thread: beside so many no more are begun.
MOST_HANGING = 2 * WORKERS
ASIDE = ".fetching"
THREADS = "download"

log = logging.getLogger(__name__)


class GcsSource:
    """Downloads models from the store at `url` (gs://BUCKET/PREFIX) into the store in `folder`. See `Source`."""

    name = "gcs"
    needs_server = False

    def __init__(self, url: str, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.progress = Progress(clock)
        self.digests: dict[str, str] = {}
        self._url = url
        self._folder = folder
        self._bucket_name, _, prefix = url.removeprefix("gs://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Download what is missing, check everything."""
        self.progress.reset()
        await in_thread(lambda stop: self._fetch(models, stop))

    def _fetch(self, models: tuple[str, ...], stop: Stop) -> None:
        with translated(self._url, self._folder), self._client() as client:
            bucket = client.bucket(self._bucket_name)
            manifests = [self._manifest(bucket, model) for model in models]
            blobs = blobs_of(manifests)
            self.progress.expect(sum(blob.size_bytes for blob in blobs))
            self._sweep({blob.file_name for blob in blobs})
            self._need_room(blobs)
            for blob in blobs:
                self._deliver(bucket, blob, stop)
            for manifest in manifests:
                place = self._folder / manifest.path
                place.parent.mkdir(parents=True, exist_ok=True)
                aside = self._aside(f"{manifest.digest}-{secrets.token_hex(4)}")  # another agent may write the same
                aside.write_bytes(manifest.content)
                aside.replace(place)
            self.digests = {manifest.model: manifest.digest for manifest in manifests}

    def _client(self) -> "Client":
        from google.cloud import storage  # noqa: PLC0415 — slow to import, and only who downloads needs it

        client = storage.Client(project="unused")
        client._http.hooks["response"].append(_refuse_strange)  # noqa: SLF001 — the library has no other door to it
        return client

    def _manifest(self, bucket: "Bucket", model: str) -> StoreManifest:
        try:
            path = manifest_path(model)
            content = bucket.blob(self._prefix + path).download_as_bytes(**_patience())
            return read_manifest(model, content)
        except ManifestRefused as error:
            raise SourceError(str(error), action=f"Copy the store with {model} again: gcloud storage rsync.") from error

    def _deliver(self, bucket: "Bucket", blob: BlobRef, stop: Stop) -> None:
        """Bring one blob to its place; a wrong one is fetched once more."""
        place = self._folder / blob.path
        try:
            check_blob(place, blob, lambda _: stop.check())
        except BlobDamaged as damage:
            if place.exists():
                log.warning("%s, fetching it anew", damage.reason)
                place.unlink()
        else:
            self.progress.resume(blob.size_bytes)
            return
        try:
            self._download(bucket, blob, stop)
        except BlobDamaged as damage:
            log.warning("%s, fetching it once more", damage.reason)
            self._download(bucket, blob, stop)

    def _download(self, bucket: "Bucket", blob: BlobRef, stop: Stop) -> None:
        """Download the parts that are missing, hash all of them in order while later ones still come, and publish.

        Raises `BlobDamaged` for a wrong hash or length, and then remembers nothing of the parts.
        """
        try:
            with PartedFile(self._aside(blob.file_name), blob.size_bytes, PART_BYTES) as file:
                resumed = file.there_bytes
                self.progress.resume(resumed)
                try:
                    self._bring(bucket, blob, file, stop)
                except BlobDamaged:
                    self.progress.advance(resumed - file.forget())
                    self.progress.resume(-resumed)
                    raise
                file.publish(self._folder / blob.path)
        except Taken:
            reason = f"{self._folder}: another process is fetching {blob.file_name} into the same volume"
            raise SourceError(reason, action="Nothing: it is tried again. Better give each agent its volume.") from None

    def _bring(self, bucket: "Bucket", blob: BlobRef, file: PartedFile, stop: Stop) -> None:
        def bring(part: Part) -> None:
            stop.check()
            file.write(part, self._part(bucket, blob, part))
            self.progress.advance(part.size_bytes)

        self._expect_no_more_hanging()
        found, missing = hashlib.sha256(), file.missing
        awaited = set(missing)
        with in_parallel(bring, missing, WORKERS, name=THREADS, silence_seconds=SILENCE_SECONDS) as coming:
            for part in file.parts:
                if part in awaited:
                    self._await(coming)
                stop.check()
                file.hash_into(found, part)
        check_sha256(found.hexdigest(), blob)

    def _expect_no_more_hanging(self) -> None:
        hanging = sum(thread.name == THREADS for thread in threading.enumerate())
        if hanging > MOST_HANGING:
            reason = f"{self._url}: {hanging} downloads of earlier tries still hang"
            raise SourceError(reason, action=THE_WAY)

    def _await(self, coming: Iterator[None]) -> None:
        try:
            next(coming)
        except Silence:
            reason = f"{self._url}: no part of {PART_BYTES >> 20} MiB came within {SILENCE_SECONDS:g} s"
            raise SourceError(reason, action=THE_WAY) from None

    def _part(self, bucket: "Bucket", blob: BlobRef, part: Part) -> bytes:
        from google.api_core.exceptions import RequestRangeNotSatisfiable  # noqa: PLC0415 — as above

        answer = _Answer()
        try:
            bucket.blob(self._prefix + blob.path).download_to_file(
                answer, start=part.start, end=part.end, raw_download=True, single_shot_download=True, **_patience()
            )
        except RequestRangeNotSatisfiable:
            raise BlobDamaged(blob.file_name, f"ends before byte {part.start:,} of {blob.size_bytes:,}") from None
        if len(answer.content) != part.size_bytes:
            fault = f"has {len(answer.content):,} bytes from byte {part.start:,} on, expected {part.size_bytes:,}"
            raise BlobDamaged(blob.file_name, fault)
        return answer.content

    def _sweep(self, wanted: set[str]) -> None:
        """Remove what was begun for a model that the bucket no longer has: it would take the volume's room for good."""
        for journal in (self._folder / ASIDE).glob(f"*{JOURNAL_SUFFIX}"):
            name = journal.name.removesuffix(JOURNAL_SUFFIX)
            if name not in wanted:
                with suppress(Taken), PartedFile(journal.with_name(name), 0, PART_BYTES) as file:
                    file.discard()

    def _need_room(self, blobs: tuple[BlobRef, ...]) -> None:
        """Say at once that the volume is too small, and not when most of the model has come."""
        size = sum(max(0, blob.size_bytes - self._there(blob)) for blob in blobs)
        usage = shutil.disk_usage(self._folder)
        if usage.total and usage.free < size:  # a volume without a bound has no total
            reason = f"the volume is too small: {usage.free / 1e6:,.0f} MB free, {size / 1e6:,.0f} MB are to come"
            raise SourceError(f"{self._folder}: {reason}", action=MORE_ROOM)

    def _there(self, blob: BlobRef) -> int:
        """Return how many bytes of the volume a blob has taken already; parts to come are holes in its file."""
        places = (self._folder / blob.path, self._aside(blob.file_name))
        return sum(place.stat().st_blocks * 512 for place in places if place.exists())

    def _aside(self, name: str) -> Path:
        path = self._folder / ASIDE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _refuse_strange(answer: "Response", **_options: Any) -> None:
    """Break off, before its body is read, what is no answer of Cloud Storage's and proves nothing of a blob.

    That is one that could not be kept in memory, or a page that something in between sends in place of a range.
    """
    from requests import RequestException  # noqa: PLC0415 — as above

    length = int(answer.headers.get("Content-Length") or 0)
    first, _, last = str(answer.request.headers.get("Range", "")).removeprefix("bytes=").partition("-")
    no_range = answer.status_code == HTTPStatus.OK and last and length != int(last) - int(first) + 1
    if length > ANSWER_BYTES or no_range:
        answer.close()
        raise RequestException(f"status {answer.status_code} with {length:,} bytes is no answer of Cloud Storage's")


class _Answer:
    """A file for one answer, which the library hands over in one piece."""

    content = b""

    def write(self, content: bytes) -> None:
        """Take it."""
        self.content = content


def _patience() -> dict[str, Any]:
    from google.cloud.storage.retry import DEFAULT_RETRY  # noqa: PLC0415 — as above

    return {"timeout": TIMEOUT_SECONDS, "retry": DEFAULT_RETRY.with_timeout(RETRY_SECONDS), "checksum": None}
