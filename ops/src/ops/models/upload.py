"""A model's way into a bucket: in parts, side by side, resumed by whoever runs the same command again.

A blob of more than one part is sent as temporary objects, each named by its place in the blob, which `compose` then
joins. A resumable session would need no temporary objects; but it is one stream, its address is a secret to be kept
in a file, two pushes at once must not share it, and another machine could not go on with it. Here the bucket itself
says what is there already, and every call is one of the library's public ones. The price: rights to delete, and in a
bucket with soft delete the parts are paid for until that ends.

Nothing is seen under its own name before it is whole: Cloud Storage shows no object before its last byte, and
compares each upload with the CRC-32C that is sent along. Two pushes at once cannot spoil each other: what a name
holds follows from the name (of a blob and of a part alike), and each write says which generation it replaces.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage.retry import DEFAULT_RETRY

from ops.models.errors import PushError
from ops.models.pieces import crc32c_of, read_piece
from probe_agent.sources.parallel import in_parallel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from google.cloud.storage import Blob, Client

    from ops.models.local import LocalModel
    from probe_agent.ollama.store import BlobRef
    from probe_agent.sources.progress import Progress

ASIDE = ".uploading"
"""Under the store's prefix; neither Ollama nor the agent looks there."""
PART_BYTES = 8 << 20
"""The most that the library sends in one request, and so the most that an interruption loses of each stream."""
WORKERS = 8
"""Streams; the library copies what it sends, so that all of them take about 300 MB of memory."""
MAX_SOURCES = 32
"""The most objects that one call of `compose` takes."""
# To connect (the service is near), and for the answer, of which none needs a computation over data.
ASK_TIMEOUT_SECONDS = (5.0, 30.0)
# The first bounds not the connecting alone: it stays the socket's time-out while a whole part is sent, and eight
# parts must get through a line of 2 Mbit/s. The second is for the answer once the part is there.
SEND_TIMEOUT_SECONDS = (300.0, 60.0)
# Joining moves no data, but Cloud Storage may take its time over 32 objects.
COMPOSE_TIMEOUT_SECONDS = (5.0, 120.0)
# The library tries again what is worth it (429, 5xx, broken connections); past this the operator is told.
RETRY_SECONDS = 120.0
# For the first word with the bucket, before anything was sent: nobody should sit before a wrong address for minutes.
FIRST_RETRY_SECONDS = 15.0
CONTENT_TYPE = "application/octet-stream"


class Upload:
    """Puts models into the store at `url` (gs://BUCKET or gs://BUCKET/PREFIX, without a slash at its end).

    `progress` is told of bytes: resumed where they were in the bucket already, advanced where they were sent.
    """

    def __init__(self, client: Client, url: str, progress: Progress) -> None:
        bucket, _, prefix = url.removeprefix("gs://").partition("/")
        self._client = client
        self._bucket = client.bucket(bucket)
        self._prefix = f"{prefix}/" if prefix else ""
        self._progress = progress

    def run(self, local: LocalModel, crc32c: Mapping[str, str]) -> None:
        """Send what the bucket lacks, the manifest last. `crc32c` has each blob's, by its SHA-256.

        Raises:
            PushError: another push was in the way, or a file is no longer what was checked.
            GoogleAPIError, GoogleAuthError, RequestException: of the library, after its own retries.
            OSError: the local store cannot be read.

        """
        manifest = local.manifest
        self._progress.expect(manifest.size_bytes + len(manifest.content))
        # Also the first word with the bucket: one that is missing or closed is told by it.
        left = self._aside(retry_seconds=FIRST_RETRY_SECONDS)
        for blob in local.blobs:
            self._deliver(local.store / blob.path, blob, crc32c[blob.sha256], left)
        name = self._prefix + manifest.path
        self._put(name, manifest.content, self._look(name))

    def _deliver(self, path: Path, blob: BlobRef, crc32c: str, left: Mapping[str, Blob]) -> None:
        name = self._prefix + blob.path
        there = self._look(name)
        if _holds(there, blob.size_bytes, crc32c):
            self._progress.resume(blob.size_bytes)
        elif blob.size_bytes <= PART_BYTES:
            there = self._put(name, read_piece(path, 0, blob.size_bytes), there)
        else:
            self._put_parts(path, name, blob, left, there)
            there = self._look(name)
        if there and blob.size_bytes > PART_BYTES:  # where there is none yet, another push still needs the parts
            self._sweep(blob)
        if not _holds(there, blob.size_bytes, crc32c):
            raise _hindered(name)

    def _put_parts(self, path: Path, name: str, blob: BlobRef, left: Mapping[str, Blob], there: Blob | None) -> None:
        """Send a blob's parts and join them; without effect where another push was quicker and swept them away."""

        def put(start: int) -> Blob:
            content = read_piece(path, start, min(PART_BYTES, blob.size_bytes - start))
            part = _part_name(f"{self._prefix}{ASIDE}/{blob.file_name}/{start}", len(content))
            return self._put(part, content, left.get(part))

        with in_parallel(put, range(0, blob.size_bytes, PART_BYTES), WORKERS, name="upload") as sent:
            parts = list(sent)
        with contextlib.suppress(NotFound, PreconditionFailed):
            while len(parts) > MAX_SOURCES:
                parts = [self._join(parts[i : i + MAX_SOURCES]) for i in range(0, len(parts), MAX_SOURCES)]
            self._compose(name, parts, there.generation if there else 0)

    def _join(self, parts: Sequence[Blob]) -> Blob:
        """Join neighbours to a larger part; one that is there is taken: its name says what it holds."""
        if len(parts) == 1:
            return parts[0]
        name = _part_name(parts[0].name.rpartition("+")[0], sum(part.size for part in parts))
        try:
            return self._compose(name, parts, 0)
        except PreconditionFailed:
            there = self._look(name)
            if there is None:
                raise
            return there

    def _compose(self, name: str, parts: Sequence[Blob], generation: int) -> Blob:
        """Join parts, each in the generation that was seen of it, in place of `generation` (0: of nothing)."""
        joined = self._bucket.blob(name)
        joined.content_type = CONTENT_TYPE
        joined.compose(parts, if_generation_match=generation, **_patience(COMPOSE_TIMEOUT_SECONDS))
        return joined

    def _put(self, name: str, content: bytes, there: Blob | None) -> Blob:
        """Send one object in one request, unless `there`, what its name holds, is the same already."""
        crc32c = crc32c_of(content)
        if not _holds(there, len(content), crc32c):
            sent = self._bucket.blob(name)
            generation = there.generation if there else 0
            try:
                sent.upload_from_string(
                    content,
                    content_type=CONTENT_TYPE,
                    if_generation_match=generation,
                    checksum="crc32c",
                    **_patience(SEND_TIMEOUT_SECONDS),
                )
            except PreconditionFailed:  # another push, or a try of this one whose answer was lost
                there = self._look(name)
                if not _holds(there, len(content), crc32c):
                    raise _hindered(name) from None
            else:
                self._progress.advance(len(content))
                return sent
        self._progress.resume(len(content))
        return there

    def _look(self, name: str) -> Blob | None:
        return self._bucket.get_blob(name, **_patience(ASK_TIMEOUT_SECONDS))

    def _aside(self, folder: str = "", retry_seconds: float | None = None) -> dict[str, Blob]:
        prefix = f"{self._prefix}{ASIDE}/{folder}"
        patience = _patience(ASK_TIMEOUT_SECONDS, retry_seconds)
        found = self._client.list_blobs(self._bucket, prefix=prefix, **patience)
        return {blob.name: blob for blob in found}

    def _sweep(self, blob: BlobRef) -> None:
        """Remove a blob's parts, also those of an earlier push that was interrupted."""

        def remove(part: Blob) -> None:
            with contextlib.suppress(NotFound, PreconditionFailed):  # another push sweeps, too
                part.delete(if_generation_match=part.generation, **_patience(ASK_TIMEOUT_SECONDS))

        with in_parallel(remove, self._aside(f"{blob.file_name}/").values(), WORKERS, name="sweep") as removed:
            list(removed)


def _part_name(start: str, size: int) -> str:
    return f"{start}+{size}"


def _holds(there: Blob | None, size: int, crc32c: str) -> bool:
    return there is not None and (there.size, there.crc32c) == (size, crc32c)


def _hindered(name: str) -> PushError:
    return PushError(f"{name}: another push is writing it, or its file changed meanwhile; run the same command again")


def _patience(timeout: tuple[float, float], retry_seconds: float | None = None) -> dict[str, Any]:
    return {"timeout": timeout, "retry": DEFAULT_RETRY.with_timeout(retry_seconds or RETRY_SECONDS)}
