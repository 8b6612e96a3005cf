"""What the build's prompt cache is worth: fresh starts without any, with a plain warm-up, and with the cache, in turns.

The image is baked and run as processes, by its own scripts: bake, entrypoint.sh, llama-server.sh.
"""

from __future__ import annotations

import json
import os
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import gemma, prober
from lab.images.tree import ASKED, FLAGS, IMAGE, assemble, bake, install
from lab.measuring import agents, sample
from lab.measuring.agents import agent
from lab.measuring.precondition import real_ollama
from lab.measuring.result import Result, Target
from lab.process import LOOPBACK, Running, free_port
from ops import smollm2
from ops.up import runtime

NAME = "prompt_cache"
STARTS, QUICK_STARTS = 7, 1
# As `lab.images.tree` bakes it.
MODEL, NUM_CTX = "served:one", 2048
# For a load, a warm-up or a chat: the small models need a twentieth of it.
SECONDS = 120.0
LIMIT_EVALUATION, LIMIT_READY = 0.05, 1.0
# The system prompt of the warm-up, and another question.
FIRST_CHAT = [ASKED[0], {"role": "user", "content": "For how long may group 9 keep a book?"}]
METHOD = (
    "Two images of each model are baked, with PROMPT_CACHE=1 and 0 (and so LLAMA_ARG_SWA_FULL), for one slot of "
    f"{NUM_CTX} tokens, with a warm-up of a system prompt of some 1,000 tokens and a question. Each start is new "
    "processes: the entrypoint over the image, and 'none': no agent, only the load; 'warm_up': an agent over the image "
    "without a cache; 'cache': an agent over the image with it. In turns, whose order changes; the first round is "
    "dropped. 'evaluation': prompt_eval_duration of the first chat, of the same system prompt and another question. "
    "'ready': from the instant before the entrypoint's process is made, the agent waiting already, to the 200 of the "
    "held startup probe. The files are in the page cache. 'low' and 'high' are the 95 % interval of the ratio of the "
    "medians; the ratio of the fastest starts is the one that other work on the machine disturbs least."
)


class Start(NamedTuple):
    """One start: seconds to READY (0 without an agent), and the first chat's prompt, in milliseconds and tokens."""

    ready_seconds: float
    evaluation_ms: float
    tokens: int


class Image(NamedTuple):
    """What a container is started from: the baked store, and the variables that the Dockerfile sets."""

    models: Path
    environ: Mapping[str, str]

    def container(self, port: int, runtime_dir: str) -> Running:
        """Return the entrypoint as a process that serves on `port` of loopback."""
        own = {"OLLAMA_HOST": f"{LOOPBACK}:{port}", "RUNTIME_DIR": runtime_dir, "HOME": runtime_dir}
        return Running(("bash", str(IMAGE / "entrypoint.sh")), {**self.environ, **own})


# The figure, and the two ways that its ratio compares.
RATIOS = {
    "evaluation_cache_to_none": ("evaluation_ms", "cache", "none"),
    "ready_cache_to_warm_up": ("ready_seconds", "cache", "warm_up"),
}
# A start of each way, next to each other in time.
Round = dict[str, Start]


def run(folder: Path, *, quick: bool) -> Result:
    """Measure the model of this project and, unless it must be quick, one with a sliding window."""
    binary = real_ollama()
    installed = install(folder / "installed", binary)
    more, left_out = gemma.where_there(quick=quick)
    files = {smollm2.NAME: smollm2.gguf_path(), **more}
    found = {
        name: _rounds(folder / name, file, installed, QUICK_STARTS if quick else STARTS) for name, file in files.items()
    }
    return Result(
        name=NAME,
        server=runtime.ollama(binary).description.partition(" (/")[0],
        method=METHOD,
        targets=tuple(target for name, rounds in found.items() for target in _targets(name, rounds)),
        measured={
            **{name: _figures(rounds) for name, rounds in found.items()},
            **({"sliding_window_model_left_out": left_out} if left_out else {}),
        },
    )


def _targets(name: str, rounds: list[Round]) -> tuple[Target, Target]:
    evaluation, ready = (_ratio(rounds, *of) for of in RATIOS.values())
    return (
        Target(f"{name}: prompt evaluation of the first chat, cache / none", evaluation[0], LIMIT_EVALUATION, ""),
        Target(f"{name}: time to READY, cache / warm-up", ready[0], LIMIT_READY, ""),
    )


def _ratio(rounds: list[Round], figure: str, way: str, other: str) -> tuple[float, float, float]:
    return sample.ratio_of_medians(_pairs(rounds, figure, way, other))


def _pairs(rounds: list[Round], figure: str, way: str, other: str) -> list[tuple[float, float]]:
    return [(getattr(each[way], figure), getattr(each[other], figure)) for each in rounds]


def _ratios(rounds: list[Round], figure: str, way: str, other: str) -> dict[str, float]:
    ratio, low, high = _ratio(rounds, figure, way, other)
    ours, others = zip(*_pairs(rounds, figure, way, other), strict=True)
    return {"of_medians": ratio, "low": low, "high": high, "of_fastest": min(ours) / min(others)}


def _figures(rounds: list[Round]) -> dict[str, Any]:
    return {
        "prompt_tokens": rounds[0]["none"].tokens,
        "ready_seconds": {
            way: sample.summary([each[way].ready_seconds for each in rounds]) for way in ("warm_up", "cache")
        },
        "evaluation_ms": {way: sample.summary([each[way].evaluation_ms for each in rounds]) for way in rounds[0]},
        "ratios": {name: _ratios(rounds, *of) for name, of in RATIOS.items()},
        "samples": [[way, *start] for each in rounds for way, start in each.items()],
    }


def _rounds(folder: Path, weights: Path, ollama: Path, number: int) -> list[Round]:
    """Bake both images, then start each way in turns; the first round fills the page cache and is dropped."""
    folder.mkdir()
    (folder / "warmup.jsonl").write_text(json.dumps({"messages": ASKED}) + "\n", encoding="utf-8")
    plain, cached = (_image(folder, weights, ollama, prompt_cache=on) for on in ("0", "1"))
    starts: dict[str, Callable[[], Start]] = {
        "none": partial(_start_alone, plain, folder),
        "warm_up": partial(_start_with_agent, plain, folder, restored_slots=0),
        "cache": partial(_start_with_agent, cached, folder, restored_slots=1),
    }
    rounds = []
    for turn in range(number + 1):
        order = [*starts][turn % len(starts) :] + [*starts][: turn % len(starts)]
        found = {way: starts[way]() for way in order}
        rounds.append({way: found[way] for way in starts})
    return rounds[1:]


def _image(folder: Path, weights: Path, ollama: Path, *, prompt_cache: str) -> Image:
    out = folder / f"out-{prompt_cache}"
    variables = {"WARMUP": str(folder / "warmup.jsonl"), "PROMPT_CACHE": prompt_cache, "NUM_PARALLEL": "1"}
    done = bake(out, weights, ollama, {**variables, "NUM_CTX": str(NUM_CTX)})
    if done.returncode:
        raise RuntimeError(f"the bake of {weights.name} failed: {done.stderr[-2000:]}")
    models = assemble(out, folder / f"models-{prompt_cache}")
    environ = {
        **{name: "" for name in os.environ if name.startswith("OLLAMA_")},  # of the operator's own server
        **FLAGS,
        "OLLAMA_NUM_PARALLEL": "1",
        "LLAMA_ARG_SWA_FULL": prompt_cache,
        "OLLAMA_KEEP_ALIVE": "-1",
        "OLLAMA_NO_CLOUD": "1",
        "OLLAMA_MODELS": str(models),
        "OLLAMA_BINARY": str(ollama),
        "PROMPT_CACHE_DIR": str(models / "prompt-cache"),
    }
    return Image(models, environ)


def _start_alone(image: Image, folder: Path) -> Start:
    port = free_port()
    with image.container(port, tempfile.mkdtemp(dir=folder)) as server:
        server.until(lambda: _loaded(port), SECONDS, "answer to the load")
        return _first_chat(port, ready_seconds=0.0)


def _start_with_agent(image: Image, folder: Path, *, restored_slots: int) -> Start:
    port, own, shared = free_port(), free_port(), tempfile.mkdtemp(dir=folder)
    environ = {
        "PROBE_AGENT_MODEL": f"{MODEL}@{NUM_CTX}",
        "PROBE_AGENT_RUNTIME_DIR": shared,
        "PROBE_AGENT_STARTUP_HOLD_SECONDS": f"{SECONDS:g}",
        "OLLAMA_NUM_PARALLEL": "1",
    }
    with agent(own, port, environ) as watcher:
        connection = prober.connected(watcher, own)
        with image.container(port, shared) as server:
            ready = prober.passed([(connection, prober.send(connection, "/startup"))], SECONDS)[0].at
            found = agents.status(own)["prompt_cache"]["restored_slots"]
            if found != restored_slots:
                raise RuntimeError(f"{found} slots restored, expected {restored_slots}: {watcher.lines[-5:]}")
            return _first_chat(port, ready_seconds=ready - server.started)


def _loaded(port: int) -> bool | None:
    try:
        _post(port, "/api/generate", {"model": MODEL, "keep_alive": -1})
    except OSError:
        return None
    return True


def _first_chat(port: int, *, ready_seconds: float) -> Start:
    fields = {"model": MODEL, "messages": FIRST_CHAT, "stream": False, "options": {"num_predict": 1}}
    answer = _post(port, "/api/chat", fields)
    return Start(ready_seconds, answer["prompt_eval_duration"] / 1e6, answer["prompt_eval_count"])


def _post(port: int, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}{path}", json.dumps(fields).encode())
    with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310 — our own address
        answer: dict[str, Any] = json.loads(response.read().splitlines()[-1])
    return answer
