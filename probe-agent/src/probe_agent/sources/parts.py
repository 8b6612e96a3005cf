"""A file that arrives in parts, in any order and over several tries: what is there is remembered, and hashed."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from probe_agent.ollama.blobs import PIECE_BYTES

if TYPE_CHECKING:
    from hashlib import _Hash

JOURNAL_SUFFIX = ".parts"


class Taken(Exception):
    """Another process is writing the same file."""


class Closed(Exception):
    """The file was closed meanwhile: what comes now comes too late."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` to `end`, the last one included, as an HTTP range counts them."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self.end - self.start + 1

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


class PartedFile:
    """A file of `size_bytes` in parts of at most `part_bytes`; a journal beside it says which have been written.

    A context manager, which raises `Taken` while another process has the same file; `parts` are all of them, in order.
    Threads may write different parts at once, and `Closed` is raised for one that comes when the context has ended.
    What the journal says was handed to the kernel, not to the disk: after a power cut the file may be wrong, which its
    hash then tells. OSError as the file system raises it.
    """

    def __init__(self, path: Path, size_bytes: int, part_bytes: int) -> None:
        ends = (min(start + part_bytes, size_bytes) - 1 for start in range(0, size_bytes, part_bytes))
        self.parts = tuple(map(Part, range(0, size_bytes, part_bytes), ends))
        self._path = path
        self._journal_path = path.with_name(path.name + JOURNAL_SUFFIX)
        self._there: set[Part] = set()
        self._quiet = threading.Condition()
        self._writers = 0
        self._closed = False

    @property
    def missing(self) -> tuple[Part, ...]:
        """The parts that have not been written yet, in order."""
        return tuple(part for part in self.parts if part not in self._there)

    @property
    def there_bytes(self) -> int:
        """How many bytes have been written, in this try and earlier ones."""
        return sum(part.size_bytes for part in self._there)

    def __enter__(self) -> Self:
        self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._take()
            lines = set(self._journal_path.read_bytes().split() if self._path.exists() else ())
            self._there = {part for part in self.parts if str(part).encode() in lines}
            if not self._there:
                os.ftruncate(self._journal, 0)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | (0 if self._there else os.O_TRUNC), 0o644)
        except BaseException:
            os.close(self._journal)
            raise
        return self

    def _take(self) -> None:
        """Keep others out until this journal is closed, however its process ends."""
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken from None
        if os.fstat(self._journal).st_nlink == 0:
            raise Taken  # the other has published, and removed this journal, between our opening and our lock

    def __exit__(self, *_: object) -> None:
        self._end_writing()
        os.close(self._file)
        os.close(self._journal)

    def _end_writing(self) -> None:
        with self._quiet:
            self._closed = True
            self._quiet.wait_for(lambda: not self._writers)  # for what is on its way to the disk, not on the network

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep the file from being closed, so that no late thread writes into whatever has its number then."""
        with self._quiet:
            if self._closed:
                raise Closed
            self._writers += 1
        try:
            yield
        finally:
            with self._quiet:
                self._writers -= 1
                self._quiet.notify_all()

    def write(self, part: Part, content: bytes) -> None:
        """Write one part, and remember it."""
        with self._writing():
            rest, place = memoryview(content), part.start
            while rest:
                written = os.pwrite(self._file, rest, place)
                rest, place = rest[written:], place + written
            os.write(self._journal, f"{part}\n".encode())
            self._there.add(part)

    def hash_into(self, digest: "_Hash", part: Part) -> None:
        """Add one part's content to a hash; the kernel still has it in memory when it has just come."""
        for start in range(part.start, part.end + 1, PIECE_BYTES):
            digest.update(os.pread(self._file, min(PIECE_BYTES, part.end + 1 - start), start))

    def publish(self, place: Path) -> None:
        """Give the file its name, at once and for good, and forget the journal."""
        place.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(place)
        self._journal_path.unlink()

    def discard(self) -> None:
        """Remove the file and its journal."""
        self._path.unlink()
        self._journal_path.unlink()

    def forget(self) -> int:
        """Take no more, and forget all that was written, so that the next try begins anew; return its bytes."""
        self._end_writing()
        forgotten = self.there_bytes
        os.ftruncate(self._journal, 0)
        self._there.clear()
        return forgotten
