"""What the agent costs as its work grows: models, held probes, readers of its status, and a week of watching."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks import prober
from lab.measuring import agents, sample, servers
from lab.measuring.result import Result, Target
from lab.process import free_port

if TYPE_CHECKING:
    from lab.process import Running

NAME = "growth"
HOURS, QUICK_HOURS = 168, 4
WEEK_SECONDS = 1800.0
"""For the week: the two cores of a busy machine need a sixth of it."""
MODELS = (1, 2, 4, 8)
PROBES = (1, 4, 16, 64)
READERS = (1, 10, 100, 1000)
IDLE_SECONDS, QUICK_IDLE_SECONDS = 60.0, 3.0
START_SECONDS = 60.0
PROBE_STARTS, QUICK_PROBE_STARTS = 20, 1
"""For each number of held probes, each with a new agent."""
READS, QUICK_READS = 1000, 100
"""At least so many for each number of readers at once."""
READ_ROUNDS, QUICK_READ_ROUNDS = 10, 1
RESOLVED_SECONDS = 0.1
"""Processor time is counted in ticks of a hundredth of a second: less than ten of them are no figure."""
LIMIT_WEEK_MIB = 2.0
METHOD = (
    "Week: the agent's controller and the scripted stand-in in one process whose clock jumps over every wait "
    "(benchmarks/week.py): all 5 s checks of a week, by real requests over loopback, one eviction each hour, and "
    "/readyz, /livez and /metrics asked by ASGI as often as in production (connections are the hour's business). "
    "Memory is VmRSS at each full hour, the first day left out, in which the allocator fills its pools; its growth is "
    "the mean of the last day less that of the second. Models: an agent process, READY, looking each second at the "
    "stand-in with so many models; processor time of one core, and VmRSS. Probes: so many /startup held at once, from "
    f"the last /api/ps to the last 200, over {PROBE_STARTS} starts. Readers: so many GET /status at once, each on a "
    f"connection of its own, from the first to its answer's first bytes; at least {READS:,} in all for each number. "
    f"Processor time of less than {RESOLVED_SECONDS:g} s in all is left out: it is counted in hundredths."
)


def run(_folder: Path, *, quick: bool) -> Result:
    """Measure each kind of growth."""
    hours = _week(QUICK_HOURS if quick else HOURS)
    settled = hours[24:] if len(hours) > 2 * 24 else hours
    day = min(24, len(settled) // 2)
    grown = mean(each["rss_mib"] for each in settled[-day:]) - mean(each["rss_mib"] for each in settled[:day])
    idle = QUICK_IDLE_SECONDS if quick else IDLE_SECONDS
    starts = QUICK_PROBE_STARTS if quick else PROBE_STARTS
    return Result(
        name=NAME,
        server=servers.standin(scripted=True).description,
        method=METHOD,
        targets=(
            Target(f"memory gained from the second day to the last, {len(hours)} hours", grown, LIMIT_WEEK_MIB, "MiB"),
        ),
        measured={
            "week": {
                "checks": hours[-1]["checks"],
                "epochs": hours[-1]["epoch"],
                "asked": hours[-1]["asked"],
                "not_ready": hours[-1]["not_ready"],
                "first_mib": settled[0]["rss_mib"],
                "last_mib": settled[-1]["rss_mib"],
                "cpu_ms_per_check_with_its_server_and_asks": 1000 * hours[-1]["cpu_seconds"] / hours[-1]["checks"],
            },
            "models": {str(number): _models(number, idle) for number in MODELS},
            "held_probes": {str(number): _held(number, starts) for number in PROBES},
            "status_readers": _readers(quick=quick),
            "week_rss_mib": [each["rss_mib"] for each in hours],
        },
    )


def _week(hours: int) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.week", str(hours)],
        capture_output=True,
        text=True,
        timeout=WEEK_SECONDS,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def _models(number: int, seconds: float) -> dict[str, float]:
    port, own, names = free_port(), free_port(), [f"m{each}" for each in range(number)]
    environ = {
        "PROBE_AGENT_MODEL": ",".join(f"{name}@{servers.NUM_CTX}" for name in names),
        "PROBE_AGENT_PERIOD_SECONDS": "1",
        "PROBE_AGENT_TIMEOUT_SECONDS": "1",
    }
    with servers.standin(scripted=True, models=names).on(port), agents.agent(own, port, environ) as watcher:
        watcher.until(partial(agents.ready, own), START_SECONDS, "READY")
        before, began = agents.cpu_seconds(watcher.pid), time.monotonic()
        time.sleep(seconds)
        used = agents.cpu_seconds(watcher.pid) - before
        took = time.monotonic() - began
        share = {"cpu_percent": 100 * used / took} if used >= RESOLVED_SECONDS else {}
        return {**share, "rss_mib": agents.rss_mib(watcher.pid)}


def _held(number: int, starts: int) -> dict[str, Any]:
    found = [_probes(number) for _ in range(starts)]
    return {
        "last_answer_ms": sample.summary([ms for ms, _ in found]),
        "rss_mib": max(rss for _, rss in found),
    }


def _probes(number: int) -> tuple[float, float]:
    """Return the last answer's milliseconds, and the agent's memory in MiB."""
    port, own = free_port(), free_port()
    hold = {"PROBE_AGENT_STARTUP_HOLD_SECONDS": "30"}
    with servers.standin(scripted=True).on(port) as standin, agents.agent(own, port, hold) as watcher:
        connections = [prober.connected(watcher, own) for _ in range(number)]
        passed = prober.passed([(each, prober.send(each, "/startup")) for each in connections], START_SECONDS)
        seen = standin.until(lambda: _last_look(standin), START_SECONDS, "line of the last /api/ps")
        return 1000 * (max(each.at for each in passed) - seen), agents.rss_mib(watcher.pid)


def _last_look(standin: Running) -> float | None:
    looks = [each.at for each in servers.answers(standin, 0) if each.path == "/api/ps"]
    return looks[-1] if looks else None


def _readers(*, quick: bool) -> dict[str, dict[str, float]]:
    reads, least = (QUICK_READS, QUICK_READ_ROUNDS) if quick else (READS, READ_ROUNDS)
    port, own = free_port(), free_port()
    with servers.standin(scripted=True).on(port), agents.agent(own, port) as watcher:
        watcher.until(partial(agents.ready, own), START_SECONDS, "READY")
        return {str(number): _read(watcher, own, number, max(least, reads // number)) for number in READERS}


def _read(watcher: Running, own: int, number: int, rounds: int) -> dict[str, float]:
    before, took = agents.cpu_seconds(watcher.pid), []
    for _ in range(rounds):
        connections = [prober.connected(watcher, own) for _ in range(number)]
        began = time.monotonic()
        for connection in connections:
            prober.send(connection, "/status")
        answers = prober.passed([(each, began) for each in connections], START_SECONDS)
        took += [1000 * (each.at - began) for each in answers]
    used = agents.cpu_seconds(watcher.pid) - before
    return {
        "requests": len(took),
        "p50_ms": sample.percentile(took, 50),
        "p99_ms": sample.percentile(took, 99),
        **each_request(used, len(took)),
        "rss_mib": agents.rss_mib(watcher.pid),
    }


def each_request(used: float, requests: int) -> dict[str, float]:
    """Return a request's share of the processor seconds used, in milliseconds; nothing where those are too few."""
    return {"cpu_ms_each": 1000 * used / requests} if used >= RESOLVED_SECONDS else {}
