"""The stand-in's scheduler at instants that only many clients and a hung runner bring about."""

import asyncio
from typing import Any, cast

import pytest

from ops.standin import ServedModel
from ops.standin.engine import LoadOptions
from ops.standin.scheduler import Loaded

pytestmark = pytest.mark.anyio


class Pinged:
    """A runner that answers a ping when it is let go."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def ping(self) -> None:
        """Answer."""
        await self.let_go.wait()


@pytest.mark.parametrize("turns", range(6))
async def test_a_client_that_leaves_as_the_runner_answers_gets_no_lease(turns: int) -> None:
    """Regression: its cancellation was lost, so was its lease, and no reload ever found the runner idle."""
    runner, options = Pinged(), LoadOptions(num_ctx=2048)
    loaded = Loaded(ServedModel("m"), options, cast("Any", runner), parallel=1)
    asked = asyncio.create_task(loaded.serves(options, 10))
    for _ in range(5):
        await asyncio.sleep(0)
    runner.let_go.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    answered = asked.done()
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled() != answered
