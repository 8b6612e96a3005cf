"""Probes in time: the period's ticks, the threshold, and when a verdict changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ops.service.containers import HTTP_GET, Probe
from ops.up import probing
from ops.up.errors import InstanceError
from ops.up.probing import Answer, Prober

GET = Probe(kind=HTTP_GET, path="/startup", port=9090)


class Scripted(Prober):
    """A prober whose answers are (seconds they take, success), and that notes when it was asked."""

    def __init__(self, *script: tuple[float, bool]) -> None:
        super().__init__()
        self.script = list(script)
        self.asked_at: list[float] = []

    async def ask(self, probe: Probe) -> Answer:  # noqa: ARG002 — every probe gets the script's answer
        """Answer the next of the script; the last one again and again."""
        self.asked_at.append(asyncio.get_running_loop().time())
        seconds, success = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        await asyncio.sleep(seconds)
        return Answer(success, "yes" if success else "no")


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer: seconds of probing pass at once."""

    jumped = 0.0

    def time(self) -> float:
        """Return the clock, with the jumps."""
        return super().time() + self.jumped

    def _run_once(self) -> None:
        scheduled, ready = self._scheduled, self._ready  # type: ignore[attr-defined] # asyncio's own lists
        if scheduled and not ready:
            self.jumped += max(0.0, scheduled[0].when() - self.time())
        super()._run_once()  # type: ignore[misc] # asyncio's own step


def run(body: Any) -> Any:
    """Run a coroutine on a loop whose clock jumps."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(body)


def starts(script: list[tuple[float, bool]], **numbers: Any) -> list[int]:
    """Return the whole seconds after the start at which a startup probe was asked."""

    async def body() -> list[int]:
        prober = Scripted(*script)
        start = asyncio.get_running_loop().time()
        await probing.until_passed("c", replace(GET, **numbers), prober)
        await prober.close()
        return [round(at - start) for at in prober.asked_at]

    got: list[int] = run(body())
    return got


def test_probe_starts_after_the_delay_and_at_each_tick() -> None:
    """The first question comes after the initial delay, the next ones a period apart."""
    script = [(0.0, False), (0.0, False), (0.0, True)]
    assert starts(script, initial_delay_seconds=1, period_seconds=10) == [1, 11, 21]


def test_slow_probe_waits_for_the_next_tick() -> None:
    """A question that took longer than a period is followed at the next tick after its answer."""
    assert starts([(12.0, False), (0.0, True)], period_seconds=10) == [0, 20]


def test_threshold_ends_a_startup_probe() -> None:
    """After failure_threshold failures the error names container, probe, count and last answer."""
    with pytest.raises(InstanceError, match=r"'c': its startup probe \(GET :9090/startup\) failed 3 times; .* no"):
        starts([(0.0, False)], failure_threshold=3)


def test_verdict_changes_only_at_the_threshold() -> None:
    """One lost probe changes nothing; failures in a row do, and one success ends it."""

    async def body() -> list[tuple[bool, int]]:
        answers = [True, False, True, False, False, False, True]
        prober = Scripted(*((0.0, success) for success in answers))
        start = asyncio.get_running_loop().time()
        changes = []
        async for healthy, _ in probing.verdicts(replace(GET, period_seconds=1, failure_threshold=2), prober):
            changes.append((healthy, round(asyncio.get_running_loop().time() - start)))
            if healthy:
                break
        await prober.close()
        return changes

    assert run(body()) == [(False, 4), (True, 6)]
