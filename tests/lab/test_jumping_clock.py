"""The event loop whose clock jumps."""

import asyncio
import time

from lab.jumping_clock import JumpingLoop


def test_a_wait_of_a_day_takes_no_time() -> None:
    """The loop's clock passes a day, the machine's does not."""
    loop = JumpingLoop()
    loop.jumping = True
    before, began = time.monotonic(), loop.time()
    try:
        loop.run_until_complete(asyncio.sleep(86_400))
        passed = loop.time() - began
    finally:
        loop.close()
    assert passed >= 86_400
    assert time.monotonic() - before < 3_600
