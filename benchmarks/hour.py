"""An hour of watching in real time: whether the agent's memory stays, and what it costs the processor."""

from __future__ import annotations

import time
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, Any

from benchmarks import agents, footprint, servers
from benchmarks.process import free_port
from benchmarks.result import Result, Target

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.process import Running

NAME = "hour"
SECONDS, QUICK_SECONDS = 3600.0, 6.0
SAMPLES = 60
LIMIT_GROWTH_MIB = 1.0
METHOD = (
    "Two agents, without and with Cloud Logging (K_SERVICE set), READY, with the default period, watch one server for "
    "an hour; nobody asks them. VmRSS each minute; growth is the mean of the last ten samples less that of the second "
    "ten. Processor time is utime + stime over the hour, of one core."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Watch, and sample."""
    server = servers.choose(folder)
    port, ports = free_port(), {"plain": free_port(), "with_cloud_logging": free_port()}
    with (
        server.on(port),
        agents.agent(ports["plain"], port) as plain,
        agents.agent(ports["with_cloud_logging"], port, footprint.ON_CLOUD_RUN) as logging,
    ):
        watched = {"plain": plain, "with_cloud_logging": logging}
        for name, process in watched.items():
            process.until(partial(agents.ready, ports[name]), footprint.READY_SECONDS, "READY")
        found = _samples(watched, QUICK_SECONDS if quick else SECONDS)
        if (states := {agents.state(own) for own in ports.values()}) != {"READY"}:
            raise RuntimeError(f"not READY at the end, but {states}: the figures would be of a repair")
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=tuple(
            target
            for name, limit in (("plain", footprint.LIMIT_MIB), ("with_cloud_logging", footprint.LIMIT_LOGGING_MIB))
            for target in (
                Target(f"memory at the end, {name}", found[name]["rss_mib"][-1], limit, "MiB"),
                Target(f"memory gained, {name}", found[name]["growth_mib"], LIMIT_GROWTH_MIB, "MiB"),
                Target(f"processor time, {name}", found[name]["cpu_percent"], footprint.LIMIT_CPU_PERCENT, "%"),
            )
        ),
        measured=found,
    )


def _samples(watched: dict[str, Running], seconds: float) -> dict[str, dict[str, Any]]:
    began = time.monotonic()
    used = {name: agents.cpu_seconds(process.pid) for name, process in watched.items()}
    rss: dict[str, list[float]] = {name: [] for name in watched}
    for sample in range(1, SAMPLES + 1):
        time.sleep(max(0.0, began + seconds * sample / SAMPLES - time.monotonic()))
        for name, process in watched.items():
            rss[name].append(agents.rss_mib(process.pid))
    took = time.monotonic() - began
    return {
        name: {
            "growth_mib": mean(rss[name][-10:]) - mean(rss[name][10:20]),
            "cpu_percent": 100 * (agents.cpu_seconds(process.pid) - used[name]) / took,
            "rss_mib": rss[name],
        }
        for name, process in watched.items()
    }
