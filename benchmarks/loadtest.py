"""The load test, measured against a server whose latency and capacity are known exactly."""

from __future__ import annotations

import asyncio
import heapq
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.process import Running
from benchmarks.result import Result, Target
from ops.loadtest import arrivals, conclusion, lengths, limits, statistics
from ops.loadtest.arrivals import Arrivals
from ops.loadtest.client import Client
from ops.loadtest.conclusion import Rule
from ops.loadtest.credentials import Credentials
from ops.loadtest.loads import Loop
from ops.loadtest.loop import Flight
from ops.loadtest.run import Run
from ops.loadtest.settings import Settings
from ops.loadtest.sweep import Sweep
from ops.loadtest.wire import Api, body
from ops.loadtest.workload import Synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ops.loadtest.record import Record
    from ops.loadtest.saturation import Count
    from ops.loadtest.step import Step

NAME = "loadtest"
SLOTS, SERVICE, FIRST, TOKENS = 8, 0.4, 0.2, 10
LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
RATES = (5.0, 10.0, 16.0, 24.0, 32.0)
"""The capacity is 20 a second: 16 is the last that is taken."""
PERCENTS = (50, 90, 95, 99)
BUSY = 0.85
"""Of the capacity: percentiles that a queue makes, far apart from each other."""
COST_RATE, COST_SLOTS = 200.0, 128
START_SECONDS = 10.0
WORK = Synthetic(lengths.parse("64"), lengths.parse(str(TOKENS)), 0.0, 1)
METHOD = (
    "The server (benchmarks/known_server.py) is a process of its own: N slots, one service time, one queue in order of "
    "arrival, Ollama's wire format, 10 tokens in 10 pieces. knee: how many steps of the sweep the choice lies from the "
    "slots (closed loop) and from the last rate below the capacity (open loop). percentiles: Poisson arrivals at 85 % "
    "of the capacity; the truth is that queue computed for the same intended instants; the figure is the largest "
    "relative deviation of TTFT and end-to-end p50, p90, p95 and p99. cost: processor time of the load test's process "
    "(client, prompts, parsing, records) over its requests, at 200 a second; and how much longer than the service time "
    "the median answer seemed."
)


class Cost(NamedTuple):
    """What one request costs the tester: milliseconds of processor time, and by how much the median answer is late."""

    cpu_ms: float
    added_ms: float
    late_p99_ms: float
    requests: int


def run(_folder: Path, *, quick: bool) -> Result:
    """Measure all three."""
    closed = _knee(Loop.CLOSED, LEVELS, seconds=1.0 if quick else 4.0)
    opened = _knee(Loop.OPEN, RATES, seconds=3.0 if quick else 15.0)
    deviations = _percentiles(seconds=10.0 if quick else 90.0)
    cost = asyncio.run(_cost(seconds=3.0 if quick else 30.0))
    worst = max(deviations.values())
    return Result(
        name=NAME,
        server="the scripted server of known capacity",
        method=METHOD,
        targets=(
            Target(
                "closed loop: steps from the true knee", abs(LEVELS.index(closed) - LEVELS.index(SLOTS)), 1, "steps"
            ),
            Target("open loop: steps from the true knee", abs(RATES.index(opened) - RATES.index(16.0)), 1, "steps"),
            Target("percentiles against the truth, largest deviation", worst * 100, 2, "%"),
            Target("processor time of one request at 200/s", cost.cpu_ms, 1, "ms"),
            Target("added to the median latency at 200/s", cost.added_ms, 1, "ms"),
        ),
        measured={
            "knee": {"closed_loop": closed, "open_loop": opened},
            "deviation_percent": {name: each * 100 for name, each in deviations.items()},
            "cost": cost._asdict(),
        },
    )


def _server(slots: int, service: float, first: float) -> Running:
    options = {"slots": slots, "service": service, "first": first, "tokens": TOKENS}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return Running([sys.executable, "-m", "benchmarks.known_server", *words], {})


def _url(server: Running) -> str:
    return server.first(lambda line: line.text if line.text.startswith("http") else None, START_SECONDS, "address")


class _Silent:
    """Nobody watches."""

    def starting(self, parallel: int | None) -> None:
        """Say nothing."""

    def begins(self, step: Step, repetition: int) -> None:
        """Say nothing."""

    def counts(self, count: Count) -> None:
        """Say nothing."""

    def ends(self, step: Step, repetition: int) -> None:
        """Say nothing."""


def _knee(loop: Loop, levels: Sequence[float], seconds: float) -> float:
    """Return the level that a whole sweep chooses."""
    with _server(SLOTS, SERVICE, FIRST) as server:
        settings = Settings(
            target=_url(server),
            local=False,
            api=Api.NATIVE,
            model="m",
            loop=loop,
            levels=tuple(levels),
            parallel=(),
            variables={},
            arrivals=Arrivals.POISSON,
            prompt_tokens="64",
            answer_tokens=str(TOKENS),
            shared_prefix=0.0,
            prompts_sha256=None,
            seed=1,
            temperature=0.0,
            warmup=0.5,
            duration=seconds,
            repetitions=2,
            timeout=60.0,
        )
        done = Run(settings.as_json(), {})
        sweep = Sweep(
            done,
            settings,
            WORK,
            rule=Rule(),
            credentials=Credentials(),
            watcher=_Silent(),
            save=lambda: None,
            service=None,
        )
        asyncio.run(sweep.main())
    chosen = conclusion.conclude(done, limits.with_default(()), Rule(), None).choice.chosen
    if chosen is None:
        raise RuntimeError("no choice: the machine is too busy to measure")
    return chosen.load.level


def _percentiles(seconds: float) -> dict[str, float]:
    """Return by how much each percentile deviates from the truth, as a share of it."""
    rate = BUSY * SLOTS / SERVICE
    instants = arrivals.schedule(Arrivals.POISSON, rate, seconds, 1)
    with _server(SLOTS, SERVICE, FIRST) as server:
        records = asyncio.run(_open(_url(server), instants, seconds))
    starts = _true_starts(instants, SLOTS, SERVICE)
    waits = [start - instant for instant, start in zip(instants, starts, strict=True)]
    found = {}
    for name, service in (("ttft", FIRST), ("e2e", SERVICE)):
        values = [getattr(record, name) for record in records]
        for percent in PERCENTS:
            truth = statistics.percentile([wait + service for wait in waits], percent)
            found[f"{name}_p{percent}"] = abs(statistics.percentile(values, percent) - truth) / truth
    return found


def _true_starts(instants: Sequence[float], slots: int, service: float) -> list[float]:
    """Return when each request starts in the queue that the server is."""
    free, starts = [0.0] * slots, []
    for instant in instants:
        start = max(instant, heapq.heappop(free))
        heapq.heappush(free, start + service)
        starts.append(start)
    return starts


async def _open(url: str, instants: Sequence[float], seconds: float) -> list[Record]:
    """Return the records of one open loop, in the order of their instants."""
    async with Client(url, Api.NATIVE, 60.0) as client:

        async def send(index: int, begun: float, intended: float | None) -> Record:
            asked = body(Api.NATIVE, "m", WORK.request("benchmark", index), seed=1, temperature=0.0)
            return await client.chat(asked, begun, intended)

        flight = Flight(send, lambda _count: None)
        await flight.open(instants, seconds)
    if flight.stopped or any(record.error for record in flight.records):
        raise RuntimeError(f"not every request was answered ({flight.stopped}): the machine is too busy to measure")
    return sorted(flight.records, key=lambda record: record.intended)


async def _cost(seconds: float) -> Cost:
    instants = arrivals.schedule(Arrivals.POISSON, COST_RATE, seconds, 1)
    with _server(COST_SLOTS, SERVICE, FIRST) as server:
        url = _url(server)
        await _open(url, instants[:20], instants[20])  # what is done once: imports, certificates, the first connections
        before = time.process_time()
        records = await _open(url, instants, seconds)
        cpu = time.process_time() - before
    late = [record.sent - record.intended for record in records]
    return Cost(
        cpu_ms=cpu / len(records) * 1000,
        added_ms=(statistics.percentile([record.e2e for record in records], 50) - SERVICE) * 1000,
        late_p99_ms=statistics.percentile(late, 99) * 1000,
        requests=len(records),
    )
