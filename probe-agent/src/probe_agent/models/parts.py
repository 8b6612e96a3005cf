"""A file that arrives in parts, in any order and over several tries: what is there is remembered, and hashed."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from probe_agent.models.blobs import PIECE_BYTES

if TYPE_CHECKING:
    from hashlib import _Hash

JOURNAL_SUFFIX = ".parts"


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

    A context manager; threads may write different parts at once. `parts` are all of them, in order. What the journal
    says was handed to the kernel, not to the disk: after a power cut the file may be wrong, which its hash then tells.
    OSError as the file system raises it.
    """

    def __init__(self, path: Path, size_bytes: int, part_bytes: int) -> None:
        ends = (min(start + part_bytes, size_bytes) - 1 for start in range(0, size_bytes, part_bytes))
        self.parts = tuple(map(Part, range(0, size_bytes, part_bytes), ends))
        self._path = path
        self._journal_path = path.with_name(path.name + JOURNAL_SUFFIX)
        there = self._journal_path.exists() and path.exists()
        lines = set(self._journal_path.read_text(encoding="ascii").split() if there else ())
        self._there = {part for part in self.parts if str(part) in lines}

    @property
    def missing(self) -> tuple[Part, ...]:
        """The parts that have not been written yet, in order."""
        return tuple(part for part in self.parts if part not in self._there)

    @property
    def there_bytes(self) -> int:
        """How many bytes have been written, in this try and earlier ones."""
        return sum(part.size_bytes for part in self._there)

    def __enter__(self) -> Self:
        fresh = os.O_TRUNC if not self._there else 0
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | fresh, 0o644)
        self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | fresh, 0o644)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        os.close(self._journal)

    def write(self, part: Part, content: bytes) -> None:
        """Write one part, and remember it."""
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

    def forget(self) -> None:
        """Forget all that was written: the next try begins anew."""
        self._journal_path.unlink()
        self._there.clear()
