"""Slots, a bounded queue, fair between tenants, first come first served within one."""

import asyncio
import time
from collections.abc import Callable

import pytest

from probe_agent.gateway.admission import Admission
from probe_agent.gateway.refusal import Refusal

pytestmark = pytest.mark.anyio
FAR = 1e6


def admission(slots: int = 1, queue: int = 10) -> Admission:
    """Return an admission on the event loop's clock."""
    return Admission(slots, queue, asyncio.get_running_loop().time)


async def entered(gate: Admission, order: list[str], tenant: str, name: str) -> None:
    """Enter, and note when."""
    await gate.enter(tenant, FAR)
    order.append(name)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until something holds; a test's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 — nothing here tells of a queue that has grown
        await asyncio.sleep(0)


async def queued(gate: Admission, order: list[str], *requests: tuple[str, str]) -> list[asyncio.Task[None]]:
    """Queue requests (tenant, name) in this order."""
    tasks = []
    for tenant, name in requests:
        count = gate.waiting + 1
        tasks.append(asyncio.create_task(entered(gate, order, tenant, name)))
        await until(lambda count=count: gate.waiting == count)  # type: ignore[misc]
    return tasks


async def test_as_many_run_as_there_are_slots() -> None:
    """The next one waits until one leaves."""
    gate, order = admission(slots=2), list[str]()
    await gate.enter("a", FAR)
    await gate.enter("a", FAR)
    (waiting,) = await queued(gate, order, ("a", "third"))
    assert (gate.running, gate.waiting) == (2, 1)
    gate.leave(0.1)
    await waiting
    assert (gate.running, gate.waiting) == (2, 0)


async def test_tenants_take_turns_and_keep_their_own_order() -> None:
    """A tenant with a long queue does not keep the others waiting."""
    gate, order = admission(), list[str]()
    await gate.enter("a", FAR)
    tasks = await queued(gate, order, ("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2"))
    for task in range(len(tasks)):
        gate.leave(None)
        await until(lambda task=task: len(order) > task)  # type: ignore[misc]
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_newcomer_does_not_overtake_the_queue() -> None:
    """While someone waits, a free slot is theirs."""
    gate, order = admission(), list[str]()
    await gate.enter("a", FAR)
    await queued(gate, order, ("a", "first"))
    gate.leave(None)  # the slot is given away in this instant
    second = asyncio.create_task(entered(gate, order, "b", "second"))
    await until(lambda: order == ["first"] and gate.waiting == 1)
    gate.leave(None)
    await second


async def test_a_full_queue_refuses_with_429() -> None:
    """The client is told when a place is likely."""
    gate, order = admission(queue=1), list[str]()
    await gate.enter("a", FAR)
    await queued(gate, order, ("a", "waiting"))
    with pytest.raises(Refusal) as refused:
        await gate.enter("b", FAR)
    assert (refused.value.status, refused.value.kind) == (429, "queue_full")
    assert refused.value.retry_after


async def test_the_deadline_ends_the_wait_with_503() -> None:
    """Nobody waits longer than they asked for, and their place is free."""
    gate = admission()
    await gate.enter("a", FAR)
    with pytest.raises(Refusal) as refused:
        await gate.enter("a", asyncio.get_running_loop().time() + 0.01)
    assert (refused.value.status, refused.value.kind) == (503, "queue_timeout")
    assert (gate.running, gate.waiting) == (1, 0)


async def test_a_client_that_leaves_the_queue_frees_its_place() -> None:
    """Those behind it are not held up."""
    gate, order = admission(), list[str]()
    await gate.enter("a", FAR)
    first, second = await queued(gate, order, ("a", "first"), ("a", "second"))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    gate.leave(None)
    await second
    assert order == ["second"]
    assert (gate.running, gate.waiting) == (1, 0)


async def test_a_slot_that_comes_as_the_client_leaves_is_handed_on() -> None:
    """Admission and hang-up in one instant lose no slot."""
    gate, order = admission(), list[str]()
    await gate.enter("a", FAR)
    first, second = await queued(gate, order, ("a", "first"), ("b", "second"))
    gate.leave(None)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await second
    assert order == ["second"]
    assert gate.running == 1


async def test_closing_refuses_the_queue_and_newcomers() -> None:
    """What waits is told at once; what runs may end."""
    gate, order = admission(), list[str]()
    await gate.enter("a", FAR)
    (waiting,) = await queued(gate, order, ("a", "waiting"))
    gate.close("the instance is stopping")
    for attempt in (waiting, gate.enter("b", FAR)):
        with pytest.raises(Refusal) as refused:
            await attempt
        assert (refused.value.status, refused.value.kind) == (503, "draining")
    idle = asyncio.create_task(gate.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    gate.leave(0.1)
    await idle
    await gate.idle()


async def test_retry_after_follows_the_measured_pace() -> None:
    """It is the wait of what is queued, in whole seconds, within bounds."""
    gate = admission(slots=2)
    assert gate.retry_after() == 3
    for seconds in (20.0, 20.0):
        await gate.enter("a", FAR)
        gate.leave(seconds)
    assert gate.retry_after() == 10
    await gate.enter("a", FAR)
    gate.leave(1e6)
    assert gate.retry_after() == 120


def test_who_leaves_in_the_same_instant_gets_nothing() -> None:
    """A cancelled request is passed over by the slot that comes free, by the end of admission and by idleness."""

    async def run(last: str) -> None:
        admission = Admission(1, 4, time.monotonic)
        await admission.enter("a", time.monotonic() + 5)
        waiting = asyncio.create_task(admission.idle() if last == "idle" else admission.enter("a", 1e12))
        await asyncio.sleep(0)
        waiting.cancel()
        if last == "close":
            admission.close("ends")
        admission.leave(None)
        await asyncio.gather(waiting, return_exceptions=True)
        assert admission.running == 0
        assert waiting.cancelled()

    for last in ("idle", "close", "leave"):
        asyncio.run(run(last))
