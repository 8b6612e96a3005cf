"""The load test, measured against a server whose latency and capacity are known exactly."""

import asyncio
import heapq
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lab.measuring.result import Result, Target
from lab.process import Running
from ops.loadtest import conclusion, lengths, limits, statistics
from ops.loadtest.client import Client
from ops.loadtest.conclusion import Rule
from ops.loadtest.credentials import Credentials
from ops.loadtest.loads import Arrivals, Loop, schedule
from ops.loadtest.loop import Flight
from ops.loadtest.options import Options
from ops.loadtest.record import Record, Step
from ops.loadtest.run import Run
from ops.loadtest.saturation import Count
from ops.loadtest.sweep import Sweep
from ops.loadtest.wire import Api, body
from ops.loadtest.workload import Synthetic

NAME = "loadtest"
SLOTS, SERVICE, FIRST, TOKENS = 8, 0.4, 0.2, 10
LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# The capacity is 20 a second: 16 is the last that is taken.
RATES = (5.0, 10.0, 16.0, 24.0, 32.0)
PERCENTS = (50, 90, 95, 99)
# Of the capacity: percentiles that a queue makes, far apart from each other.
BUSY = 0.85
COST_RATE, COST_SLOTS = 200.0, 128
START_SECONDS = 10.0
WORK = Synthetic(lengths.parse("64"), lengths.parse(str(TOKENS)), 0.0, 1, "")
METHOD = (
    "The server (lab/known_server.py) is a process of its own: N slots, one service time, one queue in order of "
    "arrival, Ollama's wire format, 10 tokens in 10 pieces. knee: how many steps of the sweep the choice lies from the "
    "slots (closed loop) and from the last rate below the capacity (open loop). percentiles: Poisson arrivals at 85 % "
    "of the capacity; the truth is from each intended instant to the instant at which the server wrote, by its own "
    "witness (one clock, CLOCK_MONOTONIC); the figure is the largest relative deviation of TTFT and end-to-end p50, "
    "p90, p95 and p99. 'against_the_queue' holds the same against that queue computed for the intended instants, and "
    "so blames the load test for the server's own lateness too. cost: processor time of the load test's process "
    "(client, prompts, parsing, records) over its requests, at 200 a second; 'added' is what lies between the intended "
    "instant and the server's reading, and between its last writing and the record, per request, at the median: the "
    "network and both processes' turns on the processor are in it."
)


class Cost(NamedTuple):
    """What one request costs the tester, in milliseconds: processor time; what it adds to an answer; its lateness."""

    cpu_ms: float
    added_ms: float
    late_p99_ms: float
    requests: int


class Witnessed(NamedTuple):
    """A request by the tester's record, and by the server's witness: seconds since the same begin."""

    record: Record
    arrived: float
    first: float
    last: float


def run(_folder: Path, *, quick: bool) -> Result:
    """Measure all three."""
    closed = _knee(Loop.CLOSED, LEVELS, seconds=1.0 if quick else 4.0)
    opened = _knee(Loop.OPEN, RATES, seconds=3.0 if quick else 15.0)
    deviations, formula = _percentiles(seconds=10.0 if quick else 90.0)
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
        ),
        measured={
            "knee": {"closed_loop": closed, "open_loop": opened},
            "deviation_percent": {name: each * 100 for name, each in deviations.items()},
            "against_the_queue_percent": {name: each * 100 for name, each in formula.items()},
            "cost": cost._asdict(),
        },
    )


def _server(slots: int, service: float, first: float) -> Running:
    options = {"slots": slots, "service": service, "first": first, "tokens": TOKENS}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return Running([sys.executable, "-m", "lab.known_server", "--witness", *words], {})


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
        options = Options(
            _url(server),
            model="m",
            concurrency=tuple(map(int, levels)) if loop is Loop.CLOSED else (),
            rates=tuple(levels) if loop is Loop.OPEN else (),
            warmup=0.5,
            duration=seconds,
            repetitions=2,
            timeout=60.0,
        )
        done = Run(settings={}, environment={})
        sweep = Sweep(
            done,
            options,
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


def _percentiles(seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return by how much each percentile deviates, as a share: from the witness, and from the queue by formula."""
    rate = BUSY * SLOTS / SERVICE
    instants = schedule(Arrivals.POISSON, rate, seconds, 1)
    with _server(SLOTS, SERVICE, FIRST) as server:
        seen = asyncio.run(_open(server, instants, seconds))
    waits = _true_waits(instants, SLOTS, SERVICE)
    by_witness: dict[str, float] = {}
    by_formula: dict[str, float] = {}
    for name, service in (("ttft", FIRST), ("e2e", SERVICE)):
        values = [getattr(each.record, name) for each in seen]
        true = [(each.first if name == "ttft" else each.last) - each.record.intended for each in seen]
        for percent in PERCENTS:
            found = statistics.percentile(values, percent)
            for truth, into in ((true, by_witness), ([wait + service for wait in waits], by_formula)):
                expected = statistics.percentile(truth, percent)
                into[f"{name}_p{percent}"] = abs(found - expected) / expected
    return by_witness, by_formula


def _true_waits(instants: Sequence[float], slots: int, service: float) -> list[float]:
    """Return how long each request waits in the queue that the server is."""
    free, waits = [0.0] * slots, []
    for instant in instants:
        start = max(instant, heapq.heappop(free))
        heapq.heappush(free, start + service)
        waits.append(start - instant)
    return waits


async def _open(server: Running, instants: Sequence[float], seconds: float) -> list[Witnessed]:
    """Return the requests of one open loop, in the order in which they were sent."""
    url, told, begins = _url(server), len(server.lines), [0.0]
    async with Client(url, Api.NATIVE, 60.0) as client:

        async def send(index: int, begun: float, intended: float | None) -> Record:
            begins[0] = begun
            asked = body(Api.NATIVE, "m", WORK.request("benchmark", index), seed=1, temperature=0.0)
            return await client.chat(asked, begun, intended)

        flight = Flight(send, lambda _count: None)
        await flight.open(instants, seconds)
    if flight.stopped or any(record.error for record in flight.records):
        raise RuntimeError(f"not every request was answered ({flight.stopped}): the machine is too busy to measure")
    records = sorted(flight.records, key=lambda record: record.sent)
    edges = await asyncio.to_thread(_edges, server, told, len(records))
    firsts, lasts = (sorted(edge) for edge in edges)  # by arrival, which is the order of sending
    return [
        Witnessed(record, first[0] - begins[0], first[1] - begins[0], last[1] - begins[0])
        for record, first, last in zip(records, firsts, lasts, strict=True)
    ]


def _edges(server: Running, told: int, count: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return arrival and writing of each request's first and last token, of the witness's lines from `told` on."""

    def look() -> tuple[list[tuple[float, float]], list[tuple[float, float]]] | None:
        found: dict[str, list[tuple[float, float]]] = {"first": [], "last": []}
        for line in server.lines[told:]:
            edge, arrived, at = line.text.split()
            found[edge].append((float(arrived), float(at)))
        return (found["first"], found["last"]) if len(found["last"]) == count else None

    return server.until(look, START_SECONDS, "witness of every request")


async def _cost(seconds: float) -> Cost:
    instants = schedule(Arrivals.POISSON, COST_RATE, seconds, 1)
    with _server(COST_SLOTS, SERVICE, FIRST) as server:
        await _open(server, instants[:20], instants[20])  # what is done once: certificates, the first connections
        before = time.process_time()
        seen = await _open(server, instants, seconds)
        cpu = time.process_time() - before
    added = [each.arrived - each.record.intended + each.record.end - each.last for each in seen]
    return Cost(
        cpu_ms=cpu / len(seen) * 1000,
        added_ms=statistics.percentile(added, 50) * 1000,
        late_p99_ms=statistics.percentile([each.record.sent - each.record.intended for each in seen], 99) * 1000,
        requests=len(seen),
    )
