"""A parallel download from Cloud Storage into a volume that Ollama shares, begun while Ollama boots.

A blob is fetched in ranges over several connections, and hashed in order while later ranges still come. It appears
under its name when it is whole and has its name's SHA-256, a manifest when all its blobs are there. What a broken
download left is resumed.
"""

import asyncio
import errno
import hashlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import google.auth
import google.auth.transport.requests
import httpx
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError

from probe_agent.errors import BlobDamaged, ManifestRefused, SourceError, cause_of
from probe_agent.ollama.blobs import check_blob, check_sha256
from probe_agent.ollama.store import BlobRef, StoreManifest, blobs_of, manifest_path, read_manifest
from probe_agent.sources.parts import JOURNAL_SUFFIX, Part, PartedFile, Taken
from probe_agent.sources.progress import Progress
from probe_agent.sources.threads import all_of, in_thread

# Eight streams fill the network of an instance. A part is held in memory and written at once: 8 x 8 MiB at most.
WORKERS = 8
PART_BYTES = 8 << 20
# To connect: the service is near. To read: between two pieces of an answer, not for the whole of it.
TIMEOUT = httpx.Timeout(30.0, connect=5.0, pool=None)
# One part in this time, in seconds: a server that drips never exceeds the time-out between two pieces. Eight parts at
# once need 9 Mbit/s; a slower network starts within no budget.
PART_SECONDS = 60.0
# Pauses before a request is repeated, in seconds; past them the agent reports what is wrong, and tries again later.
PAUSES = (0.5, 1.0, 2.0, 4.0)
BUSY = frozenset({408, 429, 500, 502, 503, 504})
ASIDE = ".fetching"
GOOGLE = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
MORE_ROOM = "Raise the volume's sizeLimit."
THE_WAY = "Check the network to Cloud Storage: Direct VPC with all-traffic, Private Google Access."
UPLOAD = "Check PROBE_AGENT_MODEL_BUCKET, and copy the model's manifest and blobs there (docs/model-sources.md)."

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
        bucket, _, prefix = url.removeprefix("gs://").partition("/")
        emulator = os.environ.get("STORAGE_EMULATOR_HOST")
        self._auth = None if emulator else _GoogleAuth()
        self._objects = f"{emulator or GOOGLE}/download/storage/v1/b/{bucket}/o/"
        self._prefix = f"{prefix}/" if prefix else ""

    async def fetch(self, models: tuple[str, ...]) -> None:
        """Download what is missing, check everything."""
        self.progress.reset()
        limits = httpx.Limits(max_connections=WORKERS)
        with _translated(self._url, self._folder):
            async with httpx.AsyncClient(auth=self._auth, timeout=TIMEOUT, limits=limits) as client:
                manifests = [await self._manifest(client, model) for model in models]
                blobs = blobs_of(manifests)
                self.progress.expect(sum(blob.size_bytes for blob in blobs))
                self._sweep({blob.file_name for blob in blobs})
                self._need_room(blobs)
                for blob in blobs:
                    await self._deliver(client, blob)
            for manifest in manifests:
                place = self._folder / manifest.path
                place.parent.mkdir(parents=True, exist_ok=True)
                aside = self._aside(f"{manifest.digest}-{secrets.token_hex(4)}")  # another agent may write the same
                aside.write_bytes(manifest.content)
                aside.replace(place)
        self.digests = {manifest.model: manifest.digest for manifest in manifests}

    async def _manifest(self, client: httpx.AsyncClient, model: str) -> StoreManifest:
        try:
            return read_manifest(model, await self._get(client, manifest_path(model)))
        except ManifestRefused as error:
            raise SourceError(str(error), action=UPLOAD) from error

    async def _deliver(self, client: httpx.AsyncClient, blob: BlobRef) -> None:
        """Bring one blob to its place; a wrong one is fetched once more."""
        place = self._folder / blob.path
        try:
            await in_thread(lambda stop: check_blob(place, blob, lambda _: stop.check()))
        except BlobDamaged as damage:
            if place.exists():
                log.warning("%s; it is fetched again", damage.reason)
                place.unlink()
        else:
            self.progress.resume(blob.size_bytes)
            return
        try:
            await self._download(client, blob)
        except BlobDamaged as damage:
            log.warning("%s; it is fetched once more", damage.reason)
            await self._download(client, blob)

    async def _download(self, client: httpx.AsyncClient, blob: BlobRef) -> None:
        """Download the parts that are missing, verify the whole and publish it; a wrong one leaves no parts behind."""
        try:
            with PartedFile(self._aside(blob.file_name), blob.size_bytes, PART_BYTES) as file:
                resumed = file.there_bytes
                self.progress.resume(resumed)
                try:
                    await self._bring(client, blob, file)
                except BlobDamaged:
                    self.progress.advance(resumed - file.forget())
                    self.progress.resume(-resumed)
                    raise
                file.publish(self._folder / blob.path)
        except Taken:
            reason = f"{self._folder}: another process is fetching {blob.file_name} into the same volume"
            raise SourceError(reason, action="Nothing: it is tried again. Better give each agent its volume.") from None

    async def _bring(self, client: httpx.AsyncClient, blob: BlobRef, file: PartedFile) -> None:
        there = {part: asyncio.Event() for part in file.parts}
        waiting = iter(file.missing)
        found = hashlib.sha256()

        async def bring() -> None:
            for part in waiting:
                content = await self._part(client, blob, part)
                await in_thread(lambda _, part=part, content=content: file.write(part, content))  # type: ignore[misc]
                self.progress.advance(part.size_bytes)
                there[part].set()

        async def verify() -> None:
            for part in file.parts:
                await there[part].wait()
                await in_thread(lambda _, part=part: found.update(file.read(part)))  # type: ignore[misc]
            check_sha256(found.hexdigest(), blob)

        for part in set(file.parts) - set(file.missing):
            there[part].set()
        await all_of(verify(), *(bring() for _ in range(WORKERS)))

    async def _part(self, client: httpx.AsyncClient, blob: BlobRef, part: Part) -> bytes:
        try:
            async with asyncio.timeout(PART_SECONDS):
                content = await self._get(client, blob.path, part)
        except TimeoutError:
            reason = f"{self._url}: no part of {PART_BYTES >> 20} MiB came within {PART_SECONDS:g} s"
            raise SourceError(reason, action=THE_WAY) from None
        except httpx.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            raise BlobDamaged(blob.file_name, f"ends before byte {part.start:,} of {blob.size_bytes:,}") from None
        if len(content) != part.size_bytes:
            fault = f"has {len(content):,} bytes from byte {part.start:,} on, expected {part.size_bytes:,}"
            raise BlobDamaged(blob.file_name, fault)
        return content

    async def _get(self, client: httpx.AsyncClient, path: str, part: Part | None = None) -> bytes:
        """Return an object or a part of it; repeats a request that failed for a passing reason."""
        for pause in PAUSES:
            try:
                return await self._get_once(client, path, part)
            except httpx.HTTPStatusError as error:
                if error.response.status_code not in BUSY:
                    raise
            except httpx.TransportError:
                pass
            await asyncio.sleep(pause)
        return await self._get_once(client, path, part)

    async def _get_once(self, client: httpx.AsyncClient, path: str, part: Part | None) -> bytes:
        url = f"{self._objects}{quote(self._prefix + path, safe='')}"
        wanted = HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={part}"} if part else {})
        async with client.stream("GET", url, params={"alt": "media"}, headers=headers) as answer:
            answer.raise_for_status()
            length = int(answer.headers.get("Content-Length", PART_BYTES))
            if answer.status_code != wanted or length > PART_BYTES:  # a proxy's page proves nothing of a blob
                reason = f"status {answer.status_code} with {length:,} bytes is no answer of Cloud Storage"
                raise SourceError(f"{self._url}: {reason}", action=THE_WAY)
            content = bytearray()
            async for piece in answer.aiter_raw():
                content += piece
                if len(content) > PART_BYTES:
                    raise SourceError(f"{self._url}: an answer exceeds {PART_BYTES:,} bytes", action=THE_WAY)
            return bytes(content)

    def _sweep(self, wanted: set[str]) -> None:
        """Remove what was begun for a model that the bucket no longer has: it would take the volume's room for good."""
        for journal in (self._folder / ASIDE).glob(f"*{JOURNAL_SUFFIX}"):
            name = journal.name.removesuffix(JOURNAL_SUFFIX)
            if name not in wanted:
                with suppress(Taken), PartedFile(journal.with_name(name), 0, PART_BYTES) as file:
                    file.discard()

    def _need_room(self, blobs: tuple[BlobRef, ...]) -> None:
        """Raise at once when the volume is too small, not when most of the model has come."""
        size = sum(max(0, blob.size_bytes - self._there(blob)) for blob in blobs)
        usage = shutil.disk_usage(self._folder)
        if usage.total and usage.free < size:  # a volume without a bound has no total
            reason = f"the volume is too small: {usage.free / 1e6:,.0f} MB free, {size / 1e6:,.0f} MB are to come"
            raise SourceError(f"{self._folder}: {reason}", action=MORE_ROOM)

    def _there(self, blob: BlobRef) -> int:
        """Return how many bytes of the volume a blob takes already; parts to come are holes in its file."""
        places = (self._folder / blob.path, self._aside(blob.file_name))
        return sum(place.stat().st_blocks * 512 for place in places if place.exists())

    def _aside(self, name: str) -> Path:
        path = self._folder / ASIDE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class _GoogleAuth(httpx.Auth):
    """Signs requests as the service account of the instance, or as whom `gcloud auth application-default` names."""

    def __init__(self) -> None:
        self._credentials: Credentials | None = None
        self._refreshing = asyncio.Lock()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add the token, a new one when it is about to expire."""
        async with self._refreshing:
            if self._credentials is None or not self._credentials.valid:
                self._credentials = await in_thread(lambda _: _fresh(self._credentials))
            request.headers["Authorization"] = f"Bearer {self._credentials.token}"
        yield request


def _fresh(credentials: Credentials | None) -> Credentials:
    credentials = credentials or google.auth.default(scopes=[SCOPE])[0]
    credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]
    return credentials


@contextmanager
def _translated(url: str, folder: Path) -> Iterator[None]:
    """Turn what the network, the credentials and the volume raise into a `SourceError` that says what to do."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _refused(url, error.response) from error
    except httpx.HTTPError as error:
        raise SourceError(f"{url}: the download broke off: {cause_of(error)}", action=THE_WAY) from error
    except GoogleAuthError as error:
        action = "Run as a service account, or: gcloud auth application-default login."
        raise SourceError(f"{url}: no usable credentials: {cause_of(error)}", action=action) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        action = MORE_ROOM if full else "Check the volume's mount: the agent must write there."
        reason = "the volume is full" if full else str(error.strerror)
        raise SourceError(f"{folder}: {reason}", action=action) from error


def _refused(url: str, answer: httpx.Response) -> SourceError:
    asked = answer.url.path.partition("/o/")[2]
    match answer.status_code:
        case HTTPStatus.NOT_FOUND:
            return SourceError(f"{url}: no such bucket or object: {asked}", action=UPLOAD)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            action = "Give the service account roles/storage.objectViewer on the bucket."
            return SourceError(f"{url}: no permission to read {asked}: status {answer.status_code}", action=action)
        case _:
            return SourceError(f"{url}: the download broke off: status {answer.status_code}", action=THE_WAY)
