"""From Ollama's start to "loaded": the agent against a bare script, in turns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import prober, sample, servers
from benchmarks.agents import agent
from benchmarks.process import LOOPBACK, Running, free_port
from benchmarks.result import Result, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.process import Line
    from benchmarks.servers import Answer, Server

NAME = "time_to_loaded"
PAIRS, QUICK_PAIRS = 30, 3
TOGETHER_PAIRS, QUICK_TOGETHER_PAIRS = 10, 1
LIMIT_RATIO = 1.02
LOADED_SECONDS = 120.0
OK = 200
METHOD = (
    "From: the instant before Ollama's process is made. To: the server's own witness of the first POST /api/generate "
    "that it answered 200 (its access log, by arrival at the reader; the stand-in names the instant). Agent and bare "
    "script in turns, which of them is first changes with each pair, a new server for each start; the model's file is "
    "in the page cache, the first pair is dropped. 'before': the driver waits already when Ollama starts, as if both "
    "containers booted side by side; 'together': it is started right after Ollama, its own start included. 'asked': "
    "when Ollama got the load request, which a busy machine's noise in the load itself does not blur."
)


class Start(NamedTuple):
    """Seconds from the start of Ollama: until it got the load request, and until it had answered it."""

    asked: float
    loaded: float


class Pair(NamedTuple):
    """Two starts next to each other in time."""

    agent: Start
    bare: Start


class Driver(NamedTuple):
    """What makes Ollama load, and how to wait until it is ready to."""

    process: Running
    until_waiting: Callable[[], object]


def run(folder: Path, *, quick: bool) -> Result:
    """Measure both ways of starting; the target is for the first."""
    server = servers.choose(folder)
    before = _pairs(QUICK_PAIRS if quick else PAIRS, lambda driver: _before(server, driver))
    together = _pairs(QUICK_TOGETHER_PAIRS if quick else TOGETHER_PAIRS, lambda driver: _together(server, driver))
    ratio, low, high = _ratio(before)
    claim = f"time to loaded, agent / bare script, medians of {len(before)} pairs (95 %: {low:.4f} to {high:.4f})"
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(Target(claim, ratio, LIMIT_RATIO, ""),),
        measured={"before": _figures(before), "together": _figures(together)},
    )


def _figures(pairs: list[Pair]) -> dict[str, Any]:
    ratio, low, high = _ratio(pairs)
    return {
        "agent_loaded_seconds": sample.summary([pair.agent.loaded for pair in pairs]),
        "bare_loaded_seconds": sample.summary([pair.bare.loaded for pair in pairs]),
        "ratio_of_medians": ratio,
        "ratio_95_percent": {"low": low, "high": high},
        "agent_asked_seconds": sample.summary([pair.agent.asked for pair in pairs]),
        "bare_asked_seconds": sample.summary([pair.bare.asked for pair in pairs]),
        "pairs_seconds": [[*pair.agent, *pair.bare] for pair in pairs],
    }


def _ratio(pairs: list[Pair]) -> tuple[float, float, float]:
    return sample.ratio_of_medians([(pair.agent.loaded, pair.bare.loaded) for pair in pairs])


def _pairs(number: int, measure: Callable[[Callable[[int], Driver]], Start]) -> list[Pair]:
    pairs = []
    for turn in range(number + 1):
        if turn % 2:
            pairs.append(Pair(agent=measure(_agent), bare=measure(_bare)))
        else:
            bare = measure(_bare)
            pairs.append(Pair(agent=measure(_agent), bare=bare))
    return pairs[1:]


def _before(server: Server, driver: Callable[[int], Driver]) -> Start:
    port = free_port()
    chosen = driver(port)
    with chosen.process:
        chosen.until_waiting()
        with server.on(port) as ollama:
            return _loaded(ollama)


def _together(server: Server, driver: Callable[[int], Driver]) -> Start:
    port = free_port()
    with server.on(port) as ollama, driver(port).process:
        return _loaded(ollama)


def _loaded(ollama: Running) -> Start:
    load = ollama.first(_load_answer, LOADED_SECONDS, "answered load")
    return Start(asked=load.asked - ollama.started, loaded=load.at - ollama.started)


def _load_answer(line: Line) -> Answer | None:
    answer = servers.answer(line)
    return answer if answer and answer[2:] == (OK, "POST", "/api/generate") else None


def _agent(ollama_port: int) -> Driver:
    own = free_port()
    process = agent(own, ollama_port)
    return Driver(process, lambda: prober.connected(process, own).close())


def _bare(ollama_port: int) -> Driver:
    url = f"http://{LOOPBACK}:{ollama_port}"
    command = (sys.executable, "-m", "benchmarks.bare_loader", url, servers.MODEL, str(servers.NUM_CTX))
    process = Running(command, {})
    return Driver(process, lambda: process.first(_waiting, LOADED_SECONDS, "line that it waits"))


def _waiting(line: Line) -> bool | None:
    return line.text == "waiting" or None
