"""Pieces of local files, and the checksum by which Cloud Storage knows any object: CRC-32C.

MD5 is not used: Cloud Storage has none for an object that was composed of parts.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import google_crc32c

from probe_agent.ollama.blobs import check_blob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from probe_agent.ollama.store import BlobRef


def read_piece(path: Path, start: int, size: int) -> bytes:
    """Return `size` bytes of a file from the byte `start` on; fewer where it ends."""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        return file.read(size)


def crc32c_of(content: bytes) -> str:
    """Return the checksum as Cloud Storage writes it: base64 of the big-endian CRC-32C.

    >>> crc32c_of(b"123456789")
    '4waSgw=='
    """
    return _written(google_crc32c.value(content))


def checked_crc32c(path: Path, blob: BlobRef, advanced: Callable[[int], object]) -> str:
    """Hold a blob against the SHA-256 in its name, and return its CRC-32C; `advanced` is told of bytes read.

    Each piece is read once more for the second sum, which costs no disk: it is in the page cache.

    Raises:
        BlobDamaged: the blob is missing, of another length, or of other content.

    """
    found = start = 0

    def also(size: int) -> None:
        nonlocal found, start
        found = google_crc32c.extend(found, read_piece(path, start, size))
        start += size
        advanced(size)

    check_blob(path, blob, also)
    return _written(found)


def _written(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode("ascii")
