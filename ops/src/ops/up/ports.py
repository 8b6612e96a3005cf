"""Which port of this machine stands for which port of the file."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

LOOPBACK = "127.0.0.1"
HIGHEST = 65535


def assign(wanted: Iterable[int], *, always_free: bool, front: int = 0) -> dict[int, int]:
    """Map each port of the file to itself where it is free on loopback, else to a free one.

    Each is held until the last one is found, so that no two are the same; the front's own (0: not yet chosen)
    is held first, so that no container gets it.
    """
    with contextlib.ExitStack() as held:
        if front:
            held.enter_context(_bind(front))
        return {
            port: int(held.enter_context(_bind(0 if always_free else port)).getsockname()[1])
            for port in dict.fromkeys(wanted)
        }


def _bind(port: int) -> socket.socket:
    with contextlib.suppress(OSError):
        return socket.create_server((LOOPBACK, port))
    return socket.create_server((LOOPBACK, 0))
