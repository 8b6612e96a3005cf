"""Whether a file is what its name says: the SHA-256 of its content, and the length that its manifest gives."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from probe_agent.errors import BlobDamaged
from probe_agent.ollama.store import BlobRef

# Large enough that hashing, which releases the interpreter's lock, is all that takes time.
PIECE_BYTES = 4 << 20


def check_blob(path: Path, blob: BlobRef, advanced: Callable[[int], object] = lambda _: None) -> None:
    """Read a whole file and hold it against its name; `advanced` is told of the bytes of each piece read.

    Raises `BlobDamaged`, which names the blob, when it is missing, of another length, or of other content;
    and whatever `advanced` raises, which is how a caller stops it.
    """
    try:
        length = path.stat().st_size
    except FileNotFoundError:
        raise BlobDamaged(blob.file_name, "is missing") from None
    if length != blob.size_bytes:
        raise BlobDamaged(blob.file_name, f"has {length:,} bytes, expected {blob.size_bytes:,}")
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES):
            found.update(piece)
            advanced(len(piece))
    check_sha256(found.hexdigest(), blob)


def check_sha256(found: str, blob: BlobRef) -> None:
    """Hold the 64 hex digits of a content against its blob's name; raises `BlobDamaged`."""
    if found != blob.sha256:
        raise BlobDamaged(blob.file_name, f"has the content of sha256-{found[:12]}…")
