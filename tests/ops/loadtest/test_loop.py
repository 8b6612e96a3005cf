"""The two loops over a service that is a function: what is sent is recorded, once, from its intended instant."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from ops.loadtest import loop, stopping
from ops.loadtest.credentials import Credentials
from ops.loadtest.errors import ServiceError
from ops.loadtest.loop import Flight
from ops.loadtest.record import Record

INSTANTS = [n / 1000 for n in range(40)]


def flown(send: loop.Send, *, users: int | None = None, seconds: float = 0.05) -> Flight:
    """Return what came of one repetition: of a closed loop, or of an open one at the instants."""

    async def main() -> Flight:
        flight = Flight(send, lambda _count: None)
        await (flight.open(INSTANTS, seconds) if users is None else flight.closed(users, seconds))
        return flight

    return asyncio.run(main())


async def at_once(_number: int, _begun: float, intended: float | None) -> Record:
    """Answer at once."""
    await asyncio.sleep(0)
    return Record(intended or 0.0, intended or 0.0, 1.0)


def test_an_open_loop_sends_every_instant_whatever_the_service_does() -> None:
    """One record for each instant, from that instant on, also where no answer comes before the end."""

    async def slow(number: int, begun: float, intended: float | None) -> Record:
        await asyncio.sleep(0.1)
        return await at_once(number, begun, intended)

    assert sorted(record.intended for record in flown(slow).records) == INSTANTS


def test_a_tester_that_is_late_counts_from_the_intended_instant() -> None:
    """A loop that stood still sends what it missed at once, and the records keep when it should have gone out."""
    stood: list[int] = []

    async def stands_still(number: int, begun: float, intended: float | None) -> Record:
        assert intended is not None
        sent = asyncio.get_running_loop().time() - begun
        if number == 5:
            stood.append(sum(i * i for i in range(300_000)))  # nothing else runs meanwhile
        return Record(intended, sent, sent)

    late = [record.e2e for record in flown(stands_still).records if record.intended == INSTANTS[6]]
    assert stood
    assert late[0] > 0.002


def test_a_closed_loop_never_has_more_at_once() -> None:
    """Each user waits for its answer."""
    now: Counter[str] = Counter()
    seen = []

    async def counted(number: int, begun: float, intended: float | None) -> Record:
        now["here"] += 1
        seen.append(now["here"])
        await asyncio.sleep(0.001)
        now["here"] -= 1
        return await at_once(number, begun, intended)

    assert len(flown(counted, users=3).records) > 3
    assert max(seen) == 3


def test_what_ends_the_run_is_raised() -> None:
    """An expired token ends both loops at once."""

    async def refused(_number: int, _begun: float, _intended: float | None) -> Record:
        raise ServiceError("401")

    for users in (None, 2):
        with pytest.raises(ServiceError, match="401"):
            flown(refused, users=users, seconds=60)


def test_what_is_under_way_at_an_interruption_is_recorded_once() -> None:
    """Cut requests have a record each that says so; answered ones have theirs."""
    flights: list[Flight] = []
    all_came = asyncio.Event()

    async def some_hang(number: int, begun: float, intended: float | None) -> Record:
        if number == len(INSTANTS) - 1:
            all_came.set()
        if number % 2:
            await asyncio.Event().wait()
        return await at_once(number, begun, intended)

    async def main() -> None:
        flights.append(Flight(some_hang, lambda _count: None))
        flying = asyncio.ensure_future(flights[0].open(INSTANTS, 60))
        await all_came.wait()
        flying.cancel()
        await asyncio.gather(flying, return_exceptions=True)

    asyncio.run(main())
    errors = Counter(record.error for record in flights[0].records)
    assert errors[None] == 20
    assert errors[loop.UNFINISHED] == 20
    assert max(Counter(record.intended for record in flights[0].records).values()) == 1


def test_a_service_that_fails_stops_its_step() -> None:
    """Most of many requests fail: the rest is not sent."""

    async def fails(_number: int, _begun: float, intended: float | None) -> Record:
        await asyncio.sleep(0.001)
        return Record(intended or 0.0, 0.0, 0.0, error="refused (503)")

    flight = flown(fails, users=4, seconds=60)
    assert flight.stopped
    assert flight.stopped.startswith("failing")


def test_what_must_end_in_order_outlasts_every_cancellation() -> None:
    """Ctrl-C twice while a service is stopped: the stopping is done whole, and the cancellation is passed on."""
    done = []

    async def main() -> None:
        go = asyncio.Event()

        async def stop() -> None:
            await go.wait()
            done.append(True)

        task = asyncio.ensure_future(stopping.to_the_end(stop()))
        for _ in range(2):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        go.set()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert done == [True]


def test_a_token_command_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    """While the command waits for something that the loop does, the loop does it."""
    go = tmp_path / "go"
    os.mkfifo(go)

    async def main() -> str | None:
        token = asyncio.ensure_future(Credentials(command=f"cat {go}").token())
        await asyncio.sleep(0)  # it runs, up to its first wait
        await asyncio.to_thread(go.write_text, "opensesame")
        return await token

    assert asyncio.run(main()) == "opensesame"
