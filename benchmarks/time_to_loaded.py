"""From Ollama's start to "loaded": the agent against a bare script, in turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import prober
from lab.measuring import sample, servers
from lab.measuring.agent_python import agent_python
from lab.measuring.agents import agent
from lab.measuring.result import Result, Target
from lab.measuring.servers import Answer, Server
from lab.process import LOOPBACK, Line, Running, free_port

NAME = "time_to_loaded"
PAIRS, QUICK_PAIRS = 30, 3
TOGETHER_PAIRS, QUICK_TOGETHER_PAIRS = 10, 1
LIMIT_RATIO = 1.02
# When both start with Ollama: the agent also imports a web server and its endpoints. That takes as long with a larger
# model, so its share is smaller there.
LIMIT_TOGETHER_RATIO = 1.25
BARE_LOADER = Path(__file__).with_name("bare_loader.py")
LOADED_SECONDS = 120.0
OK = 200
METHOD = (
    "From: the instant before Ollama's process is made. To: the server's own witness of the first POST /api/generate "
    "that it answered 200 (its access log, by arrival at the reader; the stand-in names the instant). Agent and bare "
    "script, with the libraries of the agent's image and no others, in turns, "
    "which of them is first changes with each pair, a new server for each start; the model's file is "
    "in the page cache, the first pair is dropped. 'before', the kind case: the driver is up and waits when Ollama "
    "starts. 'together', as where both containers boot side by side: it is started right after Ollama, its own start "
    "included. 'asked': when Ollama got the load request, which a "
    "busy machine's noise in the load itself does not blur."
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
    """Measure both ways of starting, each with its target."""
    server = servers.choose(folder)
    before = _pairs(QUICK_PAIRS if quick else PAIRS, lambda driver: _before(server, driver))
    together = _pairs(QUICK_TOGETHER_PAIRS if quick else TOGETHER_PAIRS, lambda driver: _together(server, driver))
    ratio, low, high = _ratio(before)
    late, late_low, late_high = _ratio(together)
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(
            Target(f"agent up before Ollama: {claim(low, high, len(before))}", ratio, LIMIT_RATIO, ""),
            Target(
                f"both started with Ollama: {claim(late_low, late_high, len(together), LIMIT_TOGETHER_RATIO)}",
                late,
                LIMIT_TOGETHER_RATIO,
                "",
            ),
        ),
        measured={"before": _figures(before), "together": _figures(together)},
    )


def claim(low: float, high: float, pairs: int, limit: float = LIMIT_RATIO) -> str:
    """Say that the ratio is one of medians, and how sure: an interval that holds the limit leaves the claim open."""
    sure = "" if high <= limit or low > limit else ", which holds the limit: not beyond doubt"
    return f"median agent / median script, {pairs} pairs (95 %: {low:.3f} to {high:.3f}{sure})"


def _figures(pairs: list[Pair]) -> dict[str, Any]:
    ratio, low, high = _ratio(pairs)
    return {
        "agent_loaded_seconds": sample.summary([pair.agent.loaded for pair in pairs]),
        "bare_loaded_seconds": sample.summary([pair.bare.loaded for pair in pairs]),
        "agent_later_seconds": sample.summary([pair.agent.loaded - pair.bare.loaded for pair in pairs]),
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
    command = (agent_python(), str(BARE_LOADER), url, servers.MODEL, str(servers.NUM_CTX))
    process = Running(command, {})
    return Driver(process, lambda: process.first(_waiting, LOADED_SECONDS, "line that it waits"))


def _waiting(line: Line) -> bool | None:
    return line.text == "waiting" or None
