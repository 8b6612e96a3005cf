"""What of a file the kernel has in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def drop(path: Path) -> None:
    """Have the next reader of a file wait for the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)  # a page that is not written yet cannot be dropped
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(opened)


def fill(path: Path) -> None:
    """Have the next reader of a file find all of it in memory."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
