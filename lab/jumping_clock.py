"""An event loop whose clock jumps to the next timer, so that a week of waiting takes minutes.

Everything that waits must run in this one loop, the servers included: while another thread or process works, the clock
would run away.
"""

from __future__ import annotations

import asyncio
import selectors
import time


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for a timer while `jumping`: its clock moves there once no socket is ready."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.jumping = False
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the loop's clock, in seconds: the monotonic clock and all jumps."""
        return time.monotonic() + self.ahead


class _Selector(selectors.EpollSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. If nothing is, add the time to wait to the clock instead of waiting."""
        if not self._loop.jumping or not timeout:
            return super().select(timeout)
        if not (found := super().select(0)):
            self._loop.ahead += timeout
        return found
