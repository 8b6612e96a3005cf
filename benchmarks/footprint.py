"""What the agent costs beside a bare sidecar: time to its first answered probe, idle processor time, memory, image."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import prober
from lab.images import agent_image, bases
from lab.measuring import agents, sample, servers
from lab.measuring.agent_python import agent_python
from lab.measuring.precondition import NotHereError
from lab.measuring.result import Result, Target
from lab.process import LOOPBACK, Line, Running, free_port

NAME = "footprint"
STARTS, QUICK_STARTS = 20, 3
IDLE_SECONDS, QUICK_IDLE_SECONDS = 60.0, 5.0
# For the small model to load, beside whatever else this machine does.
READY_SECONDS = 120.0
# For the bare sidecar: more often than by default (5 s), so that the kernel's hundredths of a second suffice.
PERIOD_SECONDS = "1"
# The project is named, because there is no metadata server here to ask for it.
ON_CLOUD_RUN = {"K_SERVICE": "benchmark", "K_REVISION": "benchmark-1", "GOOGLE_CLOUD_PROJECT": "benchmark"}
WAYS: dict[str, dict[str, str] | None] = {"bare": None, "agent": {}, "agent_on_cloud_run": ON_CLOUD_RUN}
BARE = Path(__file__).with_name("bare_agent.py")
BYTES_PER_MIB = 1 << 20
IMAGE_CLAIM = "the agent's image, compressed, above its base"
LIMIT_START, LIMIT_CPU, LIMIT_MIB, LIMIT_LOGGING_MIB = 1.25, 1.5, 64, 96
METHOD = (
    "The agent with the libraries of its image and no others, against a bare sidecar (benchmarks/bare_agent.py: the "
    "same web server, client and interpreter, one route, one loop that asks Ollama the same), in turns. "
    "First probe: from the instant before the process is made to the first bytes of /live's answer, asked each "
    "millisecond; no Ollama is there; the first round is dropped. Idle: model READY, all watch one server at once, "
    f"period {PERIOD_SECONDS} s, nobody asks; memory is VmRSS at the end, processor time is utime + stime over the "
    "time, of one core. Image: built from its Dockerfile by buildah on a Debian with Python made here; the layers "
    "above that, as they are pushed."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Measure starts in turns, then all three idle, then the image where it can be built."""
    rounds = [_starts() for _ in range(1 + (QUICK_STARTS if quick else STARTS))][1:]
    server = servers.choose(folder)
    idle = _idle(server, QUICK_IDLE_SECONDS if quick else IDLE_SECONDS)
    image: tuple[Target, ...] = ()
    not_here = {}
    try:
        image = (Target(IMAGE_CLAIM, _image_mib(quick=quick), agent_image.MOST_BYTES / BYTES_PER_MIB, "MiB"),)
    except NotHereError as error:
        not_here[IMAGE_CLAIM] = str(error)
    compared = [name for name in WAYS if name != "bare"]
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(
            *(_start_target(name, [(each[name], each["bare"]) for each in rounds]) for name in compared),
            *(
                Target(f"idle processor time, {name} / bare", _cpu_ratio(idle, name), LIMIT_CPU, "")
                for name in compared
            ),
            Target("memory when idle, agent", idle["agent"]["rss_mib"], LIMIT_MIB, "MiB"),
            Target(
                "memory when idle, agent_on_cloud_run", idle["agent_on_cloud_run"]["rss_mib"], LIMIT_LOGGING_MIB, "MiB"
            ),
            *image,
        ),
        not_here=not_here,
        measured={
            "first_probe_seconds": {name: sample.summary([each[name] for each in rounds]) for name in WAYS},
            "idle": idle,
            "rounds_seconds": rounds,
        },
    )


def _start_target(name: str, pairs: list[tuple[float, float]]) -> Target:
    ratio, low, high = sample.ratio_of_medians(pairs)
    return Target(f"first answered probe, {name} / bare (95 %: {low:.2f} to {high:.2f})", ratio, LIMIT_START, "")


def _cpu_ratio(idle: dict[str, dict[str, Any]], name: str) -> float:
    return float(idle[name]["cpu_percent"] / idle["bare"]["cpu_percent"])


def _process(name: str, port: int, ollama_port: int) -> Running:
    environ = WAYS[name]
    if environ is None:
        url = f"http://{LOOPBACK}:{ollama_port}"
        return Running((agent_python(), str(BARE), str(port), url, servers.MODEL, PERIOD_SECONDS), {})
    pace = {"PROBE_AGENT_PERIOD_SECONDS": PERIOD_SECONDS, "PROBE_AGENT_TIMEOUT_SECONDS": PERIOD_SECONDS}
    return agents.agent(port, ollama_port, {**pace, **environ})


def _starts() -> dict[str, float]:
    """Start each once; return the seconds to its first answered probe."""
    found = {}
    for name in WAYS:
        port = free_port()
        with _process(name, port, free_port()) as process:
            found[name] = prober.first_answer(process, port, "/live") - process.started
    return found


def _idle(server: servers.Server, seconds: float) -> dict[str, dict[str, Any]]:
    ollama_port, ports = free_port(), {name: free_port() for name in WAYS}
    with ExitStack() as stack:
        stack.enter_context(server.on(ollama_port))
        processes = {name: stack.enter_context(_process(name, ports[name], ollama_port)) for name in WAYS}
        for name, process in processes.items():
            prober.first_answer(process, ports[name], "/live")
            if name != "bare":
                process.until(partial(agents.ready, ports[name]), READY_SECONDS, "READY")
        processes["agent_on_cloud_run"].first(_structured, READY_SECONDS, "structured line")
        began = time.monotonic()
        before = {name: agents.cpu_seconds(process.pid) for name, process in processes.items()}
        time.sleep(seconds)
        took = time.monotonic() - began
        used = {name: agents.cpu_seconds(process.pid) - before[name] for name, process in processes.items()}
        rss = {name: agents.rss_mib(process.pid) for name, process in processes.items()}
        if (states := {agents.state(ports[name]) for name in WAYS if name != "bare"}) != {"READY"}:
            raise RuntimeError(f"not READY all the time, but {states}: the figures would be of a repair")
    return {name: {"rss_mib": rss[name], "cpu_percent": 100 * used[name] / took, "seconds": took} for name in WAYS}


def _structured(line: Line) -> bool | None:
    return line.text.startswith("{") or None


def _image_mib(*, quick: bool) -> float:
    """Build the agent's image and weigh it; raises `NotHereError` where that cannot be."""
    if quick:
        raise NotHereError("--quick builds no image")
    if not agent_image.can_build():
        raise NotHereError(agent_image.NEEDS)
    try:
        debian = bases.debian()
    except subprocess.SubprocessError as error:
        raise NotHereError("debootstrap made no Debian to build on: is its mirror in reach?") from error
    with agent_image.folder() as within, agent_image.storage(within) as buildah:
        agent_image.copy_tree(within / "context")
        image = agent_image.build(buildah, buildah.base("debian", debian), within / "context", within)
        return agent_image.bytes_above_base(buildah, image, within / "oci") / BYTES_PER_MIB
