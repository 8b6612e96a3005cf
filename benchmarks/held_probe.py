"""From the model's readiness to the held startup probe's 200."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import NamedTuple

from benchmarks import prober
from lab.measuring import sample, servers
from lab.measuring.agents import agent
from lab.measuring.result import Result, Target
from lab.process import LOOPBACK, Running, free_port

NAME = "held_probe"
STARTS, QUICK_STARTS = 200, 10
CROWD, CROWD_STARTS, QUICK_CROWD_STARTS = 64, 20, 3
# Of a plain request's time. Between the two instants lie the agent's closing look at /api/ps, which is a request of its
# own by an async client, and the probe's answer: about ten plain requests of a raw socket.
LIMIT_RATIO = 15.0
HOLD = {"PROBE_AGENT_STARTUP_HOLD_SECONDS": "30"}
# As long as the hold: a probe that is refused by then is an error, not a slow sample.
ANSWER_SECONDS = 30.0
METHOD = (
    "Each sample is a new agent process with a startup probe held before the model is ready. From: the instant just "
    "before the stand-in sends its last warm-up answer (the model is loaded and warm; the agent's closing look at "
    "/api/ps is inside the figure). To: the first bytes of the probe's 200 at the prober. Three processes, one clock "
    "(CLOCK_MONOTONIC). 'from_last_ps' counts from that closing look's answer instead. 'plain_request' is the same "
    "prober's GET to the stand-in, once after each start; the target is the ratio of the medians."
)


class Start(NamedTuple):
    """One start, in milliseconds: for each held probe since the last warm-up answer and since the last /api/ps."""

    since_warm: list[float]
    since_ps: list[float]
    round_trip: float


def run(_folder: Path, *, quick: bool) -> Result:
    """Measure one held probe over many starts, then a crowd of them."""
    server = servers.standin(scripted=True)
    port = free_port()
    with server.on(port) as standin:
        prober.connected(standin, port).close()
        _start(standin, port, probes=1)  # the first one compiles and fills caches
        single = [_start(standin, port, probes=1) for _ in range(QUICK_STARTS if quick else STARTS)]
        crowd = [_start(standin, port, probes=CROWD) for _ in range(QUICK_CROWD_STARTS if quick else CROWD_STARTS)]
    latencies = [ms for start in single for ms in start.since_warm]
    crowded = [ms for start in crowd for ms in start.since_warm]
    ratio, low, high = sample.ratio_of_medians([(start.since_warm[0], start.round_trip) for start in single])
    claim = f"readiness to the held probe's 200 / a plain request, {len(single)} starts (95 %: {low:.1f} to {high:.1f})"
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(Target(claim, ratio, LIMIT_RATIO, ""),),
        measured={
            "from_last_warm_up_ms": sample.summary(latencies),
            "from_last_ps_ms": sample.summary([ms for start in single for ms in start.since_ps]),
            "plain_request_ms": sample.summary([start.round_trip for start in single]),
            f"crowd_of_{CROWD}_from_last_warm_up_ms": sample.summary(crowded),
            "crowd_starts": len(crowd),
            "samples_ms": latencies,
        },
    )


def _start(standin: Running, port: int, *, probes: int) -> Start:
    told = len(standin.lines)
    own = free_port()
    with agent(own, port, HOLD) as process:
        connections = [prober.connected(process, own) for _ in range(probes)]
        answered = prober.passed([(each, prober.send(each, "/startup")) for each in connections], ANSWER_SECONDS)
        warm, seen = _last_answers(standin, told)
    if any(probe.sent > warm for probe in answered):
        raise RuntimeError("a probe was sent only after the model was ready: it was not held")
    _unload(standin, port)
    since_warm = [(probe.at - warm) * 1000 for probe in answered]
    return Start(since_warm, [(probe.at - seen) * 1000 for probe in answered], _round_trip(standin, port))


def _round_trip(standin: Running, port: int) -> float:
    connection = prober.connected(standin, port)
    probe = prober.passed([(connection, prober.send(connection, "/api/version"))], ANSWER_SECONDS)[0]
    return (probe.at - probe.sent) * 1000


def _last_answers(standin: Running, told: int) -> tuple[float, float]:
    """Return when the warm-up chat and the /api/ps after it were answered, among the lines since number `told`."""

    def look() -> tuple[float, float] | None:
        mine = servers.answers(standin, told)
        chats = [each.at for each in mine if each.path == "/api/chat"]
        looks = [each.at for each in mine if each.path == "/api/ps" and chats and each.at > chats[-1]]
        return (chats[-1], looks[0]) if looks else None

    return standin.until(look, ANSWER_SECONDS, "line of the last /api/ps")


def _unload(standin: Running, port: int) -> None:
    """Let the next start begin with nothing loaded."""
    body = f'{{"model": "{servers.MODEL}", "keep_alive": 0}}'.encode()
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}/api/generate", body)
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:  # noqa: S310 — the same
        response.read()
    standin.until(lambda: _empty(port), ANSWER_SECONDS, "empty /api/ps")


def _empty(port: int) -> bool | None:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/api/ps", timeout=ANSWER_SECONDS) as response:
        return response.read() == b'{"models":[]}' or None
