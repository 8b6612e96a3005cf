"""What the agent costs: time to its first answered probe, memory and processor time when idle, size of its image."""

from __future__ import annotations

import subprocess
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import prober
from lab.images import agent_image, bases
from lab.measuring import agents, servers
from lab.measuring.precondition import NotHereError
from lab.measuring.result import Result, Target
from lab.process import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from lab.process import Line

NAME = "footprint"
STARTS, QUICK_STARTS = 20, 3
IDLE_SECONDS, QUICK_IDLE_SECONDS = 60.0, 5.0
READY_SECONDS = 120.0
"""For the small model to load, beside whatever else this machine does."""
# The project is named, because there is no metadata server here to ask for it.
ON_CLOUD_RUN = {"K_SERVICE": "benchmark", "K_REVISION": "benchmark-1", "GOOGLE_CLOUD_PROJECT": "benchmark"}
BYTES_PER_MIB = 1 << 20
IMAGE_CLAIM = "the agent's image, compressed, above its base"
LIMIT_START_SECONDS, LIMIT_MIB, LIMIT_LOGGING_MIB, LIMIT_CPU_PERCENT = 0.5, 64, 96, 0.3
METHOD = (
    "The agent with the libraries of its image and no others. "
    "First probe: from the instant before the agent's process is made to the first bytes of /live's answer, asked each "
    "millisecond; no Ollama is there; the first start, which may read the disk, is told apart. Idle: model "
    "READY, default period, nobody asks; memory is VmRSS at the end, processor time is utime + stime over the time, of "
    "one core. Both agents, without and with Cloud Logging (K_SERVICE set), watch the same server at once. Image: "
    "built from its Dockerfile by buildah on a Debian with Python made here; the layers above that, as they are pushed."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Measure starts, then two idle agents, then the image where it can be built."""
    starts = [_first_probe({}) for _ in range(1 + (QUICK_STARTS if quick else STARTS))]
    logging_starts = [_first_probe(ON_CLOUD_RUN) for _ in range(QUICK_STARTS if quick else STARTS)]
    server = servers.choose(folder)
    plain, logging = _idle(server, QUICK_IDLE_SECONDS if quick else IDLE_SECONDS)
    image: tuple[Target, ...] = ()
    not_here = {}
    try:
        image = (Target(IMAGE_CLAIM, _image_mib(quick=quick), agent_image.MOST_BYTES / BYTES_PER_MIB, "MiB"),)
    except NotHereError as error:
        not_here[IMAGE_CLAIM] = str(error)
    slowest = max(starts[1:] + logging_starts)
    number = len(starts) - 1 + len(logging_starts)
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(
            Target(f"process start to first answered probe, slowest of {number}", slowest, LIMIT_START_SECONDS, "s"),
            Target("memory when idle, without Cloud Logging", plain["rss_mib"], LIMIT_MIB, "MiB"),
            Target("memory when idle, with Cloud Logging", logging["rss_mib"], LIMIT_LOGGING_MIB, "MiB"),
            Target("processor time when idle, without", plain["cpu_percent"], LIMIT_CPU_PERCENT, "%"),
            Target("processor time when idle, with", logging["cpu_percent"], LIMIT_CPU_PERCENT, "%"),
            *image,
        ),
        not_here=not_here,
        measured={
            "first_probe_seconds": {"median": median(starts[1:]), "most": max(starts[1:])},
            "first_probe_with_cloud_logging_seconds": {"median": median(logging_starts), "most": max(logging_starts)},
            "very_first_start_seconds": starts[0],
            "idle": plain,
            "idle_with_cloud_logging": logging,
            "starts_seconds": starts[1:],
            "starts_with_cloud_logging_seconds": logging_starts,
        },
    )


def _first_probe(environ: dict[str, str]) -> float:
    own = free_port()
    with agents.agent(own, free_port(), environ) as process:
        return prober.first_answer(process, own, "/live") - process.started


def _idle(server: servers.Server, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    port, ports = free_port(), (free_port(), free_port())
    with (
        server.on(port),
        agents.agent(ports[0], port) as plain,
        agents.agent(ports[1], port, ON_CLOUD_RUN) as logging,
    ):
        for process, own in ((plain, ports[0]), (logging, ports[1])):
            prober.first_answer(process, own, "/live")
            process.until(partial(agents.ready, own), READY_SECONDS, "READY")
        logging.first(_structured, READY_SECONDS, "structured line")
        began = time.monotonic()
        before = [agents.cpu_seconds(plain.pid), agents.cpu_seconds(logging.pid)]
        time.sleep(seconds)
        took = time.monotonic() - began
        after = [agents.cpu_seconds(plain.pid), agents.cpu_seconds(logging.pid)]
        figures = [
            {"rss_mib": agents.rss_mib(process.pid), "cpu_percent": 100 * (end - start) / took, "seconds": took}
            for process, start, end in zip((plain, logging), before, after, strict=True)
        ]
        if (states := {agents.state(own) for own in ports}) != {"READY"}:
            raise RuntimeError(f"not READY all the time, but {states}: the figures would be of a repair")
    return figures[0], figures[1]


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
