"""An hour in real time, asked as in production: whether the agent's memory stays, and what it costs the processor."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from statistics import linear_regression, mean
from typing import TYPE_CHECKING, Any

from benchmarks import footprint, production
from lab.measuring import agents, servers
from lab.measuring.result import Result, Target
from lab.process import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.process import Running

NAME = "hour"
HOUR_SECONDS = 3600.0
QUICK_PACE = 180.0
"""With --quick the hour's asks are made in twenty seconds, and the figures are those of an hour."""
SAMPLES = 60
LIMIT_GROWTH_MIB = 1.0
LIMIT_SLOPE_MIB = 1.0
"""An hour: at that rate an instance of 512 MiB lives for weeks; pools that fill and stop are well below."""
HOLD = {"PROBE_AGENT_STARTUP_HOLD_SECONDS": "60"}
"""Longer than a load here takes: the one startup probe is held until READY."""
METHOD = (
    "Two agents, without and with Cloud Logging (K_SERVICE set), default period, watch one server for an hour. "
    "Each is asked as in production: /startup once, held until READY, beside one whose client hangs up; then /readyz "
    f"each {production.READY_PERIOD_SECONDS:g} s, /livez each {production.LIVE_PERIOD_SECONDS:g} s (service.yaml's "
    f"periods), /metrics each {production.SCRAPE_PERIOD_SECONDS:g} s, and each {production.HANG_UP_PERIOD_SECONDS:g} s "
    "a client that asks again on a kept connection and resets it. VmRSS each minute; growth is the mean of the last "
    "ten samples less that of the second ten; the slope is the line of least squares through the last half. Processor "
    f"time is utime + stime, of one core. --quick: the hour's asks in {HOUR_SECONDS / QUICK_PACE:g} s, and few of the "
    "agent's own looks."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Watch, ask, and sample."""
    server = servers.choose(folder)
    port, ports = free_port(), {"plain": free_port(), "with_cloud_logging": free_port()}
    with (
        server.on(port),
        agents.agent(ports["plain"], port, HOLD) as plain,
        agents.agent(ports["with_cloud_logging"], port, {**HOLD, **footprint.ON_CLOUD_RUN}) as logging,
    ):
        watched = {"plain": plain, "with_cloud_logging": logging}
        for name, process in watched.items():
            production.held(process, ports[name], footprint.READY_SECONDS)
            process.until(partial(agents.ready, ports[name]), footprint.READY_SECONDS, "READY")
        found = _asked(watched, ports, QUICK_PACE if quick else 1.0)
        if (states := {agents.state(own) for own in ports.values()}) != {"READY"}:
            raise RuntimeError(f"not READY at the end, but {states}: the figures would be of a repair")
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=tuple(
            target
            for name, limit in (("plain", footprint.LIMIT_MIB), ("with_cloud_logging", footprint.LIMIT_LOGGING_MIB))
            for target in _targets(name, found[name], limit)
        ),
        measured=found,
    )


def _targets(name: str, found: dict[str, Any], limit: float) -> tuple[Target, ...]:
    return (
        Target(f"memory at the end, {name}", found["rss_mib"][-1], limit, "MiB"),
        Target(f"memory gained, {name}", found["growth_mib"], LIMIT_GROWTH_MIB, "MiB"),
        Target(f"memory's slope in the last half, {name}", found["slope_mib_per_hour"], LIMIT_SLOPE_MIB, "MiB/h"),
        Target(f"processor time, {name}", found["cpu_percent"], footprint.LIMIT_CPU_PERCENT, "%"),
        Target(f"asks without their 200, {name}", found["failed"], 0, ""),
    )


def _asked(watched: dict[str, Running], ports: dict[str, int], pace: float) -> dict[str, dict[str, Any]]:
    with ExitStack() as stack:
        asking = {name: stack.enter_context(production.Asking(port, pace)) for name, port in ports.items()}
        found = _samples(watched, pace)
    return {name: {"asked": asking[name].asked, "failed": asking[name].failed, **each} for name, each in found.items()}


def _samples(watched: dict[str, Running], pace: float) -> dict[str, dict[str, Any]]:
    began = time.monotonic()
    used = {name: agents.cpu_seconds(process.pid) for name, process in watched.items()}
    rss: dict[str, list[float]] = {name: [] for name in watched}
    for sample in range(1, SAMPLES + 1):
        time.sleep(max(0.0, began + HOUR_SECONDS / pace * sample / SAMPLES - time.monotonic()))
        for name, process in watched.items():
            rss[name].append(agents.rss_mib(process.pid))
    hours = (time.monotonic() - began) * pace / HOUR_SECONDS
    return {
        name: {
            "growth_mib": mean(rss[name][-10:]) - mean(rss[name][10:20]),
            "slope_mib_per_hour": slope(rss[name][SAMPLES // 2 :], hours / SAMPLES),
            "cpu_percent": 100 * (agents.cpu_seconds(process.pid) - used[name]) / (hours * HOUR_SECONDS),
            "rss_mib": rss[name],
        }
        for name, process in watched.items()
    }


def slope(values: Sequence[float], apart: float) -> float:
    """Return the slope of the line of least squares through values that lie `apart` from one another."""
    return linear_regression([apart * number for number in range(len(values))], values).slope
