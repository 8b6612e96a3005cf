"""The ingress gate: closed until the startup probes have passed, then open while the instance is ready."""

from __future__ import annotations

import asyncio
import time


class Gate:
    """Holds requests back. Wall-clock instants, because the agent's and the front's records are compared."""

    def __init__(self) -> None:
        self.opened_at: float | None = None
        self.ready = True
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let requests through; opening twice changes nothing."""
        if self.opened_at is None:
            self.opened_at = time.time()
            self._opened.set()

    async def wait_open(self) -> None:
        """Return once the gate has opened."""
        await self._opened.wait()
