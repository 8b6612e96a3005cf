"""A file that arrives in parts, in any order and over several tries; a journal beside it says which are there."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

JOURNAL_SUFFIX = ".parts"


class Taken(Exception):
    """Another process is writing the same file."""


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
    """A file of `size_bytes` in parts of at most `part_bytes`.

    A context manager, which raises `Taken` while another process has the same file; `parts` are all of them, in order.
    Each write opens the file itself, so that a thread that comes late never writes into another file. After a power
    cut the journal may say too much: the file's hash shows it. Raises `OSError` as the file system does.
    """

    def __init__(self, path: Path, size_bytes: int, part_bytes: int) -> None:
        ends = (min(start + part_bytes, size_bytes) - 1 for start in range(0, size_bytes, part_bytes))
        self.parts = tuple(map(Part, range(0, size_bytes, part_bytes), ends))
        self._path = path
        self._journal = path.with_name(path.name + JOURNAL_SUFFIX)
        self._there: set[Part] = set()

    @property
    def missing(self) -> tuple[Part, ...]:
        """The parts that have not been written yet, in order."""
        return tuple(part for part in self.parts if part not in self._there)

    @property
    def there_bytes(self) -> int:
        """How many bytes have been written, in this try and earlier ones."""
        return sum(part.size_bytes for part in self._there)

    def __enter__(self) -> Self:
        self._lock = os.open(self._journal, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take()
            self._remember()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def _take(self) -> None:
        """Keep others out until the lock is closed, however this process ends."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken from None
        if os.fstat(self._lock).st_nlink == 0:
            raise Taken  # the other has published, and removed this journal, between our opening and our lock

    def _remember(self) -> None:
        lines = set(self._journal.read_bytes().split() if self._path.exists() else ())
        self._there = {part for part in self.parts if str(part).encode() in lines}
        if not self._there:
            os.truncate(self._journal, 0)
            self._path.write_bytes(b"")

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def write(self, part: Part, content: bytes) -> None:
        """Write one part, and remember it."""
        with self._path.open("r+b") as file:
            file.seek(part.start)
            file.write(content)
        with self._journal.open("ab") as journal:
            journal.write(f"{part}\n".encode())
        self._there.add(part)

    def read(self, part: Part) -> bytes:
        """Return one part's content; the kernel still has it in memory when it has just come."""
        with self._path.open("rb") as file:
            file.seek(part.start)
            return file.read(part.size_bytes)

    def publish(self, place: Path) -> None:
        """Give the file its name, at once and for good, and forget the journal."""
        place.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(place)
        self._journal.unlink()

    def discard(self) -> None:
        """Remove the file and its journal."""
        self._path.unlink(missing_ok=True)
        self._journal.unlink()

    def forget(self) -> int:
        """Forget all that was written, so that the next try begins anew; return its bytes."""
        forgotten = self.there_bytes
        os.truncate(self._journal, 0)
        self._there.clear()
        return forgotten
