"""What the agent costs a working Ollama: tokens per second and tail latency with and without it, side by side."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lab.measuring import agents, sample, servers
from lab.measuring.result import Result, Target
from lab.process import LOOPBACK, Running, free_port

NAME = "overhead"
ROUNDS, QUICK_ROUNDS = 6, 1
# Four looks of the default period in each; seven rounds of three take below eight minutes.
WINDOW_SECONDS, QUICK_WINDOW_SECONDS = 20.0, 4.0
# A window holds some hundred answers: of their 99th percentile one answer would decide.
TAIL_PERCENT = 95
# As many as the server has slots: it computes all the time, and nobody waits for another.
CLIENTS = 2
TOKENS = 32
# For one answer; a tenth of a second on an idle machine.
ANSWER_SECONDS = 60.0
READY_SECONDS = 120.0
LIMIT_RATIO = 1.02
# A look costs Ollama and the agent a few milliseconds, an answer takes some hundred: a tail longer by more than a
# twentieth waits for something else.
LIMIT_TAIL_RATIO = 1.05
WAYS: Mapping[str, Mapping[str, str] | None] = {
    "alone": None,
    "agent": {},
    "agent_each_second": {"PROBE_AGENT_PERIOD_SECONDS": "1", "PROBE_AGENT_TIMEOUT_SECONDS": "1"},
}
METHOD = (
    f"One Ollama with {CLIENTS} slots, the model loaded; {CLIENTS} clients ask without a pause for {TOKENS} tokens "
    f"each, of prompts that differ. Windows of {WINDOW_SECONDS:g} s: without an agent; with a READY one, with its "
    "default period of 5 s; with one that looks each second. In turns, whose order changes; the first round is "
    "dropped. Throughput: each client's tokens over the time of its answers, added up; its ratio is alone / agent, "
    f"the latency's is agent / alone of the {TAIL_PERCENT}th percentiles of the windows, each of the medians over the "
    "rounds. What the agent adds to a start: time_to_loaded."
)


class Window(NamedTuple):
    """What one window showed: tokens per second, seconds of each answer, and the agent's memory in MiB (0: none)."""

    tokens_per_second: float
    latencies: list[float]
    rss_mib: float


def run(folder: Path, *, quick: bool) -> Result:
    """Measure the three ways in turns."""
    chosen = servers.choose(folder)
    server = replace(chosen, environ={**chosen.environ, "OLLAMA_NUM_PARALLEL": str(CLIENTS)})
    port, names = free_port(), [*WAYS]
    found: dict[str, list[Window]] = {name: [] for name in WAYS}
    with server.on(port) as ollama:
        ollama.until(lambda: _loaded(port), READY_SECONDS, "loaded model")
        for turn in range((QUICK_ROUNDS if quick else ROUNDS) + 1):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                found[name].append(_window(port, WAYS[name], QUICK_WINDOW_SECONDS if quick else WINDOW_SECONDS))
    windows = {name: each[1:] for name, each in found.items()}
    throughput = {name: _throughput(windows, name) for name in names[1:]}
    latency = {name: _latency(windows, name) for name in names[1:]}
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(
            *(_target(f"tokens per second, alone / {name}", ratio, LIMIT_RATIO) for name, ratio in throughput.items()),
            *(
                _target(f"latency p{TAIL_PERCENT}, {name} / alone", ratio, LIMIT_TAIL_RATIO)
                for name, ratio in latency.items()
            ),
        ),
        measured={
            **{name: _figures(each) for name, each in windows.items()},
            "throughput_alone_to": {name: ratio for name, (ratio, _, _) in throughput.items()},
            f"latency_p{TAIL_PERCENT}_to_alone": {name: ratio for name, (ratio, _, _) in latency.items()},
            f"latency_p{TAIL_PERCENT}_to_alone_95_percent": {
                name: f"{low:.3f} to {high:.3f}" for name, (_, low, high) in latency.items()
            },
        },
    )


def _throughput(windows: dict[str, list[Window]], name: str) -> tuple[float, float, float]:
    pairs = zip(windows["alone"], windows[name], strict=True)
    return sample.ratio_of_medians([(alone.tokens_per_second, other.tokens_per_second) for alone, other in pairs])


def _latency(windows: dict[str, list[Window]], name: str) -> tuple[float, float, float]:
    pairs = zip(windows[name], windows["alone"], strict=True)
    return sample.ratio_of_medians([(_tail(other), _tail(alone)) for other, alone in pairs])


def _tail(window: Window) -> float:
    return sample.percentile(window.latencies, TAIL_PERCENT)


def _target(what: str, found: tuple[float, float, float], limit: float) -> Target:
    ratio, low, high = found
    return Target(f"{what} (95 %: {low:.3f} to {high:.3f})", ratio, limit, "")


def _figures(windows: list[Window]) -> dict[str, Any]:
    return {
        "tokens_per_second": sample.summary([each.tokens_per_second for each in windows]),
        "latency_seconds": sample.summary([seconds for each in windows for seconds in each.latencies]),
        "agent_rss_mib": max(each.rss_mib for each in windows),
        "windows": [[each.tokens_per_second, _tail(each)] for each in windows],
    }


def _window(port: int, settings: Mapping[str, str] | None, seconds: float) -> Window:
    with ExitStack() as stack:
        watcher = None
        if settings is not None:
            own = free_port()
            environ = {"OLLAMA_NUM_PARALLEL": str(CLIENTS), **settings}
            watcher = stack.enter_context(agents.agent(own, port, environ))
            watcher.until(partial(agents.ready, own), READY_SECONDS, "READY")
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(CLIENTS) as pool:
            done = list(pool.map(lambda number: _client(port, number, end), range(CLIENTS)))
        rate = sum(sum(tokens for tokens, _ in answers) / sum(took for _, took in answers) for answers in done)
        return Window(rate, [took for answers in done for _, took in answers], _rss(watcher))


def _client(port: int, number: int, end: float) -> list[tuple[int, float]]:
    """Ask without a pause until the time is up; return tokens and seconds of each answer."""
    answers: list[tuple[int, float]] = []
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    while time.monotonic() < end:
        begun = time.monotonic()
        text = f"Number {number} counts from {len(answers)}:"
        body = {"model": servers.MODEL, "prompt": text, "raw": True, "stream": False}
        connection.request("POST", "/api/generate", json.dumps({**body, "options": {"num_predict": TOKENS}}))
        answer = json.loads(connection.getresponse().read())
        answers.append((answer["eval_count"], time.monotonic() - begun))
    connection.close()
    return answers


def _loaded(port: int) -> bool | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=READY_SECONDS)
    fields = {"model": servers.MODEL, "keep_alive": -1, "options": {"num_ctx": servers.NUM_CTX}}
    try:
        connection.request("POST", "/api/generate", json.dumps(fields))
        return connection.getresponse().status == http.client.OK or None
    except OSError:
        return None
    finally:
        connection.close()


def _rss(process: Running | None) -> float:
    return agents.rss_mib(process.pid) if process else 0.0
