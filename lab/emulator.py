"""Cloud Storage on loopback for uploads too: gcp-storage-emulator, with the preconditions that it lacks, and faults."""

import time
from functools import partial
from http.server import HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

from lab.buckets import BUCKET, Serving
from ops.models.pieces import crc32c_of

if TYPE_CHECKING:
    from collections.abc import Callable

PRECONDITION_FAILED = 412


class _Refused(Exception):
    """What a write expected of its name is not so."""


class Emulator(Serving, Storage):  # type: ignore[misc]
    """A server with one empty bucket. `sent` has name and size of each object sent, in order; `composed` the names.

    `before` is called with the name of an object that is about to be written; `status` other than 0 answers all.
    """

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True)
        self.sent: list[tuple[str, int]] = []
        self.composed: list[str] = []
        self.before: Callable[[str], object] = lambda _: None
        self.status = 0
        self.composing = False
        self.expected: str | None = None
        create_bucket(BUCKET, self)
        self._http = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def names(self) -> set[str]:
        """Return the names of all objects of the bucket."""
        return set(self.objects.get(BUCKET, {}))

    def content(self, name: str) -> bytes:
        """Return what an object holds."""
        content: bytes = self.get_file(BUCKET, name)
        return content

    def put(self, name: str, content: bytes) -> None:
        """Put an object there as somebody else would: it is not counted."""
        about = {"bucket": BUCKET, "name": name, "size": str(len(content)), "generation": str(time.time_ns())}
        super().create_file(BUCKET, name, content, {**about, "contentType": None, "crc32c": crc32c_of(content)})

    def create_file(self, bucket: str, name: str, content: bytes, *rest: Any) -> None:
        """Write an object, if its name holds the generation that the request expects (0: nothing)."""
        expected, composing = self.expected, self.composing
        self.before(name)
        there = self.objects.get(bucket, {}).get(name, {}).get("generation", "0")
        if expected not in (None, there):
            raise _Refused
        super().create_file(bucket, name, content, *rest)
        if composing:
            self.composed.append(name)
        else:
            self.sent.append((name, len(content)))

    def _write_config_to_file(self) -> None:
        """Keep nothing beyond the test; the emulator would write all that it holds at each change."""


class _Server(HTTPServer):
    request_queue_size = 128  # five, as usual, are fewer than the streams of a push: the sixth would wait a second


class _Handler(RequestHandler):  # type: ignore[misc]
    def do_GET(self) -> None:  # noqa: N802 — http.server's name
        if not self._refused():
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802
        where = urlsplit(self.path)
        bucket: Emulator = self.storage
        bucket.expected = parse_qs(where.query).get("ifGenerationMatch", [None])[0]
        bucket.composing = where.path.endswith("/compose")
        try:
            if not self._refused():
                super().do_POST()
        except _Refused:
            self.send_error(PRECONDITION_FAILED)
        except OSError:
            """The client left."""

    def _refused(self) -> bool:
        if self.storage.status:
            self.send_error(self.storage.status)
        return bool(self.storage.status)
